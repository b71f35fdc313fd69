package wire

import "fastness/internal/secret"

// QuotasRequest replaces a tenant's quotas: those that are absent are lifted.
type QuotasRequest struct {
	secret.Quotas
	// Revision is that of the quotas to be replaced: refused if they have
	// changed. Absent: whatever they are.
	Revision *int64 `json:"revision,omitzero"`
}

// QuotasReply tells a tenant's quotas.
type QuotasReply struct {
	Tenant     string        `json:"tenant"`
	Quotas     secret.Quotas `json:"quotas"`     // the tenant's own
	Deployment secret.Quotas `json:"deployment"` // that hold for every tenant
	Effective  secret.Quotas `json:"effective"`  // of each, the tighter
	Use        secret.Use    `json:"use"`
	Revision   int64         `json:"revision"` // how often the tenant's own were set
}

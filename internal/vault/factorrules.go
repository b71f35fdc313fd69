package vault

import (
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// factorRules are a tenant's rules on second factors; for operators, the defaults.
func (v *Vault) factorRules(r store.Reader, t secret.TenantID) (policy.Settings, error) {
	if t.IsZero() {
		return policy.Settings{}, nil
	}
	row, _, err := readSettings(r, t)
	return row.settings(), err
}

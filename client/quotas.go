package client

import (
	"context"
	"net/http"

	"fastness/internal/wire"
)

// Quotas tells the tenant's quotas and what of them is used.
func (s *Session) Quotas(ctx context.Context) (QuotaInfo, error) {
	path, err := s.path(ctx, "quotas")
	if err != nil {
		return QuotaInfo{}, err
	}
	var reply wire.QuotasReply
	_, err = s.client.decode(ctx, request{method: http.MethodGet, path: path, repeat: true}, &reply)
	return quotaInfo(reply), err
}

// SetQuotas replaces a tenant's quotas: those that are zero are lifted. With
// expected, the quotas must still have that revision: ErrConflict otherwise.
func (o *Operator) SetQuotas(ctx context.Context, name TenantName, q Quotas, expected *int64) (QuotaInfo, error) {
	r := request{method: http.MethodPut, path: []string{"tenants", string(name), "quotas"}, repeat: expected == nil}
	var reply wire.QuotasReply
	_, err := o.client.encode(ctx, r, wire.QuotasRequest{Quotas: q, Revision: expected}, &reply)
	return quotaInfo(reply), err
}

func quotaInfo(r wire.QuotasReply) QuotaInfo {
	return QuotaInfo{Tenant: TenantName(r.Tenant), Own: r.Quotas, Deployment: r.Deployment, Use: r.Use, Revision: r.Revision}
}

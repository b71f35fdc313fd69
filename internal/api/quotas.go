package api

import (
	"net/http"

	"fastness/internal/audit"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

// quotaRoutes are those of a tenant's quotas, which operators set.
var quotaRoutes = []*Route{
	{Method: get, Pattern: tenantPath + "/quotas", Summary: "Tell a tenant's quotas and what of them is used",
		Action: audit.QuotaRead, Response: "QuotasReply", handle: getQuotas},
	{Method: put, Pattern: tenantPath + "/quotas", Summary: "Replace a tenant's quotas; those left out are lifted",
		Body: smallBody, Action: audit.QuotaSet,
		Request: "QuotasRequest", Response: "QuotasReply", Failures: conflict, handle: setQuotas},
}

func getQuotas(c *call) error { return c.quotas(c.session().Quotas(c.context())) }

func setQuotas(c *call) error {
	var request wire.QuotasRequest
	if err := wire.Decode(c.body, &request); err != nil {
		return reject(err)
	}
	return c.quotas(c.operator().SetQuotas(c.context(), c.tenant, request.Quotas, request.Revision))
}

// quotas answers with a tenant's quotas, or with the error that stood in the way.
func (c *call) quotas(q vault.QuotaInfo, err error) error {
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.QuotasReply{
		Tenant: string(q.Tenant), Quotas: q.Own, Deployment: q.Deployment, Effective: q.Effective(), Use: q.Use, Revision: q.Revision,
	})
}

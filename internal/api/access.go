package api

import (
	"net/http"

	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

func (c *call) access() *vault.Access { return c.session().Access() }

func explainAccess(c *call) error {
	id := c.query.Get("credentialId")
	if id != "" && !isCredentialID(id) {
		return invalid("credentialId", credentialIDRule)
	}
	all, err := c.access().Explain(c.context(), vault.ExplainQuery{
		Principal: c.query.Get("principal"), Action: policy.Action(c.query.Get("action")), Secret: secret.Name(c.query.Get("secret")),
		CredentialID: id, Address: c.query.Get("address"),
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.ListOf(all, explanationOf, ""))
}

func explanationOf(e vault.Explanation) wire.Explanation {
	w := wire.Explanation{Decision: decisionOf(e.Decision), CredentialIDs: []string{}}
	for _, id := range e.CredentialIDs {
		if id == "" {
			w.Login = true
			continue
		}
		w.CredentialIDs = append(w.CredentialIDs, id)
	}
	return w
}

func getDenial(c *call) error {
	d, err := c.access().Denial(c.context(), c.denial)
	if err != nil {
		return err
	}
	w := wire.Denial{
		ID: d.ID, Time: d.Time.UTC(), Principal: d.Principal, CredentialID: d.CredentialID, Action: string(d.Action),
		Secret: d.Secret, Answer: d.Answer, Reason: d.Reason,
	}
	if d.Now != nil {
		now := decisionOf(*d.Now)
		w.Now = &now
	}
	return c.reply(http.StatusOK, w)
}

func whoMay(c *call) error {
	q := vault.WhoQuery{Secret: secret.Name(c.query.Get("secret")), Address: c.query.Get("address")}
	var err error
	if q.Limit, q.Cursor, err = c.page(); err != nil {
		return err
	}
	page, err := c.access().Who(c.context(), q)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.ListOf(page.Items, whoOf, page.Next))
}

func whoOf(w vault.WhoInfo) wire.Who {
	return wire.Who{Principal: w.Principal, Kind: w.Kind.String(), Actions: names(w.Actions), WithMFA: names(w.WithMFA)}
}

func names(actions []policy.Action) []string {
	all := make([]string, len(actions))
	for i, a := range actions {
		all[i] = string(a)
	}
	return all
}

func reviewAccess(c *call) error {
	var q vault.ReviewQuery
	var err error
	if q.Limit, q.Cursor, err = c.page(); err != nil {
		return err
	}
	page, err := c.access().Review(c.context(), q)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.ListOf(page.Items, reviewOf, page.Next))
}

// reviewTable streams the whole review as a table. Each page of principals is
// a look of its own, recorded as one.
func reviewTable(c *call) error {
	out := newStream(c, csvType)
	table := newReviewTable(out)
	for q := (vault.ReviewQuery{}); ; {
		page, err := c.access().Review(c.context(), q)
		if err != nil {
			return err
		}
		for _, p := range page.Items {
			if err := table.add(reviewOf(p)); err != nil {
				return err
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return out.end(table.end())
		}
	}
}

func reviewOf(p vault.ReviewInfo) wire.Review {
	w := wire.Review{
		Principal: p.Principal, Kind: p.Kind.String(), Grants: wireGrants(p.Grants), Service: p.Service, Environment: string(p.Environment),
		Created: p.Created.UTC(), Disabled: p.Disabled.UTC(), LastUsed: p.LastUsed.UTC(), LastRead: p.LastRead.UTC(),
		Factors: append([]string{}, p.Factors...),
	}
	w.Credentials = wire.ListOf(p.Credentials, reviewCredentialOf, "").Items
	return w
}

func reviewCredentialOf(r vault.ReviewCredential) wire.ReviewCredential {
	return wire.ReviewCredential{
		ID: r.ID, Kind: credentialKind(r.Kind), Source: r.Source, Grants: wireGrants(r.Grants), Created: r.Created.UTC(),
		Expires: r.Expires.UTC(), Revoked: r.Revoked.UTC(), LastUsed: r.LastUsed.UTC(),
	}
}

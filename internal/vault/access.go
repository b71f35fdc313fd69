package vault

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// Access is a reviewer's handle to who may do what in one tenant. It works on
// a suspended tenant for operators only.
type Access struct {
	session *Session
}

// Access is the handle to who may do what in the tenant.
func (s *Session) Access() *Access { return &Access{s} }

// view runs f over a snapshot for a reviewer, and records it.
func (a *Access) view(ctx context.Context, e audit.Entry, f func(v reviewer) error) error {
	s := a.session
	err := s.vault.store.View(ctx, func(r store.Reader) error {
		t, err := s.administered(r)
		if err != nil {
			return err
		}
		j, err := s.ruler(r, t)
		if err != nil {
			return err
		}
		if err := j.allow(policy.Review, policy.Secret{}); err != nil {
			return err
		}
		return f(reviewer{s, r, t, j.rules})
	})
	return s.vault.conclude(ctx, e, err)
}

// reviewer decides for others, within one snapshot.
type reviewer struct {
	session *Session
	reader  store.Reader
	tenant  *store.Tenant
	rules   *policy.Set
}

// identity is a principal with one of its credentials; with none of its own
// grants for a credential that is yet to be made, as by a login.
func (v reviewer) identity(p *store.Principal, c *store.Credential) *store.Identity {
	if c == nil {
		c = &store.Credential{Tenant: p.Tenant, Principal: p.Name}
	}
	return &store.Identity{Credential: c, Principal: p, Tenant: v.tenant}
}

// identities are a principal's live credentials, after one for it alone.
func (v reviewer) identities(p *store.Principal) ([]*store.Identity, error) {
	all := []*store.Identity{v.identity(p, nil)}
	credentials, err := v.reader.Credentials().OfPrincipal(v.tenant.ID, p.Name, secret.MaxCredentials)
	for _, c := range credentials {
		if live(c, v.session.vault.now()) {
			all = append(all, v.identity(p, c))
		}
	}
	return all, err
}

// target is a secret as a decision on it sees it.
func (v reviewer) target(name secret.Name) (policy.Secret, error) {
	sec, err := v.reader.Secrets(v.tenant.ID).Secret(name)
	switch {
	case errors.Is(err, store.ErrAbsent):
		return absent(name, nil), nil
	case err != nil:
		return policy.Secret{}, err
	}
	return present(sec), nil
}

// ExplainQuery asks why somebody may do something, or not.
type ExplainQuery struct {
	Principal    string
	Action       policy.Action
	Secret       secret.Name // of an action on a secret
	CredentialID string      // of the one that would be used; empty for each that is live
	Address      string      // where the request would come from; empty if that is not known
}

func (q ExplainQuery) validate() error {
	if _, err := policy.ParseAction(string(q.Action)); err != nil {
		return err
	}
	if err := checkAddress(q.Address); err != nil {
		return err
	}
	if !q.Action.OnSecret() {
		if q.Secret != "" {
			return secret.Invalid("secret", "none for an action on the tenant")
		}
		return nil
	}
	_, err := secret.ParseName(string(q.Secret))
	return err
}

// checkAddress checks where a request would come from: decisions take anything
// but an address for unknown, which whoever asks should hear.
func checkAddress(s string) error {
	if _, err := netip.ParseAddr(s); s != "" && err != nil {
		return secret.Invalid("address", "an IPv4 or IPv6 address")
	}
	return nil
}

// Explanation is a decision, with the credentials on which it would be the same.
type Explanation struct {
	Decision policy.Decision
	// CredentialIDs has the empty one for the principal without a credential that
	// has grants of its own, as after a login.
	CredentialIDs []string
}

// Explain decides for a principal, as if it asked now, and tells why.
func (a *Access) Explain(ctx context.Context, q ExplainQuery) ([]Explanation, error) {
	s := a.session
	e := s.entry(audit.AccessExplain, q.Secret)
	err := identity.CheckPrincipal(q.Principal)
	if err == nil {
		err = q.validate()
	}
	if err != nil {
		return nil, s.vault.refuse(ctx, e, err)
	}
	e.Target = q.Principal
	var all []Explanation
	err = a.view(ctx, e, func(v reviewer) error {
		p, err := v.reader.Principals().Principal(v.tenant.ID, q.Principal)
		if err != nil {
			return err
		}
		all, err = v.explain(p, q)
		return err
	})
	return settled(all, err)
}

func (v reviewer) explain(p *store.Principal, q ExplainQuery) ([]Explanation, error) {
	target, err := v.target(q.Secret)
	if err != nil {
		return nil, err
	}
	identities, err := v.identities(p)
	if err != nil {
		return nil, err
	}
	if q.CredentialID != "" {
		identities = slices.DeleteFunc(identities, func(i *store.Identity) bool { return i.Credential.ID != q.CredentialID })
		if len(identities) == 0 {
			return nil, secret.ErrNotFound
		}
	}
	var all []Explanation
	for _, i := range identities {
		all = merge(all, v.decide(i, q, target), i.Credential.ID)
	}
	return all, nil
}

func (v reviewer) decide(i *store.Identity, q ExplainQuery, target policy.Secret) policy.Decision {
	if !i.Principal.Disabled.IsZero() {
		return policy.Disabled()
	}
	return v.rules.Explain(&policy.Request{
		Caller: policy.NewCaller(subjectOf(i)), Action: q.Action, Secret: target, Time: v.session.vault.now(), Address: q.Address,
	})
}

// merge adds a decision, or the credential to one that is the same.
func merge(all []Explanation, d policy.Decision, credential string) []Explanation {
	i := slices.IndexFunc(all, func(e Explanation) bool { return e.Decision.Equal(d) })
	if i < 0 {
		return append(all, Explanation{d, []string{credential}})
	}
	all[i].CredentialIDs = append(all[i].CredentialIDs, credential)
	return all
}

// WhoQuery asks who may do what with a secret; with the tenant if it names none.
type WhoQuery struct {
	Secret  secret.Name
	Address string // where requests would come from; empty if that is not known
	Limit   int    // 1 to secret.MaxPage principals; 0 is secret.DefaultPage
	Cursor  string // a page's Next
}

// WhoInfo is what one principal may do.
type WhoInfo struct {
	Principal string
	Kind      store.PrincipalKind
	Actions   []policy.Action // with one of its credentials at least
	WithMFA   []policy.Action // also these, once it has given a second factor
}

// whoScan is how many principals a page may look at for each that it returns.
const whoScan = 10

// Who lists by name the principals that may do anything with a secret. It is
// the word of grants, policies and the secret's access policy, for requests
// made now. Operators, who are no tenant's, are not listed.
func (a *Access) Who(ctx context.Context, q WhoQuery) (Page[WhoInfo], error) {
	var page Page[WhoInfo]
	s, e := a.session, a.session.entry(audit.AccessWho, q.Secret)
	limit, err := pageSize(q.Limit)
	if err == nil && q.Secret != "" {
		_, err = secret.ParseName(string(q.Secret))
	}
	if err == nil {
		err = checkAddress(q.Address)
	}
	scope := "who\x00" + string(s.tenant) + "\x00" + string(q.Secret) + "\x00" + q.Address
	var after string
	if err == nil {
		after, err = s.vault.parseCursor(scope, q.Cursor)
	}
	if err != nil {
		return page, s.vault.refuse(ctx, e, err)
	}
	err = a.view(ctx, e, func(v reviewer) error {
		page = Page[WhoInfo]{Items: []WhoInfo{}}
		target, err := v.target(q.Secret)
		if err != nil {
			return err
		}
		next, err := v.walk(after, limit*whoScan, func(p *store.Principal) (bool, error) {
			info, err := v.who(p, q, target)
			if len(info.Actions)+len(info.WithMFA) > 0 {
				page.Items = append(page.Items, info)
			}
			return len(page.Items) < limit, err
		})
		if next != "" {
			page.Next = s.vault.cursor(scope, next)
		}
		return err
	})
	return settled(page, err)
}

// walk calls f with principals by name until it returns false, or most were
// looked at, and returns the name of the last one; empty if there are no more.
func (v reviewer) walk(after string, most int, f func(*store.Principal) (more bool, err error)) (last string, err error) {
	for seen := 0; ; {
		size := min(secret.MaxPage, most-seen+1)
		rows, err := v.reader.Principals().List(v.tenant.ID, after, size)
		if err != nil {
			return "", err
		}
		for i, p := range rows {
			more, err := f(p)
			after = p.Name
			if seen++; err != nil || !more || seen == most {
				if i == len(rows)-1 && len(rows) < size {
					after = ""
				}
				return after, err
			}
		}
		if len(rows) < size {
			return "", nil
		}
	}
}

func (v reviewer) who(p *store.Principal, q WhoQuery, target policy.Secret) (WhoInfo, error) {
	info := WhoInfo{Principal: p.Name, Kind: p.Kind}
	if !p.Disabled.IsZero() {
		return info, nil
	}
	identities, err := v.identities(p)
	if err != nil {
		return info, err
	}
	callers := make([]*policy.Caller, len(identities))
	for i := range identities {
		callers[i] = policy.NewCaller(subjectOf(identities[i]))
	}
	actions := policy.OnTenants()
	if q.Secret != "" {
		actions = policy.OnSecrets()
	}
	for _, a := range actions {
		effect := v.best(callers, policy.Request{Action: a, Secret: target, Time: v.session.vault.now(), Address: q.Address})
		switch {
		case effect == policy.Allow:
			info.Actions = append(info.Actions, a)
		case effect == policy.NeedMFA && p.Kind == store.Person: // services have no factors to give
			info.WithMFA = append(info.WithMFA, a)
		}
	}
	return info, nil
}

// best is the most that one of the callers may.
func (v reviewer) best(callers []*policy.Caller, r policy.Request) policy.Effect {
	best := policy.Deny
	for _, c := range callers {
		r.Caller = c
		best = max(best, v.rules.Decide(&r))
	}
	return best
}

// ReviewQuery asks for a page of principals.
type ReviewQuery struct {
	Limit  int // 1 to secret.MaxPage; 0 is secret.DefaultPage
	Cursor string
}

// ReviewInfo is what a review tells of one principal.
type ReviewInfo struct {
	Principal   string
	Kind        store.PrincipalKind
	Grants      []policy.Grant // nil: each credential has its own
	Service     string
	Environment secret.Environment
	Created     time.Time
	Disabled    time.Time // zero: enabled
	LastUsed    time.Time // a day
	LastRead    time.Time // a day
	Factors     []string  // kinds of second factors
	Credentials []ReviewCredential
}

// ReviewCredential is what a review tells of one credential, also of one that
// has ended.
type ReviewCredential struct {
	ID       string
	Kind     store.CredentialKind
	Source   string // how it was come by; empty if it was created by hand
	Grants   []policy.Grant
	Created  time.Time
	Expires  time.Time
	Revoked  time.Time
	LastUsed time.Time // a day
}

// Review lists by name every principal of the tenant, with credentials, grants,
// last uses and second factors.
func (a *Access) Review(ctx context.Context, q ReviewQuery) (Page[ReviewInfo], error) {
	var page Page[ReviewInfo]
	s, e := a.session, a.session.entry(audit.AccessReview, "")
	limit, err := pageSize(q.Limit)
	scope := "review\x00" + string(s.tenant)
	var after string
	if err == nil {
		after, err = s.vault.parseCursor(scope, q.Cursor)
	}
	if err != nil {
		return page, s.vault.refuse(ctx, e, err)
	}
	err = a.view(ctx, e, func(v reviewer) error {
		page = Page[ReviewInfo]{Items: []ReviewInfo{}}
		next, err := v.walk(after, limit, func(p *store.Principal) (bool, error) {
			info, err := v.review(p)
			page.Items = append(page.Items, info)
			return true, err
		})
		if next != "" {
			page.Next = s.vault.cursor(scope, next)
		}
		return err
	})
	return settled(page, err)
}

func (v reviewer) review(p *store.Principal) (ReviewInfo, error) {
	info := ReviewInfo{
		Principal: p.Name, Kind: p.Kind, Grants: p.Grants, Service: p.Service, Environment: p.Environment,
		Created: p.Created, Disabled: p.Disabled, LastUsed: dayTime(p.LastUsed), LastRead: dayTime(p.LastRead),
	}
	credentials, err := v.reader.Credentials().OfPrincipal(v.tenant.ID, p.Name, secret.MaxCredentials)
	for _, c := range credentials {
		info.Credentials = append(info.Credentials, ReviewCredential{
			ID: c.ID, Kind: c.Kind, Source: c.Source, Grants: c.Grants, Created: c.Created, Expires: c.Expires,
			Revoked: c.Revoked, LastUsed: dayTime(c.LastUsed),
		})
	}
	if err == nil {
		info.Factors, err = v.factors(p)
	}
	return info, err
}

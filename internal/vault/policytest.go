package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// Limits of one test.
const (
	maxCases  = 200
	maxDrafts = 20
	maxMFAAge = 365 * 24 * time.Hour
)

// PolicyTest asks what would be decided, by the rules in force or by a draft.
type PolicyTest struct {
	Drafts []PolicyDraft // in force for the test, some in the place of stored ones
	Cases  []PolicyCase
}

// PolicyDraft is a policy that is not stored.
type PolicyDraft struct {
	Name string
	Text string // empty: the policy is deleted
}

// PolicyCase is one request.
type PolicyCase struct {
	// Principal is one of the tenant's, unless Kind is set: then it is made up.
	Principal string
	Kind      *store.PrincipalKind
	// Grants, Service and Environment take the place of the principal's own if
	// they are set.
	Grants      []policy.Grant
	Service     string
	Environment secret.Environment

	Action policy.Action
	Secret secret.Name // of an action on a secret
	// Tags make up a secret that has them, and no access policy. Nil: the secret
	// is the tenant's, or absent.
	Tags map[string]string

	Address string
	MFAAge  *time.Duration // nil: no second factor was given
	Time    time.Time      // zero: now
}

// Test decides on cases and tells why. Nothing is changed. A case that is not
// valid is an error that names it by its number.
func (p *Policies) Test(ctx context.Context, test PolicyTest) ([]policy.Decision, error) {
	s, e := p.session, p.entry(audit.PolicyTest)
	switch {
	case len(test.Cases) < 1 || len(test.Cases) > maxCases:
		return nil, s.vault.refuse(ctx, e, secret.Limited("cases", fmt.Sprintf("1 to %d cases", maxCases)))
	case len(test.Drafts) > maxDrafts:
		return nil, s.vault.refuse(ctx, e, secret.Limited("drafts", fmt.Sprintf("at most %d drafts", maxDrafts)))
	}
	var decisions []policy.Decision
	err := p.view(ctx, e, func(r store.Reader, t *store.Tenant) error {
		rules, err := s.draftedRules(r, t, test.Drafts)
		if err != nil {
			return err
		}
		v := reviewer{s, r, t, rules}
		decisions = make([]policy.Decision, len(test.Cases))
		for i, c := range test.Cases {
			if decisions[i], err = v.try(c); err != nil {
				return inCase(i, err)
			}
		}
		return nil
	})
	return settled(decisions, err)
}

// inCase says in which case an error is.
func inCase(i int, err error) error {
	var known *secret.Error
	if !errors.As(err, &known) {
		return err
	}
	named := *known
	named.Field = fmt.Sprintf("cases[%d]", i)
	if known.Field != "" {
		named.Field += "." + known.Field
	}
	return &named
}

// draftedRules are the rules in force with drafts in the place of some.
func (s *Session) draftedRules(r store.Reader, t *store.Tenant, drafts []PolicyDraft) (*policy.Set, error) {
	if len(drafts) == 0 {
		return s.vault.rulesOf(r, t)
	}
	row, _, err := readSettings(r, t.ID)
	if err != nil {
		return nil, err
	}
	texts, _, err := readTexts(r, t.ID)
	if err != nil {
		return nil, err
	}
	for _, d := range drafts {
		texts = slices.DeleteFunc(texts, func(text *policy.Text) bool { return text.Name() == d.Name })
		if d.Text == "" {
			continue
		}
		text, err := policy.ParseText(d.Name, d.Text)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return policy.NewSet(t.Name, row.settings(), texts...)
}

// try decides on one case.
func (v reviewer) try(c PolicyCase) (policy.Decision, error) {
	p, err := v.principalOf(c)
	if err != nil {
		return policy.Decision{}, err
	}
	if err := (ExplainQuery{Action: c.Action, Secret: c.Secret, Address: c.Address}).validate(); err != nil {
		return policy.Decision{}, err
	}
	if c.MFAAge != nil && (*c.MFAAge < 0 || *c.MFAAge > maxMFAAge) {
		return policy.Decision{}, secret.Limited("mfaAge", fmt.Sprintf("0 to %d seconds", maxMFAAge/time.Second))
	}
	target := policy.Secret{Name: c.Secret, Look: policy.Present, Tags: c.Tags}
	if c.Tags == nil && c.Action.OnSecret() {
		if target, err = v.target(c.Secret); err != nil {
			return policy.Decision{}, err
		}
	}
	subject := subjectOf(v.identity(p, nil))
	r := policy.Request{Action: c.Action, Secret: target, Time: c.Time, Address: c.Address}
	if r.Time.IsZero() {
		r.Time = v.session.vault.now()
	}
	if c.MFAAge != nil {
		subject.MFA = r.Time.Add(-*c.MFAAge)
	}
	r.Caller = policy.NewCaller(subject)
	if !p.Disabled.IsZero() {
		return policy.Disabled(), nil
	}
	return v.rules.Explain(&r), nil
}

// principalOf is the principal of a case: the tenant's, or one that is made up.
func (v reviewer) principalOf(c PolicyCase) (*store.Principal, error) {
	if err := identity.CheckPrincipal(c.Principal); err != nil {
		return nil, err
	}
	p := &store.Principal{Tenant: v.tenant.ID, Name: c.Principal}
	if c.Kind != nil {
		p.Kind = *c.Kind
	} else {
		var err error
		if p, err = v.reader.Principals().Principal(v.tenant.ID, c.Principal); errors.Is(err, store.ErrAbsent) {
			return nil, secret.Invalid("principal", "there is none of this name; say of which kind it is to make one up")
		} else if err != nil {
			return nil, err
		}
	}
	if c.Grants != nil {
		if err := policy.ValidateGrants(c.Grants); err != nil {
			return nil, err
		}
		p.Grants = c.Grants
	}
	if c.Service != "" {
		if err := secret.CheckService("service", c.Service); err != nil {
			return nil, err
		}
		p.Service = c.Service
	}
	if c.Environment != "" {
		p.Environment = c.Environment
	}
	return p, nil
}

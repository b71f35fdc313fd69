package vault

import (
	"errors"
	"fmt"
	"reflect"
	"sync"

	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// ruler decides on one caller's requests to one tenant, by the rules that were
// in force when it was made.
type ruler struct {
	session *Session
	rules   *policy.Set
	caller  *policy.Caller
}

// ruler decides by the rules that r sees. Policies that this release cannot
// compile refuse everybody but operators, whom they do not bind, and who can
// replace them.
func (s *Session) ruler(r store.Reader, t *store.Tenant) (ruler, error) {
	rules, err := s.vault.rulesOf(r, t)
	if err != nil && s.caller.subject.Operator {
		rules, err = settingsOf(r, t)
	}
	return s.rulerBy(rules), err
}

// settingsOf are a tenant's rules without its policies.
func settingsOf(r store.Reader, t *store.Tenant) (*policy.Set, error) {
	row, _, err := readSettings(r, t.ID)
	if err != nil {
		return nil, err
	}
	return policy.NewSet(t.Name, row.settings())
}

func (s *Session) rulerBy(rules *policy.Set) ruler {
	return ruler{s, rules, s.vault.compiled.of(s.caller)}
}

// authorize decides whether the caller may do a to the tenant.
func (s *Session) authorize(r store.Reader, t *store.Tenant, a policy.Action) error {
	j, err := s.ruler(r, t)
	if err != nil {
		return err
	}
	return j.allow(a, policy.Secret{})
}

// request is what is decided on.
func (j ruler) request(a policy.Action, sec policy.Secret) *policy.Request {
	return &policy.Request{
		Caller: j.caller, Action: a, Secret: sec,
		Time: j.session.vault.now(), Address: j.session.caller.origin.Address,
	}
}

// allow decides whether the caller may do a to the secret, or to the tenant if
// it is an action on that.
func (j ruler) allow(a policy.Action, sec policy.Secret) error {
	r := j.request(a, sec)
	e := j.rules.Decide(r)
	if e == policy.Allow {
		return nil
	}
	return refusal(e, &denial{action: a, by: j.session.caller.credential, reason: j.rules.Explain(r).Reason})
}

// mayList reports whether a listing shows the secret to the caller.
func (j ruler) mayList(sec *store.Secret) bool {
	return j.rules.Decide(j.request(policy.List, present(sec))) == policy.Allow
}

// unseen, absent and present are a secret as decisions see it before it was
// looked up and after.
func unseen(name secret.Name) policy.Secret { return policy.Secret{Name: name} }

func absent(name secret.Name, tags map[string]string) policy.Secret {
	return policy.Secret{Name: name, Look: policy.Absent, Tags: tags}
}

func present(sec *store.Secret) policy.Secret {
	return policy.Secret{Name: sec.Name, Look: policy.Present, Tags: sec.Metadata.Tags, Access: sec.Metadata.AccessPolicy}
}

// denial is why a request was refused, for the open part of its entry. The
// caller is told only that it was; those who may ask find it by the entry.
type denial struct {
	action policy.Action
	by     string // id of the caller's credential; empty if it had none
	reason string
	hidden bool // from the caller
}

// Error is for the operator's log.
func (d *denial) Error() string { return d.detail() }

// Is makes a hidden denial an errHidden.
func (d *denial) Is(target error) bool { return d.hidden && target == errHidden }

// detail is what an entry says of the denial: see parseDenial.
func (d *denial) detail() string {
	by := ""
	if d.by != "" {
		by = " by " + d.by
	}
	return fmt.Sprintf("%s%s%s: %s", denialMark, d.action, by, d.reason)
}

// denialMark begins what an entry says of a denial.
const denialMark = "refused "

func refusal(e policy.Effect, d *denial) error {
	switch e {
	case policy.Hide:
		d.hidden = true
		return secret.ErrNotFound.With(d)
	case policy.NeedMFA:
		return secret.ErrMFARequired.With(d)
	}
	return secret.ErrAccessDenied.With(d)
}

// denialIn returns what an entry is to say of a refusal; empty if err is none.
func denialIn(err error) string {
	var d *denial
	if errors.As(err, &d) {
		return d.detail()
	}
	return ""
}

// compiledCallers keeps what was compiled of callers, by their credentials. It
// counts for a caller about whom all that a decision looks at is the same. Safe for
// concurrent use.
type compiledCallers struct {
	mu   sync.Mutex // guards rows, briefly
	rows map[string]compiledCaller
}

type compiledCaller struct {
	identity *store.Identity // of whom it was compiled
	caller   *policy.Caller
}

// of returns a caller ready for decisions.
func (c *compiledCallers) of(caller *Caller) *policy.Caller {
	if caller.identity == nil {
		return policy.NewCaller(caller.subject)
	}
	c.mu.Lock()
	row, ok := c.rows[caller.credential]
	c.mu.Unlock()
	if ok && (row.identity == caller.identity || reflect.DeepEqual(row.caller.Subject, caller.subject)) {
		return row.caller
	}
	row = compiledCaller{caller.identity, policy.NewCaller(caller.subject)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rows == nil || len(c.rows) >= maxKnown {
		c.rows = make(map[string]compiledCaller)
	}
	c.rows[caller.credential] = row
	return row.caller
}

// expire forgets all, and with them credentials that nobody uses.
func (c *compiledCallers) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows = nil
}

package vault

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// Denial is a request that was refused.
type Denial struct {
	ID           string // the request's correlation id
	Time         time.Time
	Principal    string        // empty if the entry was redacted
	CredentialID string        // empty if it was not by a decision
	Action       policy.Action // empty if it was not by a decision
	Secret       secret.Name
	Answer       string // the code that the caller got, such as not_found
	Reason       string // what refused it then
	// Now is the same request decided again, with its reasons; nil if its
	// principal or its credential is no more, or not known.
	Now *policy.Decision
}

// denialScan is how many of the newest entries are looked at for a denial.
const denialScan = 50_000

// Denial tells why a request was refused, and what would become of it now. The
// id is the correlation id that its caller got. What was refused before its
// caller was known is not in the tenant's log.
func (a *Access) Denial(ctx context.Context, id string) (Denial, error) {
	var found Denial
	s := a.session
	e := s.entry(audit.AccessExplain, "")
	if id == "" || len(id) > audit.MaxCorrelationID {
		return found, s.vault.refuse(ctx, e, secret.Invalid("denial", "the correlation id of an answer"))
	}
	e.Detail = "denial"
	if err := s.vault.sequence(ctx); err != nil {
		return found, s.vault.conclude(ctx, e, err)
	}
	err := a.view(ctx, e, func(v reviewer) error {
		entry, err := v.denied(id)
		if err != nil {
			return err
		}
		found = denialOf(entry)
		found.Now, err = v.again(found, entry.IPAddress)
		return err
	})
	return settled(found, err)
}

// denied finds the entry of a refusal, in the tenant's part of the log.
func (v reviewer) denied(id string) (audit.Entry, error) {
	log := v.session.vault.Audit(v.session.caller, v.tenant.Name)
	w, err := log.walk(v.reader, true, -1)
	if err != nil {
		return audit.Entry{}, err
	}
	for range denialScan {
		entry, ok, err := w.next()
		switch {
		case err != nil:
			return audit.Entry{}, err
		case !ok:
			return audit.Entry{}, secret.ErrNotFound
		case entry.CorrelationID == id && entry.Result == audit.AccessDenied:
			return entry, nil
		}
	}
	return audit.Entry{}, secret.ErrNotFound
}

// denialOf reads the entry of a refusal: see denial.detail.
func denialOf(e audit.Entry) Denial {
	d := Denial{
		ID: e.CorrelationID, Time: e.Timestamp, Principal: e.UserID, Secret: secret.Name(e.SecretName), Answer: e.Error,
	}
	detail, ok := strings.CutPrefix(e.Detail, denialMark)
	if !ok { // not by a decision: the answer says why, or another tenant was named
		d.Reason = e.Error
		return d
	}
	what, reason, _ := strings.Cut(detail, ": ")
	action, credential, _ := strings.Cut(what, " by ")
	d.Action, d.CredentialID, d.Reason = policy.Action(action), credential, reason
	return d
}

// again decides on the request anew; nil if that cannot be done.
func (v reviewer) again(d Denial, address string) (*policy.Decision, error) {
	if d.CredentialID == "" {
		return nil, nil
	}
	i, err := v.reader.Credentials().ByID(d.CredentialID)
	switch {
	case errors.Is(err, store.ErrAbsent):
		return nil, nil
	case err != nil:
		return nil, err
	case i.Credential.Tenant != v.tenant.ID || !live(i.Credential, v.session.vault.now()):
		return nil, nil
	}
	q := ExplainQuery{Action: d.Action, Secret: d.Secret, Address: address}
	var target policy.Secret
	if d.Action.OnSecret() {
		if target, err = v.target(d.Secret); err != nil {
			return nil, err
		}
	}
	decision := v.decide(i, q, target)
	return &decision, nil
}

// factors returns the types of a principal's second factors, each once.
func (v reviewer) factors(p *store.Principal) ([]string, error) {
	prefix := p.Name + "/"
	rows, factors, err := documents[factorDocument](v.reader, v.tenant.ID, factorKind, prefix, v.session.vault.now())
	var types []string
	for i, f := range factors {
		// A name with a slash may begin with another one.
		if own := !strings.Contains(rows[i].ID[len(prefix):], "/"); own && !f.Confirmed.IsZero() {
			types = append(types, string(f.Type))
		}
	}
	slices.Sort(types)
	return slices.Compact(types), err
}

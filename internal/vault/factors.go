package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

// FactorType says what a second factor is.
type FactorType string

// The types of second factor.
const (
	TOTPFactor     FactorType = "totp"     // one-time codes of an authenticator
	WebAuthnFactor FactorType = "webauthn" // a security key or a passkey
	RecoveryFactor FactorType = "recovery" // codes for the day on which the others are lost
)

const (
	maxFactors    = 10               // of one person, those being enrolled included
	maxFactorName = 64               // characters
	confirmTime   = 10 * time.Minute // for the first code of a new authenticator
	// recentLogin is how long after a login a first factor may be enrolled.
	recentLogin = 15 * time.Minute
	recoveryID  = "recovery" // of the set of recovery codes, in the place of a factor's id
)

// factorDocument is what is kept of a factor. An authenticator's seed is beside
// it, sealed.
type factorDocument struct {
	Type      FactorType `json:"type"`
	Name      string     `json:"name,omitzero"`
	Confirmed time.Time  `json:"confirmed,omitzero"` // zero while it is being enrolled
	Used      int32      `json:"used,omitzero"`      // day, in days since 1970-01-01
	Step      int64      `json:"step,omitzero"`      // of the last code that was given
	Key       []byte     `json:"key,omitzero"`       // of a security key, public
	Codes     []string   `json:"codes,omitzero"`     // hashes of recovery codes; "" once used
}

// Factors is a caller's handle to second factors of its own. Services have none.
type Factors struct {
	vault  *Vault
	caller *Caller
}

// Factors is the handle to the caller's own second factors.
func (v *Vault) Factors(c *Caller) *Factors { return &Factors{v, c} }

// FactorInfo is what is told of a second factor.
type FactorInfo struct {
	ID       string
	Type     FactorType
	Name     string
	Created  time.Time
	LastUsed time.Time // a day; zero: never
	Left     int       // codes that a set of recovery codes still has
}

// FactorState is what is told of a caller's second factors.
type FactorState struct {
	Factors []FactorInfo
	Locked  bool      // nothing else works before a factor is given
	Given   time.Time // when one was last given with this credential; zero: never
	Fresh   time.Time // until when it counts; zero if it does not
}

// factorOwner is whose factors are worked on.
type factorOwner struct {
	tenant    secret.TenantID // zero for an operator
	principal string
}

func (o factorOwner) id(factor string) string { return o.principal + "/" + factor }

func (c *Caller) factorOwner() factorOwner { return factorOwner{c.tenantID, c.principal} }

// factorsOf reads the factors of somebody that can be used, or are being
// enrolled, the recovery codes too.
func (v *Vault) factorsOf(r store.Reader, o factorOwner) (rows []*store.Document, held []factorDocument, err error) {
	docs, all, err := documents[factorDocument](r, o.tenant, factorKind, o.id(""), v.now())
	for i, d := range docs {
		// The names of others may begin with this one and a slash.
		if strings.Contains(strings.TrimPrefix(d.ID, o.id("")), "/") {
			continue
		}
		rows, held = append(rows, d), append(held, all[i])
	}
	return rows, held, err
}

// hasFactor reports whether one of the factors can be used, recovery codes aside.
func hasFactor(held []factorDocument) bool {
	return slices.ContainsFunc(held, func(f factorDocument) bool { return f.Type != RecoveryFactor && !f.Confirmed.IsZero() })
}

func factorInfo(o factorOwner, d *store.Document, f factorDocument) FactorInfo {
	info := FactorInfo{
		ID: strings.TrimPrefix(d.ID, o.id("")), Type: f.Type, Name: f.Name, Created: f.Confirmed, LastUsed: dayTime(f.Used),
	}
	for _, c := range f.Codes {
		if c != "" {
			info.Left++
		}
	}
	return info
}

// infos tells of the factors that can be used.
func (v *Vault) factorInfos(r store.Reader, o factorOwner) ([]FactorInfo, error) {
	rows, held, err := v.factorsOf(r, o)
	infos := []FactorInfo{}
	for i, f := range held {
		if !f.Confirmed.IsZero() {
			infos = append(infos, factorInfo(o, rows[i], f))
		}
	}
	return infos, err
}

// own reads the caller's credential and refuses whoever has no factors.
func (f *Factors) own(r store.Reader) (*store.Identity, error) {
	if !f.caller.subject.Operator && f.caller.subject.Kind != policy.Person {
		return nil, &secret.Error{Code: secret.ErrAccessDenied.Code, Detail: "only people and operators have second factors"}
	}
	return f.vault.callersOwn(r, f.caller)
}

// change runs a change of the caller's own factors.
func (f *Factors) change(ctx context.Context, a audit.Action, do func(tx store.Tx, i *store.Identity, e *audit.Entry) error) error {
	return f.vault.change(ctx, f.caller.entry(f.vault, a), func(tx store.Tx, e *audit.Entry) error {
		i, err := f.own(tx)
		if err != nil {
			return err
		}
		return do(tx, i, e)
	})
}

// window is how long a factor of the caller counts as fresh.
func (f *Factors) window(r store.Reader) (time.Duration, error) {
	rules, err := f.vault.factorRules(r, f.caller.tenantID)
	return rules.Window(), err
}

// fresh refuses a caller who has not given a factor lately.
func (f *Factors) fresh(r store.Reader, i *store.Identity) error {
	window, err := f.window(r)
	if err != nil {
		return err
	}
	if freshUntil(i.Credential.MFA, window, f.vault.now()).IsZero() {
		return secret.ErrMFARequired
	}
	return nil
}

// freshUntil is until when a factor counts that was given at a time; zero if it
// counts no more, or never did.
func freshUntil(given time.Time, window time.Duration, now time.Time) time.Time {
	if given.IsZero() || now.Before(given) || now.Sub(given) > window {
		return time.Time{}
	}
	return given.Add(window)
}

// List tells the caller's factors, and whether one counts now.
func (f *Factors) List(ctx context.Context) (FactorState, error) {
	var state FactorState
	v := f.vault
	err := v.store.View(ctx, func(r store.Reader) error {
		i, err := f.own(r)
		if err != nil {
			return err
		}
		window, err := f.window(r)
		if err != nil {
			return err
		}
		state = FactorState{Locked: i.Credential.Locked, Given: i.Credential.MFA, Fresh: freshUntil(i.Credential.MFA, window, v.now())}
		state.Factors, err = v.factorInfos(r, f.caller.factorOwner())
		return err
	})
	return settled(state, v.conclude(ctx, f.caller.entry(v, audit.FactorList), err))
}

// mayEnrol decides whether the caller may add a factor. Beside one that is there,
// it must have been given lately: else a stolen session could enrol a thief's. A
// first one can only be added by who could log in, if so, and just did.
func (f *Factors) mayEnrol(r store.Reader, i *store.Identity) error {
	_, held, err := f.vault.factorsOf(r, f.caller.factorOwner())
	if err != nil {
		return err
	}
	if len(held) >= maxFactors {
		return secret.Limited("factors", fmt.Sprintf("at most %d", maxFactors))
	}
	if hasFactor(held) {
		return f.fresh(r, i)
	}
	login, err := f.vault.canLogIn(r, i.Principal)
	if err != nil || !login {
		return err
	}
	if strings.HasPrefix(i.Credential.Source, "login:") && f.vault.now().Sub(i.Credential.Created) <= recentLogin {
		return nil
	}
	return &secret.Error{Code: secret.ErrAccessDenied.Code, Detail: "the first factor is enrolled right after a login; log in again"}
}

// canLogIn reports whether a person has another way in than tokens made by hand.
func (v *Vault) canLogIn(r store.Reader, p *store.Principal) (bool, error) {
	if p.Subject != "" {
		return true, nil
	}
	_, _, err := document[passwordDocument](r, p.Tenant, passwordKind, p.Name, v.now())
	if errors.Is(err, secret.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// NewTOTP is an authenticator that is being enrolled. The receiver releases the
// URI, which holds the seed and is told only here.
type NewTOTP struct {
	ID  string
	URI *secretbuf.Buffer
}

// EnrolTOTP begins to enrol an authenticator for one-time codes. Confirm ends it,
// within ten minutes.
func (f *Factors) EnrolTOTP(ctx context.Context, name string) (*NewTOTP, error) {
	v, id := f.vault, identity.NewFactorID()
	if f.caller.tenantID.IsZero() {
		if err := v.makeOwnKey(ctx); err != nil {
			return nil, v.conclude(ctx, f.caller.entry(v, audit.FactorEnrol), err)
		}
	}
	seed := identity.NewTOTP()
	defer seed.Release()
	err := f.change(ctx, audit.FactorEnrol, func(tx store.Tx, i *store.Identity, e *audit.Entry) error {
		e.Detail = "authenticator " + id
		if err := checkFactorName(name); err != nil {
			return err
		}
		if err := f.mayEnrol(tx, i); err != nil {
			return err
		}
		owner := f.caller.factorOwner()
		d := &store.Document{Owner: owner.tenant, Kind: factorKind, ID: owner.id(id), Expires: v.now().Add(confirmTime)}
		if err := v.sealInto(tx, d, seed.Bytes()); err != nil {
			return err
		}
		return v.putDocument(tx, d, factorDocument{Type: TOTPFactor, Name: name})
	})
	if err != nil {
		return nil, err
	}
	issuer := "Fastness"
	if f.caller.tenant != "" {
		issuer += " " + string(f.caller.tenant)
	}
	return &NewTOTP{ID: id, URI: identity.TOTPURI(seed.Bytes(), issuer, f.caller.principal)}, nil
}

func checkFactorName(name string) error {
	if len(name) > maxFactorName {
		return secret.Limited("name", fmt.Sprintf("at most %d bytes", maxFactorName))
	}
	return secret.CheckLine("name", name)
}

// Confirm ends the enrolment of an authenticator with its first code, which also
// counts as given with this credential. With the first factor come recovery codes,
// one a line, told only here and released by the receiver; nil otherwise.
func (f *Factors) Confirm(ctx context.Context, id string, code []byte) (codes *secretbuf.Buffer, err error) {
	v, owner := f.vault, f.caller.factorOwner()
	if err := f.beginGuess(ctx); err != nil {
		return nil, v.conclude(ctx, f.caller.entry(v, audit.FactorConfirm), err)
	}
	fresh, hashes := identity.NewRecoveryCodes()
	given := false
	err = f.change(ctx, audit.FactorConfirm, func(tx store.Tx, i *store.Identity, e *audit.Entry) error {
		e.Detail, given = "authenticator "+id, false
		d, factor, err := document[factorDocument](tx, owner.tenant, factorKind, owner.id(id), v.now())
		if err != nil {
			return err
		}
		if factor.Type != TOTPFactor || !factor.Confirmed.IsZero() {
			return secret.Conflict("the factor is enrolled already")
		}
		if err := identity.CheckTOTP(code); err != nil {
			return err
		}
		if factor.Step, err = v.checkTOTP(tx, d, factor, code); err != nil {
			return err
		}
		d.Expires = time.Time{}
		given, err = f.enrolled(tx, i, d, factor, hashes, e)
		return err
	})
	if err != nil || !given {
		fresh.Release()
		fresh = nil
	}
	if err == nil {
		v.attempts.passed(f.caller.origin.Address, f.claim())
	}
	return fresh, err
}

// enrolled stores a factor that was proven to be there, and notes that it was
// given. It reports whether it stored the recovery codes, too, as there were none.
func (f *Factors) enrolled(tx store.Tx, i *store.Identity, d *store.Document, factor factorDocument, hashes []string, e *audit.Entry) (bool, error) {
	v, owner := f.vault, f.caller.factorOwner()
	factor.Confirmed, factor.Used = v.now(), day(v.now())
	if err := v.putDocument(tx, d, factor); err != nil {
		return false, err
	}
	if err := v.stepUp(tx, i.Credential); err != nil {
		return false, err
	}
	_, _, err := document[factorDocument](tx, owner.tenant, factorKind, owner.id(recoveryID), v.now())
	if !errors.Is(err, secret.ErrNotFound) {
		return false, err
	}
	e.Detail += "; recovery codes made"
	row := &store.Document{Owner: owner.tenant, Kind: factorKind, ID: owner.id(recoveryID)}
	return true, v.putDocument(tx, row, factorDocument{Type: RecoveryFactor, Codes: hashes, Confirmed: v.now()})
}

// stepUp notes that a second factor was given with a credential.
func (v *Vault) stepUp(tx store.Tx, c *store.Credential) error {
	c.MFA, c.Locked = v.now(), false
	return tx.EditCredentials().Update(c)
}

// claim is what guesses at the caller's codes are counted under.
func (f *Factors) claim() claim { return claim{f.caller.tenant, f.caller.principal, "factor"} }

// Recover makes new recovery codes in the place of the old ones: one a line, told
// only here, released by the receiver. It wants a fresh factor.
func (f *Factors) Recover(ctx context.Context) (*secretbuf.Buffer, error) {
	v, owner := f.vault, f.caller.factorOwner()
	codes, hashes := identity.NewRecoveryCodes()
	err := f.change(ctx, audit.FactorRecover, func(tx store.Tx, i *store.Identity, e *audit.Entry) error {
		_, held, err := v.factorsOf(tx, owner)
		if err != nil {
			return err
		}
		if !hasFactor(held) {
			return secret.Conflict("there is no second factor to recover")
		}
		if err := f.fresh(tx, i); err != nil {
			return err
		}
		d, old, err := document[factorDocument](tx, owner.tenant, factorKind, owner.id(recoveryID), v.now())
		if errors.Is(err, secret.ErrNotFound) {
			d, err = &store.Document{Owner: owner.tenant, Kind: factorKind, ID: owner.id(recoveryID)}, nil
		}
		if err != nil {
			return err
		}
		e.Detail = fmt.Sprintf("%d codes left -> %d", factorInfo(owner, d, old).Left, len(hashes))
		return v.putDocument(tx, d, factorDocument{Type: RecoveryFactor, Codes: hashes, Confirmed: v.now()})
	})
	if err != nil {
		codes.Release()
		return nil, err
	}
	return codes, nil
}

// Remove forgets one of the caller's factors. It wants a fresh one. With the last
// one go the recovery codes, and what was given counts no more.
func (f *Factors) Remove(ctx context.Context, id string) error {
	err := f.change(ctx, audit.FactorRemove, func(tx store.Tx, i *store.Identity, e *audit.Entry) error {
		if err := f.fresh(tx, i); err != nil {
			return err
		}
		return f.vault.removeFactor(tx, f.caller.factorOwner(), id, e)
	})
	if err != nil {
		return err
	}
	return f.vault.answer(f.vault.store.Scrub(ctx))
}

// removeFactor deletes a factor, or one that is being enrolled.
func (v *Vault) removeFactor(tx store.Tx, o factorOwner, id string, e *audit.Entry) error {
	_, factor, err := document[factorDocument](tx, o.tenant, factorKind, o.id(id), v.now())
	if err != nil {
		return err
	}
	e.Detail = fmt.Sprintf("%s %s", factor.Type, id)
	if err := tx.EditDocuments().Delete(o.tenant, factorKind, o.id(id)); err != nil {
		return err
	}
	rows, held, err := v.factorsOf(tx, o)
	if err != nil || hasFactor(held) {
		return err
	}
	e.Detail += ", the last one"
	for _, d := range rows {
		if err := tx.EditDocuments().Delete(o.tenant, factorKind, d.ID); err != nil {
			return err
		}
	}
	return v.stepDown(tx, o)
}

// stepDown makes second factors that somebody has given count no more.
func (v *Vault) stepDown(tx store.Tx, o factorOwner) error {
	creds, err := tx.Credentials().OfPrincipal(o.tenant, o.principal, secret.MaxCredentials)
	if err != nil {
		return err
	}
	for _, c := range creds {
		if c.MFA.IsZero() {
			continue
		}
		c.MFA = time.Time{}
		if err := tx.EditCredentials().Update(c); err != nil {
			return err
		}
	}
	return nil
}

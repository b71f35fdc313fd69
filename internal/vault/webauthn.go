package vault

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

// ceremony is what is remembered between the begin of a ceremony and its end.
type ceremony struct {
	Enrol bool   `json:"enrol,omitzero"`
	Name  string `json:"name,omitzero"` // of the key that is enrolled
	State []byte `json:"state"`
}

var errNoWebAuthn = secret.Invalid("webauthn", "this deployment has no relying party for security keys: set webauthn_id and webauthn_origins")

// BeginKey begins to enrol a security key or passkey. It returns the options for
// navigator.credentials.create, in JSON; EndKey ends it, within five minutes.
func (f *Factors) BeginKey(ctx context.Context, name string) (options []byte, err error) {
	err = f.change(ctx, audit.FactorEnrol, func(tx store.Tx, i *store.Identity, e *audit.Entry) error {
		e.Detail = "security key begun"
		if err := checkFactorName(name); err != nil {
			return err
		}
		if err := f.mayEnrol(tx, i); err != nil {
			return err
		}
		holder, _, err := f.holder(tx)
		if err != nil {
			return err
		}
		var state []byte
		if options, state, err = f.vault.webauthn.BeginEnrolment(holder); err != nil {
			return err
		}
		return f.remember(tx, ceremony{Enrol: true, Name: name, State: state})
	})
	return settled(options, err)
}

// EndKey ends the enrolment of a key with what the authenticator answered, in
// JSON. The key counts as given with this credential. It returns the factor's id,
// and recovery codes as Confirm does.
func (f *Factors) EndKey(ctx context.Context, response []byte) (id string, codes *secretbuf.Buffer, err error) {
	id = identity.NewFactorID()
	fresh, hashes := identity.NewRecoveryCodes()
	given := false
	err = f.change(ctx, audit.FactorConfirm, func(tx store.Tx, i *store.Identity, e *audit.Entry) error {
		e.Detail, given = "security key "+id, false
		holder, _, err := f.holder(tx)
		if err != nil {
			return err
		}
		begun, err := f.recall(tx, true)
		if err != nil {
			return err
		}
		key, err := f.vault.webauthn.Enrolled(holder, begun.State, response)
		if err != nil {
			return shownBadly(err)
		}
		owner := f.caller.factorOwner()
		d := &store.Document{Owner: owner.tenant, Kind: factorKind, ID: owner.id(id)}
		given, err = f.enrolled(tx, i, d, factorDocument{Type: WebAuthnFactor, Name: begun.Name, Key: key}, hashes, e)
		return err
	})
	if err != nil || !given {
		fresh.Release()
		fresh = nil
	}
	if err != nil {
		return "", nil, err
	}
	return id, fresh, nil
}

// BeginShow asks for one of the caller's security keys. It returns the options for
// navigator.credentials.get, in JSON; EndShow ends it, within five minutes.
func (f *Factors) BeginShow(ctx context.Context) (options []byte, err error) {
	err = f.change(ctx, audit.FactorVerify, func(tx store.Tx, _ *store.Identity, e *audit.Entry) error {
		e.Detail = "security key asked for"
		holder, _, err := f.holder(tx)
		if err != nil {
			return err
		}
		if len(holder.Keys) == 0 {
			return secret.Conflict("there is no security key to show; enrol one first")
		}
		var state []byte
		if options, state, err = f.vault.webauthn.BeginShow(holder); err != nil {
			return err
		}
		return f.remember(tx, ceremony{State: state})
	})
	return settled(options, err)
}

// EndShow steps the caller's credential up with what the authenticator answered,
// as Verify does with a code.
func (f *Factors) EndShow(ctx context.Context, response []byte) (until time.Time, err error) {
	v := f.vault
	err = f.change(ctx, audit.FactorVerify, func(tx store.Tx, i *store.Identity, e *audit.Entry) error {
		holder, rows, err := f.holder(tx)
		if err != nil {
			return err
		}
		begun, err := f.recall(tx, false)
		if err != nil {
			return err
		}
		n, key, err := v.webauthn.Shown(holder, begun.State, response)
		if err != nil {
			return shownBadly(err)
		}
		factor, err := decodeDocument[factorDocument](rows[n])
		if err != nil {
			return err
		}
		factor.Key, factor.Used = key, day(v.now())
		e.Detail = "webauthn " + factorInfo(f.caller.factorOwner(), rows[n], factor).ID
		if err := v.putDocument(tx, rows[n], factor); err != nil {
			return err
		}
		if err := v.stepUp(tx, i.Credential); err != nil {
			return err
		}
		window, err := f.window(tx)
		until = i.Credential.MFA.Add(window)
		return err
	})
	return settled(until, err)
}

// shownBadly is a refusal of the authenticator's answer. The caller is known, so
// it is not one of the credential.
func shownBadly(err error) error {
	if errors.Is(err, secret.ErrUnauthenticated) {
		return &secret.Error{Code: secret.ErrAccessDenied.Code, Field: "response", Detail: "the authenticator's answer does not verify", Cause: secret.Of(err).Cause}
	}
	return err
}

// holder is the caller as WebAuthn knows it, with the rows of its keys.
func (f *Factors) holder(r store.Reader) (identity.Holder, []*store.Document, error) {
	if f.vault.webauthn == nil {
		return identity.Holder{}, nil, errNoWebAuthn
	}
	owner := f.caller.factorOwner()
	handle := sha256.Sum256([]byte("fastness webauthn\x00" + string(owner.tenant[:]) + owner.principal))
	h := identity.Holder{ID: handle[:], Name: owner.principal}
	rows, held, err := f.vault.factorsOf(r, owner)
	var keys []*store.Document
	for i, factor := range held {
		if factor.Type == WebAuthnFactor {
			keys, h.Keys = append(keys, rows[i]), append(h.Keys, factor.Key)
		}
	}
	return h, keys, err
}

// remember keeps the state of a ceremony. A credential has one ceremony at a time;
// a new one takes the place of the last.
func (f *Factors) remember(tx store.Tx, c ceremony) error {
	v, id := f.vault, f.ceremonyID()
	d, err := tx.Documents().Document(f.caller.tenantID, ceremonyKind, id)
	if errors.Is(err, store.ErrAbsent) {
		d, err = &store.Document{Owner: f.caller.tenantID, Kind: ceremonyKind, ID: id}, nil
	}
	if err != nil {
		return err
	}
	d.Expires = v.now().Add(identity.CeremonyTime)
	return v.putDocument(tx, d, c)
}

// recall takes what remember kept, once.
func (f *Factors) recall(tx store.Tx, enrol bool) (ceremony, error) {
	_, c, err := document[ceremony](tx, f.caller.tenantID, ceremonyKind, f.ceremonyID(), f.vault.now())
	if err != nil || c.Enrol != enrol {
		if err == nil || errors.Is(err, secret.ErrNotFound) {
			err = secret.Conflict("there is no such ceremony under way; begin again")
		}
		return c, err
	}
	return c, tx.EditDocuments().Delete(f.caller.tenantID, ceremonyKind, f.ceremonyID())
}

func (f *Factors) ceremonyID() string { return f.caller.principal + "/" + f.caller.credential }

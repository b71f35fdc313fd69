package vault

import (
	"context"
	"errors"
	"time"

	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// errCode is a code that is not good. What is wrong with it is nobody's business.
var errCode = &secret.Error{Code: secret.ErrAccessDenied.Code, Field: "code", Detail: "the code is wrong, too old, or was used before"}

// Verify steps the caller's credential up with a one-time code of one of its
// authenticators, or with a recovery code: until the time it returns, the second
// factor counts as fresh. A code works once, on whichever node it is given.
// Guesses are slowed: secret.ErrTooMany.
func (f *Factors) Verify(ctx context.Context, code []byte) (until time.Time, err error) {
	v := f.vault
	if err := f.beginGuess(ctx); err != nil {
		return until, v.conclude(ctx, f.caller.entry(v, audit.FactorVerify), err)
	}
	err = f.change(ctx, audit.FactorVerify, func(tx store.Tx, i *store.Identity, e *audit.Entry) error {
		if err := f.spendCode(tx, code, e); err != nil {
			return err
		}
		if err := v.stepUp(tx, i.Credential); err != nil {
			return err
		}
		window, err := f.window(tx)
		until = i.Credential.MFA.Add(window)
		return err
	})
	if err != nil {
		return time.Time{}, err
	}
	v.attempts.passed(f.caller.origin.Address, f.claim())
	return until, nil
}

// beginGuess counts a try at a code, of who has codes at all, before it is looked
// at.
func (f *Factors) beginGuess(ctx context.Context) error {
	err := f.vault.store.View(ctx, func(r store.Reader) error {
		_, err := f.own(r)
		return err
	})
	if err != nil {
		return err
	}
	return f.vault.attempts.begin(f.caller.origin.Address, f.claim())
}

// spendCode finds the factor whose code this is, and notes that it was given. That
// is one write of a row that must not have changed since it was read: of two nodes
// that are given a code, one takes it.
func (f *Factors) spendCode(tx store.Tx, code []byte, e *audit.Entry) error {
	v, owner := f.vault, f.caller.factorOwner()
	rows, held, err := v.factorsOf(tx, owner)
	if err != nil {
		return err
	}
	isTOTP := identity.CheckTOTP(code) == nil
	for i, factor := range held {
		switch {
		case factor.Confirmed.IsZero():
			continue
		case factor.Type == TOTPFactor && isTOTP:
			factor.Step, err = v.checkTOTP(tx, rows[i], factor, code)
		case factor.Type == RecoveryFactor && !isTOTP:
			factor.Codes, err = spendRecovery(factor.Codes, code)
		default:
			continue
		}
		if errors.Is(err, errCode) {
			continue
		}
		if err != nil {
			return err
		}
		factor.Used = day(v.now())
		info := factorInfo(owner, rows[i], factor)
		e.Detail = string(info.Type) + " " + info.ID
		return v.putDocument(tx, rows[i], factor)
	}
	return errCode
}

// checkTOTP compares a code with an authenticator's, and returns its step.
func (v *Vault) checkTOTP(r store.Reader, d *store.Document, factor factorDocument, code []byte) (int64, error) {
	seed, err := v.openSealed(r, d)
	if err != nil {
		return 0, err
	}
	defer seed.Release()
	step, ok := identity.VerifyTOTP(seed.Bytes(), code, v.now(), factor.Step)
	if !ok {
		return 0, errCode
	}
	return step, nil
}

// spendRecovery takes a code out of a set.
func spendRecovery(hashes []string, code []byte) ([]string, error) {
	found := identity.FindRecoveryCode(code, hashes)
	if found < 0 {
		return nil, errCode
	}
	left := append([]string(nil), hashes...)
	left[found] = ""
	return left, nil
}

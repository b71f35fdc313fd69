package api

import (
	"net/http"
	"time"

	"fastness/internal/secret"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

// factors is the handle to the caller's own.
func (c *call) factors() *vault.Factors { return c.api.vault.Factors(c.caller) }

func listFactors(c *call) error {
	state, err := c.factors().List(c.context())
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.FactorState{
		Factors: wire.ListOf(state.Factors, factorOf, "").Items,
		Locked:  state.Locked, Given: state.Given.UTC(), Fresh: state.Fresh.UTC(),
	})
}

func factorOf(f vault.FactorInfo) wire.Factor {
	return wire.Factor{
		ID: f.ID, Type: string(f.Type), Name: f.Name, Created: f.Created.UTC(), LastUsed: f.LastUsed.UTC(), Left: f.Left,
	}
}

// enrolTOTP begins to enrol an authenticator, and tells its seed, once.
func enrolTOTP(c *call) error {
	var r wire.FactorRequest
	if err := wire.Decode(c.body, &r); err != nil {
		return reject(err)
	}
	made, err := c.factors().EnrolTOTP(c.context(), r.Name)
	if err != nil {
		return err
	}
	defer made.URI.Release()
	return c.reply(http.StatusCreated, wire.TOTPCreated{ID: made.ID, URI: made.URI})
}

// code decodes the body of a route that takes a code, and lends it to f.
func (c *call) code(f func(code []byte) error) error {
	var r wire.CodeRequest
	if err := wire.Decode(c.body, &r); err != nil {
		return reject(err)
	}
	defer r.Code.Release()
	if r.Code.Len() == 0 || r.Code.Len() > maxCode {
		return reject(secret.Limited("code", "1 to 64 characters"))
	}
	return f(r.Code.Bytes())
}

// maxCode is more than a recovery code has, written with blanks.
const maxCode = 64

func confirmTOTP(c *call) error {
	return c.code(func(code []byte) error {
		codes, err := c.factors().Confirm(c.context(), c.id, code)
		if err != nil {
			return err
		}
		defer codes.Release()
		return c.reply(http.StatusOK, wire.FactorCreated{ID: c.id, RecoveryCodes: codes})
	})
}

func verifyCode(c *call) error {
	return c.code(func(code []byte) error { return c.replySteppedUp(c.factors().Verify(c.context(), code)) })
}

func (c *call) replySteppedUp(until time.Time, err error) error {
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.SteppedUp{Fresh: until.UTC()})
}

func renewRecovery(c *call) error {
	codes, err := c.factors().Recover(c.context())
	if err != nil {
		return err
	}
	defer codes.Release()
	return c.reply(http.StatusCreated, wire.RecoveryCodes{RecoveryCodes: codes})
}

func removeFactor(c *call) error {
	if err := c.factors().Remove(c.context(), c.id); err != nil {
		return err
	}
	return c.noContent()
}

// enrolKey begins to enrol a security key.
func enrolKey(c *call) error {
	var r wire.FactorRequest
	if err := wire.Decode(c.body, &r); err != nil {
		return reject(err)
	}
	return c.replyCeremony(c.factors().BeginKey(c.context(), r.Name))
}

// askForKey begins to ask for one.
func askForKey(c *call) error { return c.replyCeremony(c.factors().BeginShow(c.context())) }

func (c *call) replyCeremony(options []byte, err error) error {
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.Ceremony{Options: options})
}

// answerOf decodes what an authenticator answered.
func (c *call) answerOf() ([]byte, error) {
	var r wire.CeremonyRequest
	if err := wire.Decode(c.body, &r); err != nil {
		return nil, reject(err)
	}
	if len(r.Response) == 0 {
		return nil, invalid("response", "is required")
	}
	return r.Response, nil
}

func confirmKey(c *call) error {
	response, err := c.answerOf()
	if err != nil {
		return err
	}
	id, codes, err := c.factors().EndKey(c.context(), response)
	if err != nil {
		return err
	}
	defer codes.Release()
	return c.reply(http.StatusCreated, wire.FactorCreated{ID: id, RecoveryCodes: codes})
}

func showKey(c *call) error {
	response, err := c.answerOf()
	if err != nil {
		return err
	}
	return c.replySteppedUp(c.factors().EndShow(c.context(), response))
}

// listFactorsOf tells of somebody else's.
func listFactorsOf(c *call) error {
	all, err := c.principals().Factors(c.context(), c.principal)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.ListOf(all, factorOf, ""))
}

func removeFactorOf(c *call) error {
	if err := c.principals().RemoveFactor(c.context(), c.principal, c.id); err != nil {
		return err
	}
	return c.noContent()
}

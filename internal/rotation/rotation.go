// Package rotation gives secrets new values, and changes the credentials that
// they are of: users of databases, or whatever a webhook changes.
//
// The key idea is that a rotation is never half-done. Its intent is durable
// before an effect and its outcome after; every step may be repeated; and after
// a crash one finds out which credential works and goes on from there. What to
// do next is decided by a pure function over the journal's record and what was
// found: see Decide in machine.go. What each kind of credential needs is a
// Rotator: see rotator.go, and a file for each kind.
//
// A value is made from crypto/rand without bias and lives in a secretbuf.Buffer
// from its first byte. Where a driver wants a string, it is made at the last
// moment and overwritten afterwards.
package rotation

import (
	"context"
	"errors"
	"strings"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/vault"
)

// Rotate gives a secret a new version: p.Value, or, if that is nil, one made
// by the rules of Generate. The rules for p are those of vault.Session.Put. A
// secret that rotates by itself gets no version without a value: Rotate asks for
// a rotation then, and returns how it stands.
func Rotate(ctx context.Context, s *vault.Session, name secret.Name, p vault.Put) (vault.Written, *Status, error) {
	p.Make = Generate
	written, err := s.Rotate(ctx, name, p)
	if !errors.Is(err, vault.ErrRotates) {
		return written, nil, err
	}
	if p.Token != "" {
		err = secret.Invalid("requestToken", "only with a value, for a secret that rotates by itself")
		return vault.Written{}, nil, s.Refused(ctx, audit.Rotate, name, err)
	}
	status, err := StatusOf(s.AskRotation(ctx, name))
	return vault.Written{}, &status, err
}

// Generate makes a value for a secret without a rotator, by its name: one that
// contains "api-key" gets 32 random bytes in hexadecimal, one that contains
// "password" 32 characters of a-zA-Z0-9!@#$%^&*. Case does not matter. Any
// other name is secret.ErrNoGenerator.
func Generate(name secret.Name) (*secretbuf.Buffer, error) {
	if !canGenerate(name) {
		return nil, secret.ErrNoGenerator
	}
	return generate(name), nil
}

// canGenerate reports whether a rule fits the name.
func canGenerate(name secret.Name) bool {
	lower := strings.ToLower(string(name))
	return strings.Contains(lower, "api-key") || strings.Contains(lower, "password")
}

// generate makes a value for a name that a rule fits.
func generate(name secret.Name) *secretbuf.Buffer {
	if strings.Contains(strings.ToLower(string(name)), "api-key") {
		return apiKey{encoding: hexadecimal, bytes: defaultBytes}.generate()
	}
	return draw(lowerCase+upperCase+digits+symbols, defaultLength)
}

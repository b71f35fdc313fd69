// Package rotation gives secrets new values. Today it holds the rules by which
// a name decides what value is made; the rotators of databases and the worker
// join it here.
//
// A value is made from crypto/rand without bias and lives in a secretbuf.Buffer
// from its first byte.
package rotation

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/vault"
)

const (
	apiKeyBytes      = 32
	passwordLength   = 32
	passwordAlphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!@#$%^&*"
)

// Rotate gives a secret a new version: p.Value, or, if that is nil, one made
// by the rules of Generate. The rules for p are those of vault.Session.Put.
func Rotate(ctx context.Context, s *vault.Session, name secret.Name, p vault.Put) (vault.Written, error) {
	p.Make = Generate
	return s.Rotate(ctx, name, p)
}

// Generate makes a value for a secret without a rotator, by its name: one that
// contains "api-key" gets 32 random bytes in hexadecimal, one that contains
// "password" 32 characters of a-zA-Z0-9!@#$%^&*. Case does not matter. Any
// other name is secret.ErrNoGenerator.
func Generate(name secret.Name) (*secretbuf.Buffer, error) {
	lower := strings.ToLower(string(name))
	switch {
	case strings.Contains(lower, "api-key"):
		return newAPIKey(), nil
	case strings.Contains(lower, "password"):
		return newPassword(), nil
	}
	return nil, secret.ErrNoGenerator
}

func newAPIKey() *secretbuf.Buffer {
	raw := secretbuf.New(apiKeyBytes)
	defer raw.Release()
	rand.Read(raw.Bytes())
	key := secretbuf.New(hex.EncodedLen(apiKeyBytes))
	hex.Encode(key.Bytes(), raw.Bytes())
	return key
}

// newPassword draws characters by rejection, so that each is equally likely.
func newPassword() *secretbuf.Buffer {
	const fair = 256 - 256%len(passwordAlphabet)
	password := secretbuf.New(passwordLength)
	raw := secretbuf.New(passwordLength)
	defer raw.Release()
	for n := 0; n < passwordLength; {
		rand.Read(raw.Bytes())
		for _, b := range raw.Bytes() {
			if int(b) < fair && n < passwordLength {
				password.Bytes()[n] = passwordAlphabet[int(b)%len(passwordAlphabet)]
				n++
			}
		}
	}
	return password
}

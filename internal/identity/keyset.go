package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"fastness/internal/secret"
)

const (
	maxKeys    = 100  // of a key set
	maxKeyID   = 512  // bytes
	minRSABits = 2048 // of a key that is believed
	maxRSABits = 8192 // so that verifying stays quick
)

// publicKey is one key of an issuer.
type publicKey struct {
	id  string // empty if it has none
	alg string // the only algorithm it is for; empty if it does not say
	key any    // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// keySet are an issuer's keys. It is never changed once it is made.
type keySet []publicKey

// rawKeySet is a JWK set (RFC 7517), each key as it stands.
type rawKeySet struct {
	Keys []json.RawMessage `json:"keys"`
}

// parseKeySet reads a JWK set. Keys that nothing can be verified with are passed
// over, as the standard asks: those of other kinds and uses, symmetric ones, and
// those too weak to believe or too big to be quick.
func parseKeySet(text []byte) (keySet, error) {
	var raw rawKeySet
	if json.Unmarshal(text, &raw) != nil || raw.Keys == nil {
		return nil, errors.New("the key set is not a JWK set")
	}
	if len(raw.Keys) > maxKeys {
		return nil, fmt.Errorf("the key set has more than %d keys", maxKeys)
	}
	var keys keySet
	for _, text := range raw.Keys {
		if key, ok := parseKey(text); ok {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set has no key to verify signatures with")
	}
	return keys, nil
}

// parseKey reads one key; ok is false for one to be passed over.
func parseKey(text []byte) (k publicKey, ok bool) {
	var jwk jose.JSONWebKey
	if json.Unmarshal(text, &jwk) != nil || len(jwk.KeyID) > maxKeyID || jwk.Use != "" && jwk.Use != "sig" {
		return publicKey{}, false
	}
	k = publicKey{id: jwk.KeyID, alg: jwk.Algorithm}
	switch key := jwk.Public().Key.(type) { // a private part, published by mistake, stays behind
	case *rsa.PublicKey:
		bits := key.N.BitLen()
		k.key, ok = key, bits >= minRSABits && bits <= maxRSABits && key.E > 1
	case *ecdsa.PublicKey:
		k.key, ok = key, true
	case ed25519.PublicKey:
		k.key, ok = key, len(key) == ed25519.PublicKeySize
	}
	return k, ok
}

// validateKeySet checks a key set that is given with an issuer. Other than one
// that is fetched it may hold nothing that is passed over: somebody chose it.
func validateKeySet(text string) error {
	const field = "issuer.keySet"
	if len(text) > MaxKeySet {
		return secret.Limited(field, fmt.Sprintf("at most %d bytes", MaxKeySet))
	}
	var raw rawKeySet
	keys, err := parseKeySet([]byte(text))
	if err != nil || json.Unmarshal([]byte(text), &raw) != nil || len(keys) != len(raw.Keys) {
		return secret.Invalid(field, "a JWK set of public keys: RSA of 2048 to 8192 bits, EC or Ed25519")
	}
	for _, key := range raw.Keys {
		var members map[string]json.RawMessage
		if json.Unmarshal(key, &members) != nil || members["d"] != nil || members["k"] != nil {
			return secret.Invalid(field, "holds a private key; replace it at the issuer, it is known now")
		}
	}
	return nil
}

// candidates returns the keys that may have made a signature: those with its key
// id, or all if it has none, as far as they are for its algorithm.
func (s keySet) candidates(id, alg string) keySet {
	var found keySet
	for _, k := range s {
		if (id == "" || k.id == id) && (k.alg == "" || k.alg == alg) && k.fits(alg) {
			found = append(found, k)
		}
	}
	return found
}

// fits reports whether a key is of the kind that an algorithm works with.
func (k publicKey) fits(alg string) bool {
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		return alg[:2] == "RS" || alg[:2] == "PS"
	case *ecdsa.PublicKey:
		bits := map[string]int{"ES256": 256, "ES384": 384, "ES512": 521}[alg]
		return key.Curve.Params().BitSize == bits
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

package awsapi

import (
	"crypto/sha256"
	"strings"

	"fastness/internal/secret"
)

// suffixLength is how many characters an ARN has behind the name and a hyphen.
const suffixLength = 6

const suffixAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// suffix is the end of a secret's ARN. It is made from the secret's id, so that
// it needs no room in the store, is the same for as long as the secret lives,
// and another one for a secret made later under the same name. The id is
// random, and hashing it gives none of it away.
func suffix(id secret.ID) string {
	const purpose = "fastness secret ARN suffix\x00"
	sum := sha256.Sum256(append([]byte(purpose), id[:]...))
	out := make([]byte, 0, suffixLength)
	for _, b := range sum {
		// Of 64 values two are passed over, so that all characters are alike;
		// that 32 bytes do not give six has a chance of 2^-100.
		if i := int(b & 63); i < len(suffixAlphabet) && len(out) < suffixLength {
			out = append(out, suffixAlphabet[i])
		}
	}
	return string(out)
}

// suffixOf is the end of a secret's ARN, which one that was a replica keeps.
func suffixOf(id secret.ID, a secret.AWS) string {
	if a.Suffix != "" {
		return a.Suffix
	}
	return suffix(id)
}

func arnPrefix(region string, account secret.AccountNumber) string {
	return "arn:aws:secretsmanager:" + region + ":" + string(account) + ":secret:"
}

// secretRef is what a SecretId says.
type secretRef struct {
	name   secret.Name
	suffix string // that the secret must have; empty for any
	region string // of an ARN; empty for the caller's
	// foreign is an ARN of another account or of no secret: it is answered like
	// that of a secret which is not there.
	foreign bool
}

// parseSecretID reads a SecretId: a name, a whole ARN, or an ARN without the
// hyphen and the six characters. As with AWS, an ARN that ends in a hyphen and
// six characters is taken to be whole, so a secret whose own name ends so is not
// found by its partial ARN.
func parseSecretID(account secret.AccountNumber, id string) (secretRef, error) {
	if !strings.HasPrefix(id, "arn:") {
		name, err := secret.ParseName(id)
		if err != nil {
			return secretRef{}, errSecretName
		}
		return secretRef{name: name}, nil
	}
	parts := strings.SplitN(id, ":", 7)
	if len(parts) != 7 || parts[2] != "secretsmanager" || parts[5] != "secret" {
		return secretRef{}, errSecretName
	}
	ref := secretRef{region: parts[3], foreign: parts[1] != "aws" || parts[4] != string(account)}
	rest := parts[6]
	if base, end, ok := cutSuffix(rest); ok {
		rest, ref.suffix = base, end
	}
	name, err := secret.ParseName(rest)
	if err != nil {
		return secretRef{}, errSecretName
	}
	ref.name = name
	return ref, nil
}

// cutSuffix splits a name from the hyphen and the six characters behind it.
func cutSuffix(s string) (name, end string, ok bool) {
	at := len(s) - suffixLength - 1
	if at < 1 || s[at] != '-' {
		return "", "", false
	}
	for _, c := range []byte(s[at+1:]) {
		if strings.IndexByte(suffixAlphabet, c) < 0 {
			return "", "", false
		}
	}
	return s[:at], s[at+1:], true
}

// names reports whether the reference is to this secret.
func (r secretRef) names(id secret.ID, a secret.AWS) bool {
	return r.suffix == "" || r.suffix == suffixOf(id, a)
}

package rotation

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"fastness/internal/secretbuf"
)

// PostgreSQL's own choices for a verifier.
const (
	scramIterations = 4096
	scramSalt       = 16
)

// scramVerifier returns what PostgreSQL stores for a password (RFC 5803, with
// SCRAM-SHA-256):
//
//	SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>
//
// Who has it can check guesses, and pose as the server, but not log in. The
// password must be ASCII, which needs no normalisation.
func scramVerifier(password *secretbuf.Buffer) (string, error) {
	salt := make([]byte, scramSalt)
	rand.Read(salt)
	return scramVerifierWith(password, salt, scramIterations)
}

func scramVerifierWith(password *secretbuf.Buffer, salt []byte, iterations int) (string, error) {
	var stored, server [sha256.Size]byte
	var err error
	secretbuf.Do(func() {
		text := secretbuf.String(password.Bytes()) // pbkdf2 takes nothing else
		defer secretbuf.WipeString(text)
		var salted []byte
		if salted, err = pbkdf2.Key(sha256.New, text, salt, iterations, sha256.Size); err != nil {
			return
		}
		defer secretbuf.Wipe(salted)
		client := mac(salted, "Client Key")
		defer secretbuf.Wipe(client)
		stored = sha256.Sum256(client)
		copy(server[:], mac(salted, "Server Key"))
	})
	if err != nil {
		return "", fmt.Errorf("deriving a verifier: %w", err)
	}
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, encode(salt), encode(stored[:]), encode(server[:])), nil
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

package vault

import (
	"crypto/hmac"
	"encoding/base64"

	"fastness/internal/secret"
)

// cursorMAC is how many bytes of the MAC a cursor carries: forging one buys a
// place in a list that the forger may read anyway.
const cursorMAC = 16

// cursor makes a position opaque and binds it to the list it belongs to: kind
// names the tenant and the query, so that no other list takes it.
func (v *Vault) cursor(kind, position string) string {
	mac := v.roots.current.MAC("page", []byte(kind+"\x00\x00"+position))
	return base64.RawURLEncoding.EncodeToString(append(mac[:cursorMAC:cursorMAC], position...))
}

// parseCursor returns the position of a cursor made for the same kind; empty
// for an empty cursor.
func (v *Vault) parseCursor(kind, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) < cursorMAC {
		return "", errCursor
	}
	mac := v.roots.current.MAC("page", []byte(kind+"\x00\x00"+string(raw[cursorMAC:])))
	if !hmac.Equal(mac[:cursorMAC], raw[:cursorMAC]) {
		return "", errCursor
	}
	return string(raw[cursorMAC:]), nil
}

// parseVersionCursor is parseCursor for a list by version number.
func (v *Vault) parseVersionCursor(kind, cursor string) (secret.Version, error) {
	position, err := v.parseCursor(kind, cursor)
	if err != nil || position == "" {
		return 0, err
	}
	return secret.ParseVersion(position)
}

var errCursor = secret.Invalid("cursor", "a cursor that an answer to the same query gave")

package vault

import (
	"bytes"
	"crypto/hmac"
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"fastness/internal/secret"
)

const (
	// cursorMAC is how many bytes of the MAC a cursor carries: forging one buys
	// a place in a list that the forger may read anyway.
	cursorMAC = 16
	// cursorBlock is what positions are padded to, so that their length tells
	// little.
	cursorBlock = 32
)

// cursor makes a position opaque and binds it to the list it belongs to: kind
// names the tenant and the query, so that no other list takes it. The position
// may be the name of a secret that is hidden from the caller, so it is
// encrypted: MAC first, then a key stream made from the MAC (as SIV does), of
// the same subkey. Positions hold no NUL, which is the padding.
func (v *Vault) cursor(kind, position string) string {
	padded := (len(position) + cursorBlock - 1) / cursorBlock * cursorBlock
	raw := append(v.cursorTag(kind, position), make([]byte, padded)...)
	copy(raw[cursorMAC:], position)
	v.cursorStream(raw[:cursorMAC], raw[cursorMAC:])
	return base64.RawURLEncoding.EncodeToString(raw)
}

// parseCursor returns the position of a cursor made for the same kind; empty
// for an empty cursor.
func (v *Vault) parseCursor(kind, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	if v.closed.Load() {
		return "", secret.ErrUnavailable
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) > maxCursor || len(raw)%cursorBlock != cursorMAC {
		return "", errCursor
	}
	tag := raw[:cursorMAC]
	v.cursorStream(tag, raw[cursorMAC:])
	position := strings.TrimRight(string(raw[cursorMAC:]), "\x00")
	if !hmac.Equal(v.cursorTag(kind, position), tag) {
		return "", errCursor
	}
	return position, nil
}

// maxCursor is the length of a cursor to the longest name.
const maxCursor = cursorMAC + secret.MaxName

func (v *Vault) cursorTag(kind, position string) []byte {
	mac := v.roots.current.MAC("cursor", []byte(kind+"\x00\x00"+position))
	return bytes.Clone(mac[:cursorMAC])
}

// cursorStream adds the key stream of a tag to whole blocks.
func (v *Vault) cursorStream(tag, blocks []byte) {
	for i := byte(0); len(blocks) > 0; i++ {
		stream := v.roots.current.MAC("cursor stream", append(tag[:cursorMAC:cursorMAC], i))
		subtle.XORBytes(blocks, blocks[:cursorBlock], stream[:])
		blocks = blocks[cursorBlock:]
	}
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

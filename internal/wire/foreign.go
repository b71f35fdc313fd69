package wire

import (
	"encoding/base64"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// DecodeKnown is Decode for the protocols of others, which let a client be newer
// than the server: fields that dst does not have, and null, are passed over.
func DecodeKnown(body *secretbuf.Buffer, dst any) error { return decode(body, true, dst) }

// FromBase64 decodes a secret that stands in base64 (RFC 4648, padded) in a
// field. The caller releases the result.
func FromBase64(field string, text *secretbuf.Buffer) (*secretbuf.Buffer, error) {
	value, err := fromBase64(text.Bytes())
	if err != nil {
		return nil, secret.Invalid(field, "base64 with padding is expected (RFC 4648)")
	}
	return value, nil
}

// AppendText appends text that is not secret as a JSON string.
func AppendText(b *secretbuf.Builder, text string) { appendText(b, text) }

// AppendSecret appends secret UTF-8 text as a JSON string.
func AppendSecret(b *secretbuf.Builder, text []byte) {
	secretbuf.Do(func() { appendQuoted(b, text) })
}

// AppendBase64 appends secret bytes as a JSON string of base64.
func AppendBase64(b *secretbuf.Builder, value []byte) {
	secretbuf.Do(func() {
		b.AppendString(`"`)
		base64.StdEncoding.Encode(b.Extend(base64.StdEncoding.EncodedLen(len(value))), value)
		b.AppendString(`"`)
	})
}

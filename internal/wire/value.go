package wire

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"unicode/utf8"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// valueField is the field that errors about a value name.
const valueField = "value"

// carried are the two fields in which a body carries a value.
type carried struct {
	Text   *secretbuf.Buffer `json:"value"`
	Binary *secretbuf.Buffer `json:"valueBase64"`
}

// DecodeValue is Decode for a body that carries a value besides the fields of
// dst: text in "value", or anything in "valueBase64" (RFC 4648, padded). The
// value has 1 to secret.MaxValue bytes; the caller releases it.
func DecodeValue(body *secretbuf.Buffer, dst any) (value *secretbuf.Buffer, kind secret.Kind, err error) {
	value, kind, err = decodeValue(body, false, dst)
	if err == nil && value == nil {
		err = secret.Invalid(valueField, "value or valueBase64 is required")
	}
	return value, kind, err
}

// DecodeOptionalValue is DecodeValue for a body that may also carry no value,
// which is then nil.
func DecodeOptionalValue(body *secretbuf.Buffer, dst any) (value *secretbuf.Buffer, kind secret.Kind, err error) {
	return decodeValue(body, false, dst)
}

// DecodeValueReply reads, for the client, the reply to a read.
func DecodeValueReply(body *secretbuf.Buffer) (reply ValueReply, value *secretbuf.Buffer, kind secret.Kind, err error) {
	value, kind, err = decodeValue(body, true, &reply)
	if err == nil && value == nil {
		err = secret.Invalid(valueField, "value or valueBase64 is required")
	}
	return reply, value, kind, err
}

func decodeValue(body *secretbuf.Buffer, lenient bool, dst any) (value *secretbuf.Buffer, kind secret.Kind, err error) {
	var c carried
	if err := decode(body, lenient, dst, &c); err != nil {
		return nil, 0, err
	}
	switch {
	case c.Text != nil && c.Binary != nil:
		err = secret.Invalid(valueField, "value or valueBase64, not both")
	case c.Binary != nil:
		kind = secret.Binary
		value, err = fromBase64(c.Binary.Bytes())
	case c.Text != nil:
		value, c.Text = c.Text, nil
	default:
		return nil, 0, nil
	}
	c.Text.Release()
	c.Binary.Release()
	if n := value.Len(); err == nil && (n < 1 || n > secret.MaxValue) {
		err = secret.Limited(valueField, fmt.Sprintf("1 to %d bytes", secret.MaxValue))
	}
	if err != nil {
		value.Release()
		return nil, 0, err
	}
	return value, kind, nil
}

// fromBase64 decodes the one form of padded base64 that encodes to the same
// text again. The package of the standard library passes over line breaks.
func fromBase64(text []byte) (*secretbuf.Buffer, error) {
	invalid := secret.Invalid("valueBase64", "base64 with padding is expected (RFC 4648)")
	if len(text)%4 != 0 || bytes.ContainsAny(text, "\r\n") {
		return nil, invalid
	}
	padding := len(text) - len(bytes.TrimRight(text, "="))
	if padding > 2 {
		return nil, invalid
	}
	value := secretbuf.New(base64.StdEncoding.DecodedLen(len(text)) - padding)
	var err error
	secretbuf.Do(func() { _, err = base64.StdEncoding.Strict().Decode(value.Bytes(), text) })
	if err != nil { // which would quote a byte of the text
		value.Release()
		return nil, invalid
	}
	return value, nil
}

// appendValue appends the member that carries the value. A text that is not
// UTF-8, which no front lets in, goes out in base64 rather than changed.
func appendValue(b *secretbuf.Builder, value []byte, kind secret.Kind) {
	secretbuf.Do(func() {
		if kind == secret.Text && utf8.Valid(value) {
			b.AppendString(`"value":`)
			appendQuoted(b, value)
			return
		}
		b.AppendString(`"valueBase64":"`)
		base64.StdEncoding.Encode(b.Extend(base64.StdEncoding.EncodedLen(len(value))), value)
		b.AppendString(`"`)
	})
}

// AppendValue appends the reply to a read. The caller makes room in b if it
// knows how much; if not, outgrown arrays are wiped.
func AppendValue(b *secretbuf.Builder, r ValueReply, value []byte, kind secret.Kind) {
	b.AppendString(`{"name":`)
	appendText(b, r.Name)
	b.AppendString(`,`)
	appendValue(b, value, kind)
	b.AppendString(`,"version":`)
	appendText(b, r.Version)
	b.AppendString(`,"versionId":`)
	appendText(b, r.VersionID)
	b.AppendString(`,"stages":[`)
	for i, stage := range r.Stages {
		if i > 0 {
			b.AppendString(`,`)
		}
		appendText(b, stage)
	}
	b.AppendString(`]}`)
}

// AppendRequest appends, for the client, a body with the fields of the struct v
// and a value; value nil is none.
func AppendRequest(b *secretbuf.Builder, v any, value []byte, kind secret.Kind) error {
	e := encoder{b: b}
	b.AppendString(`{`)
	if value != nil {
		appendValue(b, value, kind)
		e.more = true
	}
	return e.finish(v)
}

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/wire"
)

// The JSON form of import and export is one object whose members are secrets:
// either all plain texts,
//
//	{"db/user": "shop", "db/password": "…"}
//
// or, since JSON strings hold only text, all objects with the fields that the
// API uses for values:
//
//	{"db/password": {"value": "…"}, "seed": {"valueBase64": "…"}}

// plainPairs and taggedPairs are what the two forms decode into. Values go
// straight from the text into buffers, and are blanked there.
type plainPairs struct {
	Pairs map[string]*secretbuf.Buffer `json:"pairs"`
}

type taggedPairs struct {
	Pairs map[string]taggedValue `json:"pairs"`
}

type taggedValue struct {
	Text   *secretbuf.Buffer `json:"value,omitzero"`
	Base64 *secretbuf.Buffer `json:"valueBase64,omitzero"`
}

// parseJSONPairs returns the pairs by name. src is left with its values
// blanked.
func parseJSONPairs(src []byte) (pairs []pair, err error) {
	body := wrapPairs(src)
	defer body.Release()
	if !tagged(src) {
		var plain plainPairs
		if err := wire.Decode(body, &plain); err != nil {
			return nil, jsonError(err)
		}
		for _, name := range slices.Sorted(maps.Keys(plain.Pairs)) {
			pairs = append(pairs, pair{name: name, value: plain.Pairs[name]})
		}
		return pairs, nil
	}
	var t taggedPairs
	if err := wire.Decode(body, &t); err != nil {
		return nil, jsonError(err)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Pairs)) {
		p, perr := t.Pairs[name].pair(name)
		if perr != nil && err == nil {
			err = perr
		}
		pairs = append(pairs, p)
	}
	if err != nil {
		releasePairs(pairs)
		return nil, err
	}
	return pairs, nil
}

func (v taggedValue) pair(name string) (pair, error) {
	switch {
	case v.Text != nil && v.Base64 == nil:
		return pair{name: name, value: v.Text}, nil
	case v.Base64 != nil && v.Text == nil:
		defer v.Base64.Release()
		value, err := decodeBase64(v.Base64)
		if err != nil {
			return pair{}, fmt.Errorf("json: %s: %w", clean(name), err)
		}
		return pair{name: name, value: value, binary: true}, nil
	}
	v.Text.Release()
	v.Base64.Release()
	return pair{}, fmt.Errorf("json: %s: either value or valueBase64 is expected", clean(name))
}

// decodeBase64 lets package wire read the one field that it knows how to.
func decodeBase64(text *secretbuf.Buffer) (*secretbuf.Buffer, error) {
	var b secretbuf.Builder
	defer b.Release()
	if err := wire.Append(&b, taggedValue{Base64: text}); err != nil {
		return nil, err
	}
	body := b.Buffer()
	defer body.Release()
	value, _, err := wire.DecodeValue(body, &struct{}{})
	return value, err
}

// wrapPairs puts the object into a field, because wire decodes structs.
func wrapPairs(src []byte) *secretbuf.Buffer {
	var b secretbuf.Builder
	b.Grow(len(src) + 16)
	b.AppendString(`{"pairs":`)
	b.Append(src...)
	b.AppendString(`}`)
	return b.Buffer()
}

// tagged reports whether the object's first member is itself an object. It
// judges nothing else: decoding does.
func tagged(src []byte) bool {
	rest, ok := bytes.CutPrefix(bytes.TrimLeft(src, " \t\r\n"), []byte("{"))
	rest, ok2 := bytes.CutPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte(`"`))
	for ok && ok2 && len(rest) > 0 {
		switch rest[0] {
		case '\\':
			rest = rest[min(2, len(rest)):]
		case '"':
			rest = bytes.TrimLeft(rest[1:], " \t\r\n")
			rest, _ = bytes.CutPrefix(rest, []byte(":"))
			return bytes.HasPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte("{"))
		default:
			rest = rest[1:]
		}
	}
	return false
}

// jsonError says what the form is; the error itself shows no content.
func jsonError(err error) error {
	var e *secret.Error
	if errors.As(err, &e) {
		return fmt.Errorf(`json: %s; the form is {"name": "text", …} or {"name": {"value": …} or {"valueBase64": …}, …}`, e.Detail)
	}
	return err
}

// appendJSONPairs writes the plain form if all values are text, otherwise the
// other.
func appendJSONPairs(b *secretbuf.Builder, pairs []pair) error {
	plain := !slices.ContainsFunc(pairs, func(p pair) bool { return p.binary || !utf8.Valid(p.value.Bytes()) })
	b.AppendString("{")
	for i, p := range pairs {
		if i > 0 {
			b.AppendString(",")
		}
		b.AppendString("\n  ")
		if err := appendJSONPair(b, p, plain); err != nil {
			return err
		}
	}
	b.AppendString("\n}\n")
	return nil
}

func appendJSONPair(b *secretbuf.Builder, p pair, plain bool) error {
	// Package wire quotes: {"value":"…"} is cut to what stands for the value.
	kind := secret.Text
	if p.binary {
		kind = secret.Binary
	}
	var v secretbuf.Builder
	defer v.Release()
	if err := wire.AppendRequest(&v, struct{}{}, p.value.Bytes(), kind); err != nil {
		return err
	}
	value := v.Bytes()
	if plain {
		value = bytes.TrimSuffix(bytes.TrimPrefix(value, []byte(`{"value":`)), []byte("}"))
	}
	// A name has none of the characters that JSON escapes.
	b.AppendString(`"` + p.name + `": `)
	b.Append(value...)
	return nil
}

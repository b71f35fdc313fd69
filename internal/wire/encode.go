package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"fastness/internal/secretbuf"
)

// Append appends the struct v as a JSON object. Fields of type
// *secretbuf.Buffer directly in it are escaped into b, never by way of a
// string; all else goes through encoding/json, where a Buffer prints as
// "[secret]". The Buffers stay the caller's.
func Append(b *secretbuf.Builder, v any) error {
	b.AppendString(`{`)
	e := encoder{b: b}
	return e.finish(v)
}

// encoder appends the members of one object.
type encoder struct {
	b    *secretbuf.Builder
	more bool // a member stands before the next one
}

// finish appends the members of v and the closing bracket.
func (e *encoder) finish(v any) error {
	if err := e.members(reflect.Indirect(reflect.ValueOf(v))); err != nil {
		return err
	}
	e.b.AppendString(`}`)
	return nil
}

func (e *encoder) members(v reflect.Value) error {
	for i := range v.NumField() {
		f, field := v.Type().Field(i), v.Field(i)
		if f.Anonymous {
			if err := e.members(field); err != nil {
				return err
			}
			continue
		}
		t, ok := tagsOf(f)
		if !ok || t.omitzero && isZero(field) {
			continue
		}
		e.name(t.name)
		if err := e.value(field); err != nil {
			return fmt.Errorf("encoding %s: %w", t.name, err)
		}
	}
	return nil
}

func (e *encoder) name(name string) {
	if e.more {
		e.b.AppendString(`,`)
	}
	e.more = true
	appendText(e.b, name)
	e.b.AppendString(`:`)
}

func (e *encoder) value(v reflect.Value) error {
	if buf, ok := v.Interface().(*secretbuf.Buffer); ok {
		secretbuf.Do(func() { appendQuoted(e.b, buf.Bytes()) })
		return nil
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v.Interface()); err != nil {
		return err
	}
	e.b.Append(bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
	return nil
}

// isZero is what encoding/json's omitzero asks.
func isZero(v reflect.Value) bool {
	if z, ok := v.Interface().(interface{ IsZero() bool }); ok && v.Kind() != reflect.Pointer {
		return z.IsZero()
	}
	return v.IsZero()
}

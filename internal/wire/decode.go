package wire

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

var (
	bufferType    = reflect.TypeFor[*secretbuf.Buffer]()
	timeType      = reflect.TypeFor[time.Time]()
	bytesType     = reflect.TypeFor[[]byte]()
	unmarshalType = reflect.TypeFor[json.Unmarshaler]()
)

// Decode reads a request's body into the struct that dst points at. Fields of
// type *secretbuf.Buffer are moved out of the body, which is left blank there;
// the caller releases them, and the body. After an error dst holds no Buffer
// and is not to be used.
func Decode(body *secretbuf.Buffer, dst any) error {
	return decode(body, false, dst)
}

// DecodeReply is Decode for the client, which takes a reply of a newer server:
// fields that it does not know, and null, are passed over.
func DecodeReply(body *secretbuf.Buffer, dst any) error {
	return decode(body, true, dst)
}

// decode reads one object into the structs that all of dst point at.
func decode(body *secretbuf.Buffer, lenient bool, dst ...any) error {
	s, err := newScanner(body.Bytes())
	if err != nil {
		return err
	}
	d := &decoder{scanner: s, lenient: lenient}
	structs := make([]reflect.Value, len(dst))
	for i, p := range dst {
		structs[i] = reflect.ValueOf(p).Elem()
	}
	if err = d.object(structs...); err == nil {
		err = d.end()
	}
	if err != nil {
		for _, field := range d.held {
			field.Interface().(*secretbuf.Buffer).Release()
			field.SetZero()
		}
	}
	return err
}

// decoder puts JSON into Go values as the scanner passes over it.
type decoder struct {
	*scanner
	lenient bool
	path    []string        // names of the fields around the current value
	held    []reflect.Value // fields of dst that were given a Buffer
}

// field names the current value in errors.
func (d *decoder) field() string {
	if len(d.path) == 0 {
		return bodyField
	}
	return strings.Join(d.path, ".")
}

// mismatch is the error of a value of another type than the field has.
func (d *decoder) mismatch(want string) error {
	// Text that is not even JSON is told as such.
	if err := d.skip(); err != nil {
		return err
	}
	return secret.Invalid(d.field(), want+" is expected")
}

// value decodes one value into v.
func (d *decoder) value(v reflect.Value) error {
	if d.lenient && d.peek() == 'n' {
		return d.skip()
	}
	switch t := v.Type(); {
	case t == bufferType:
		return d.buffer(v)
	case t == timeType:
		return d.time(v)
	case t == bytesType || reflect.PointerTo(t).Implements(unmarshalType):
		return d.foreign(v)
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		v.Set(p)
		return d.value(p.Elem())
	case reflect.Struct:
		return d.object(v)
	case reflect.Map:
		return d.mapping(v)
	case reflect.Slice:
		return d.list(v)
	case reflect.String:
		return d.text(v)
	case reflect.Bool:
		return d.boolean(v)
	case reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64:
		return d.integer(v)
	}
	return d.foreign(v)
}

// foreign leaves a value of a type that is not ours, which the scanner has
// checked, to encoding/json. No request has one.
func (d *decoder) foreign(v reflect.Value) error {
	d.peek()
	start := d.at
	if err := d.skip(); err != nil {
		return err
	}
	if json.Unmarshal(d.scanner.text[start:d.at], v.Addr().Interface()) != nil {
		return secret.Invalid(d.field(), "a value of another form is expected") // its error would quote the text
	}
	return nil
}

// object decodes an object into one or more structs.
func (d *decoder) object(structs ...reflect.Value) error {
	if d.peek() != '{' {
		return d.mismatch("an object")
	}
	return d.members(func(key []byte) error {
		v, f, ok := fieldOf(structs, key)
		if !ok && d.lenient {
			return d.skip()
		}
		if !ok {
			return secret.Invalid(d.field(), "unknown field; known are "+strings.Join(fieldNames(structs), ", "))
		}
		d.path = append(d.path, f.name)
		defer func() { d.path = d.path[:len(d.path)-1] }()
		if f.clearable && d.literal("null") {
			v.Set(reflect.New(v.Type().Elem()))
			return nil
		}
		return d.value(v)
	})
}

// tagged is what the tags of a struct's field say.
type tagged struct {
	name      string
	omitzero  bool
	clearable bool // null means the zero value
}

// tagsOf reads a field's tags; ok is false for a field that is not in JSON.
func tagsOf(f reflect.StructField) (t tagged, ok bool) {
	name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	return tagged{
		name:      name,
		omitzero:  strings.HasPrefix(options, "omit"),
		clearable: f.Tag.Get("wire") == "clearable",
	}, name != "" && name != "-"
}

// fieldOf finds the field with that exact name in the structs and those
// embedded in them.
func fieldOf(structs []reflect.Value, key []byte) (reflect.Value, tagged, bool) {
	for _, v := range structs {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Anonymous {
				if inner, t, ok := fieldOf([]reflect.Value{v.Field(i)}, key); ok {
					return inner, t, true
				}
				continue
			}
			if t, ok := tagsOf(f); ok && t.name == string(key) {
				return v.Field(i), t, true
			}
		}
	}
	return reflect.Value{}, tagged{}, false
}

func fieldNames(structs []reflect.Value) (names []string) {
	for _, v := range structs {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Anonymous {
				names = append(names, fieldNames([]reflect.Value{v.Field(i)})...)
			} else if t, ok := tagsOf(f); ok {
				names = append(names, t.name)
			}
		}
	}
	return names
}

func (d *decoder) mapping(v reflect.Value) error {
	if d.peek() != '{' {
		return d.mismatch("an object")
	}
	v.Set(reflect.MakeMap(v.Type()))
	return d.members(func(key []byte) error {
		k := reflect.ValueOf(string(key)).Convert(v.Type().Key())
		e := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(e); err != nil {
			return err
		}
		v.SetMapIndex(k, e)
		return nil
	})
}

func (d *decoder) list(v reflect.Value) error {
	if d.peek() != '[' {
		return d.mismatch("an array")
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	return d.elements(func() error {
		e := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(e); err != nil {
			return err
		}
		v.Set(reflect.Append(v, e))
		return nil
	})
}

// plain decodes a string that is not secret.
func (d *decoder) plain(want string) (string, error) {
	if d.peek() != '"' {
		return "", d.mismatch(want)
	}
	raw, err := d.str()
	if err != nil {
		return "", err
	}
	text := make([]byte, unescapedLen(raw))
	unescape(text, raw)
	return string(text), nil
}

func (d *decoder) text(v reflect.Value) error {
	s, err := d.plain("a string")
	if err == nil {
		v.SetString(s)
	}
	return err
}

func (d *decoder) time(v reflect.Value) error {
	const want = "a time as in RFC 3339"
	s, err := d.plain(want)
	if err != nil {
		return err
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return secret.Invalid(d.field(), want+" is expected") // time's error would quote the text
	}
	v.Set(reflect.ValueOf(t.UTC()))
	return nil
}

func (d *decoder) boolean(v reflect.Value) error {
	switch {
	case d.literal("true"):
		v.SetBool(true)
	case d.literal("false"):
		v.SetBool(false)
	default:
		return d.mismatch("true or false")
	}
	return nil
}

func (d *decoder) integer(v reflect.Value) error {
	want := fmt.Sprintf("a whole number of at most %d bits", v.Type().Bits())
	if c := d.peek(); c != '-' && !isDigit(c) {
		return d.mismatch(want)
	}
	text, err := d.number()
	if err != nil {
		return err
	}
	if v.CanInt() {
		var n int64
		n, err = strconv.ParseInt(string(text), 10, v.Type().Bits())
		v.SetInt(n)
	} else {
		var n uint64
		n, err = strconv.ParseUint(string(text), 10, v.Type().Bits())
		v.SetUint(n)
	}
	if err != nil {
		return secret.Invalid(d.field(), want+" is expected") // strconv's error would quote the text
	}
	return nil
}

// buffer moves a secret string out of the body.
func (d *decoder) buffer(v reflect.Value) error {
	if d.peek() != '"' {
		return d.mismatch("a string")
	}
	raw, err := d.str()
	if err != nil {
		return err
	}
	var n int
	secretbuf.Do(func() { n = unescapedLen(raw) })
	buf := secretbuf.New(n)
	if !unescapeInPlace {
		careless(buf.Bytes(), raw)
	}
	secretbuf.Do(func() { unescape(buf.Bytes(), raw) })
	secretbuf.Wipe(raw)
	v.Set(reflect.ValueOf(buf))
	d.held = append(d.held, v)
	return nil
}

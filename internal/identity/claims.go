package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of what a token may claim.
const (
	maxClaimDepth = 8    // levels of objects and arrays
	maxClaims     = 1000 // names and elements in all
)

// Claims are what a verified token or certificate says of its bearer, by name:
// strings, booleans, json.Number, and objects and arrays of those. They have one
// reading: no name stands twice in an object, and at the top not in two cases.
type Claims map[string]any

var errClaims = errors.New("the claims are not one plain JSON object")

// parseClaims reads a JSON object more strictly than encoding/json does: valid
// UTF-8, nothing after it, no name twice, bounded depth and number. Errors quote
// nothing.
func parseClaims(text []byte) (Claims, error) {
	if !utf8.Valid(text) {
		return nil, errClaims
	}
	r := claimReader{json.NewDecoder(bytes.NewReader(text)), 0}
	r.d.UseNumber()
	v, err := r.value(0)
	claims, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, errClaims
	}
	if _, err := r.d.Token(); err != io.EOF {
		return nil, errClaims
	}
	return claims, nil
}

// claimReader reads JSON token by token, so that it sees names that come twice.
type claimReader struct {
	d *json.Decoder
	n int // names and elements so far
}

func (r *claimReader) value(depth int) (any, error) {
	token, err := r.d.Token()
	if err != nil || depth > maxClaimDepth {
		return nil, errClaims
	}
	switch token {
	case json.Delim('{'):
		return r.object(depth)
	case json.Delim('['):
		return r.array(depth)
	}
	return token, nil
}

func (r *claimReader) object(depth int) (any, error) {
	object, seen := map[string]any{}, map[string]bool{}
	for r.d.More() {
		token, err := r.d.Token()
		name, ok := token.(string)
		same := name
		if depth == 0 { // libraries that read claims into structs take "ISS" for "iss"
			same = strings.ToLower(strings.ToUpper(name))
		}
		if err != nil || !ok || seen[same] || !r.count() {
			return nil, errClaims
		}
		seen[same] = true
		if object[name], err = r.value(depth + 1); err != nil {
			return nil, err
		}
	}
	_, err := r.d.Token() // the closing bracket
	return object, err
}

func (r *claimReader) array(depth int) (any, error) {
	array := []any{}
	for r.d.More() {
		v, err := r.value(depth + 1)
		if err != nil || !r.count() {
			return nil, errClaims
		}
		array = append(array, v)
	}
	_, err := r.d.Token()
	return array, err
}

func (r *claimReader) count() bool {
	r.n++
	return r.n <= maxClaims
}

// at returns what stands at a path: names with dots between them, where "\." is
// a dot within a name, as in "kubernetes\.io.namespace".
func (c Claims) at(path string) (any, bool) {
	var v any = map[string]any(c)
	for _, name := range splitPath(path) {
		object, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = object[name]; !ok {
			return nil, false
		}
	}
	return v, true
}

// splitPath returns the names of a path.
func splitPath(path string) []string {
	names := []string{""}
	for i := 0; i < len(path); i++ {
		last := &names[len(names)-1]
		switch c := path[i]; {
		case c == '\\' && i+1 < len(path):
			i++
			*last += path[i : i+1]
		case c == '.':
			names = append(names, "")
		default:
			*last += path[i : i+1]
		}
	}
	return names
}

// texts returns the claim at a path as texts: that of a string, number or
// boolean, or those of an array of such. For all else there are none.
func (c Claims) texts(path string) []string {
	v, _ := c.at(path)
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var texts []string
	for _, e := range list {
		s, ok := textOf(e)
		if !ok {
			return nil
		}
		texts = append(texts, s)
	}
	return texts
}

func textOf(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		if v {
			return "true", true
		}
		return "false", true
	}
	return "", false
}

// text returns the string at a top-level name; empty if there is none.
func (c Claims) text(name string) string {
	s, _ := c[name].(string)
	return s
}

// time reads a NumericDate (RFC 7519), which may have a fraction. present says
// whether the claim is there, and ok is false if it is there and is no time
// within the years 1970 to 9999.
func (c Claims) time(name string) (t time.Time, present, ok bool) {
	v, present := c[name]
	if !present {
		return time.Time{}, false, true
	}
	number, isNumber := v.(json.Number)
	if !isNumber {
		return time.Time{}, true, false
	}
	seconds, err := number.Float64()
	const year10000 = 253402300800
	if err != nil || math.IsNaN(seconds) || seconds < 0 || seconds >= year10000 {
		return time.Time{}, true, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC(), true, true
}

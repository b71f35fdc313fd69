package rotation

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"strings"

	"fastness/internal/secretbuf"
)

// The classes of characters.
const (
	lowerCase = "abcdefghijklmnopqrstuvwxyz"
	upperCase = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits    = "0123456789"
	symbols   = "!@#$%^&*"
)

const (
	defaultLength = 32   // characters of a password
	maxLength     = 1024 // the same, at most
	minStrength   = 64   // bits that any generated value has at least
)

// draw returns n characters of an alphabet, by rejection, so that each is
// equally likely.
func draw(alphabet string, n int) *secretbuf.Buffer {
	fair := 256 - 256%len(alphabet)
	out, raw := secretbuf.New(n), secretbuf.New(n)
	defer raw.Release()
	for i := 0; i < n; {
		rand.Read(raw.Bytes())
		for _, b := range raw.Bytes() {
			if int(b) < fair && i < n {
				out.Bytes()[i] = alphabet[int(b)%len(alphabet)]
				i++
			}
		}
	}
	return out
}

// passwordRule says what a password is made of. In JSON its zero value is 32
// letters and digits, and symbols where the password is the whole value.
type passwordRule struct {
	Length  int      `json:"length"`
	Classes []string `json:"classes"` // of lower, upper, digits and symbols; each occurs
	Exclude string   `json:"exclude"` // characters that must not occur
	Symbols string   `json:"symbols"` // what the class of that name holds

	alphabets []string // of the classes, without what is excluded
}

// complete fills in what was not given and checks the rule.
func (r *passwordRule) complete(field string, classes ...string) error {
	if r.Length == 0 {
		r.Length = defaultLength
	}
	if r.Classes == nil {
		r.Classes = classes
	}
	if r.Symbols == "" {
		r.Symbols = symbols
	}
	if strings.Trim(r.Symbols, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") != "" || repeats(r.Symbols) {
		return misconfigured(field+".symbols", "different punctuation characters of ASCII")
	}
	if err := r.choose(field); err != nil {
		return err
	}
	if r.Length > maxLength {
		return misconfigured(field+".length", fmt.Sprintf("at most %d", maxLength))
	}
	if strength := float64(r.Length) * math.Log2(float64(len(strings.Join(r.alphabets, "")))); strength < minStrength || r.Length < len(r.Classes) {
		return misconfigured(field, fmt.Sprintf("the password would be too weak: longer, or of more characters, for at least %d bits", minStrength))
	}
	return nil
}

// choose makes the alphabets.
func (r *passwordRule) choose(field string) error {
	sets := map[string]string{"lower": lowerCase, "upper": upperCase, "digits": digits, "symbols": r.Symbols}
	for _, class := range r.Classes {
		set, ok := sets[class]
		if !ok {
			return misconfigured(field+".classes", "different ones of lower, upper, digits, symbols")
		}
		delete(sets, class)
		left := strings.Map(func(c rune) rune {
			if strings.ContainsRune(r.Exclude, c) {
				return -1
			}
			return c
		}, set)
		if left == "" {
			return misconfigured(field+".exclude", "nothing is left of the class "+class)
		}
		r.alphabets = append(r.alphabets, left)
	}
	if len(r.alphabets) == 0 {
		return misconfigured(field+".classes", "at least one")
	}
	return nil
}

func repeats(s string) bool {
	for i, c := range s {
		if strings.ContainsRune(s[i+1:], c) {
			return true
		}
	}
	return false
}

// generate draws passwords until one has all classes, which keeps all that do
// equally likely.
func (r *passwordRule) generate() *secretbuf.Buffer {
	for {
		password := draw(strings.Join(r.alphabets, ""), r.Length)
		if r.hasAll(password) {
			return password
		}
		password.Release()
	}
}

func (r *passwordRule) hasAll(password *secretbuf.Buffer) bool {
	for _, alphabet := range r.alphabets {
		if !bytes.ContainsAny(password.Bytes(), alphabet) {
			return false
		}
	}
	return true
}

// The encodings of an API key.
const (
	hexadecimal = "hex"
	base62      = "base62"
	base64url   = "base64url"
)

const (
	defaultBytes = 32
	minBytes     = 16
	maxBytes     = 1024
	maxPrefix    = 32
)

// apiKey is random bytes as text.
type apiKey struct {
	encoding, prefix string
	bytes            int
}

func (k apiKey) generate() *secretbuf.Buffer {
	if k.encoding == base62 {
		key := draw(lowerCase+upperCase+digits, int(math.Ceil(float64(k.bytes)*8/math.Log2(62))))
		defer key.Release()
		return k.text(key.Len(), func(dst []byte) { copy(dst, key.Bytes()) })
	}
	raw := secretbuf.New(k.bytes)
	defer raw.Release()
	rand.Read(raw.Bytes())
	if k.encoding == base64url {
		return k.text(base64.RawURLEncoding.EncodedLen(k.bytes), func(dst []byte) { base64.RawURLEncoding.Encode(dst, raw.Bytes()) })
	}
	return k.text(hex.EncodedLen(k.bytes), func(dst []byte) { hex.Encode(dst, raw.Bytes()) })
}

// text puts the prefix before what fill writes.
func (k apiKey) text(n int, fill func(dst []byte)) *secretbuf.Buffer {
	key := secretbuf.New(len(k.prefix) + n)
	copy(key.Bytes(), k.prefix)
	fill(key.Bytes()[len(k.prefix):])
	return key
}

// generator is a Rotator without a target: whatever it makes is valid.
type generator struct{ generate func() *secretbuf.Buffer }

func parsePassword(config *secretbuf.Buffer, _ Network) (Rotator, error) {
	var rule passwordRule
	if err := decodeConfig(config, &rule); err != nil {
		return nil, err
	}
	if err := rule.complete("rotationConfig", "lower", "upper", "digits", "symbols"); err != nil {
		return nil, err
	}
	return generator{rule.generate}, nil
}

func parseAPIKey(config *secretbuf.Buffer, _ Network) (Rotator, error) {
	c := struct {
		Encoding string `json:"encoding"`
		Bytes    int    `json:"bytes"`
		Prefix   string `json:"prefix"`
	}{Bytes: defaultBytes}
	if err := decodeConfig(config, &c); err != nil {
		return nil, err
	}
	if err := choose("encoding", &c.Encoding, hexadecimal, base62, base64url); err != nil {
		return nil, err
	}
	if c.Bytes < minBytes || c.Bytes > maxBytes {
		return nil, misconfigured("rotationConfig.bytes", fmt.Sprintf("%d to %d", minBytes, maxBytes))
	}
	if len(c.Prefix) > maxPrefix || strings.Trim(c.Prefix, lowerCase+upperCase+digits+"-_.") != "" {
		return nil, misconfigured("rotationConfig.prefix", fmt.Sprintf("at most %d of a-z A-Z 0-9 - _ .", maxPrefix))
	}
	return generator{apiKey{c.Encoding, c.Prefix, c.Bytes}.generate}, nil
}

func (generator) Check(*secretbuf.Buffer) error                           { return nil }
func (g generator) Make(context.Context, *Job) (*secretbuf.Buffer, error) { return g.generate(), nil }
func (generator) Set(context.Context, *Job) error                         { return nil }
func (generator) Test(_ context.Context, j *Job, w Which) error {
	if j.value(w) == nil {
		return unverified(nil)
	}
	return nil
}

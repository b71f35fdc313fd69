package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Request is what a signature covers, as it came over the wire.
type Request struct {
	Method  string
	Target  string // path and query, still encoded
	Host    string
	Header  http.Header
	Length  int64  // of the body, for clients that sign it; -1 if it was not announced
	Payload string // the body's SHA-256 in hexadecimal, or UnsignedPayload
}

// StringToSign rebuilds what the client has signed.
func (s *Signature) StringToSign(r Request) []byte {
	hash := sha256.Sum256(s.canonical(r))
	b := make([]byte, 0, 256)
	b = append(b, algorithm...)
	b = append(b, '\n')
	b = s.Time.AppendFormat(b, timeForm)
	b = append(b, '\n')
	b = append(b, s.Scope.String()...)
	b = append(b, '\n')
	return hex.AppendEncode(b, hash[:])
}

// canonical is the request in the one form that both sides hash.
func (s *Signature) canonical(r Request) []byte {
	path, query, _ := strings.Cut(r.Target, "?")
	b := make([]byte, 0, 1024)
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = append(b, canonicalPath(path)...)
	b = append(b, '\n')
	b = append(b, canonicalQuery(query)...)
	b = append(b, '\n')
	for _, name := range s.signed {
		b = append(b, name...)
		b = append(b, ':')
		b = appendHeader(b, r, name)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, strings.Join(s.signed, ";")...)
	b = append(b, '\n')
	return append(b, r.Payload...)
}

// appendHeader appends a signed header's values, separated by commas. A header
// that is not there is empty.
func appendHeader(b []byte, r Request, name string) []byte {
	values := r.Header[http.CanonicalHeaderKey(name)]
	switch {
	case name == "host":
		values = []string{r.Host}
	case name == "content-length" && len(values) == 0 && r.Length >= 0:
		values = []string{strconv.FormatInt(r.Length, 10)}
	}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendTrimmed(b, v)
	}
	return b
}

// appendTrimmed appends a value without the white space around it, and with
// one space for each run of it inside.
func appendTrimmed(b []byte, v string) []byte {
	gap := false
	for i, start := 0, len(b); i < len(v); i++ {
		switch c := v[i]; c {
		case ' ', '\t', '\r', '\n':
			gap = len(b) > start
		default:
			if gap {
				b = append(b, ' ')
			}
			b, gap = append(b, c), false
		}
	}
	return b
}

// canonicalPath removes empty and dotted segments and encodes what is left
// once more, as every service but S3 wants it.
func canonicalPath(path string) string {
	if path == "" || path == "/" {
		return "/"
	}
	var kept []string
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "", ".":
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		default:
			kept = append(kept, escape(segment))
		}
	}
	out := "/" + strings.Join(kept, "/")
	if len(kept) > 0 && strings.HasSuffix(path, "/") {
		out += "/"
	}
	return out
}

// canonicalQuery sorts the parameters by name and value, in the one encoding.
func canonicalQuery(query string) string {
	if query == "" {
		return ""
	}
	var pairs [][2]string
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		pairs = append(pairs, [2]string{recode(name), recode(value)})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		if c := strings.Compare(a[0], b[0]); c != 0 {
			return c
		}
		return strings.Compare(a[1], b[1])
	})
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p[0] + "=" + p[1])
	}
	return b.String()
}

// recode brings a part of a query, encoded however it was, into the one
// encoding.
func recode(s string) string {
	if plain, err := url.PathUnescape(s); err == nil { // which leaves '+' alone
		s = plain
	}
	return escape(s)
}

// escape percent-encodes every byte that is not unreserved (RFC 3986).
func escape(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; unreserved(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

func unreserved(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == '-' || c == '.' || c == '_' || c == '~'
}

// Package sigv4 verifies AWS Signature Version 4 of requests that carry it in
// the Authorization header. It is pure: headers, a body's hash, a time and a
// key go in, a verdict comes out; whose key it is, is decided elsewhere.
//
// The key idea is the order. [Parse] reads what the header claims, with limits
// and without any secret. [Signature.Check] refuses what no key could make good:
// a clock that is off, another service, a header that must be signed and is
// not. [Signature.StringToSign] rebuilds what was signed. Only then is a key
// needed: [Scope.SigningKey] derives the day's key from the secret half of an
// access key, so that a cache can hold the former in guarded memory and leave
// the latter sealed, and [Signature.Verify] compares in constant time.
//
// What is canonical is as AWS's published suite has it; testdata/suite holds
// its requests.
package sigv4

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// MaxSkew is how far a request's date may be from the server's clock.
const MaxSkew = 5 * time.Minute

// Limits of the parts of an Authorization header.
const (
	maxAccessKeyID   = 128
	maxRegion        = 128
	maxSignedHeaders = 64
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	dateForm   = "20060102"
	timeForm   = "20060102T150405Z"
)

// UnsignedPayload stands for the hash of a body that the client did not sign.
const UnsignedPayload = "UNSIGNED-PAYLOAD"

// The headers that the protocol gives a meaning.
const (
	headerDate    = "X-Amz-Date"
	headerToken   = "X-Amz-Security-Token"
	headerPayload = "X-Amz-Content-Sha256"
	headerTarget  = "X-Amz-Target"
)

// Scope is what a signing key is good for.
type Scope struct {
	Date    string // as 20060102
	Region  string
	Service string
}

func (s Scope) String() string {
	return s.Date + "/" + s.Region + "/" + s.Service + "/" + terminator
}

// Signature is what an Authorization header claims. It keeps nothing of the
// header's own memory, which is overwritten when its request ends.
type Signature struct {
	AccessKeyID string
	Scope       Scope
	Time        time.Time

	signed []string // names of the signed headers, in lower case and order
	mac    [32]byte
}

// Parse reads the signature of a request from its header. rawQuery is the
// query of its target, where a signature is refused. An error is an *Error.
func Parse(h http.Header, rawQuery string) (*Signature, error) {
	if presigned(rawQuery) {
		return nil, errPresigned
	}
	values := h["Authorization"]
	switch {
	case len(values) == 0 || len(values) == 1 && strings.TrimSpace(values[0]) == "":
		return nil, errMissing
	case len(values) > 1:
		return nil, incomplete("Authorization must be given once.")
	case len(h[headerToken]) > 0:
		return nil, errSessionToken
	}
	s, err := parseAuthorization(values[0])
	if err != nil {
		return nil, err
	}
	if s.Time, err = requestTime(h); err != nil {
		return nil, err
	}
	if s.Time.Format(dateForm) != s.Scope.Date {
		return nil, invalid("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP")
	}
	return s, nil
}

// presigned reports whether the query carries a signature.
func presigned(rawQuery string) bool {
	if rawQuery == "" {
		return false
	}
	q, _ := url.ParseQuery(rawQuery) // what is broken carries none
	return q.Has("X-Amz-Signature") || q.Has("X-Amz-Algorithm") || q.Has("X-Amz-Credential")
}

func parseAuthorization(header string) (*Signature, error) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(header), " ")
	if scheme != algorithm {
		return nil, incomplete("Authorization header requires the algorithm '" + algorithm + "'.")
	}
	parts, err := parameters(rest)
	if err != nil {
		return nil, err
	}
	s := &Signature{}
	if err := s.readCredential(parts["Credential"]); err != nil {
		return nil, err
	}
	if err := s.readSignedHeaders(parts["SignedHeaders"]); err != nil {
		return nil, err
	}
	n, err := hex.Decode(s.mac[:], []byte(clip(parts["Signature"], 2*len(s.mac))))
	if err != nil || n != len(s.mac) || strings.ToLower(parts["Signature"]) != parts["Signature"] {
		return nil, invalid(mismatch)
	}
	return s, nil
}

// clip returns s, or nothing of it if it is longer than it may be.
func clip(s string, length int) string {
	if len(s) != length {
		return ""
	}
	return s
}

// parameters reads "Credential=…, SignedHeaders=…, Signature=…", each once.
func parameters(rest string) (map[string]string, error) {
	parts := make(map[string]string, 3)
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := parts[name]; !ok || twice || len(parts) == 3 {
			return nil, incomplete("Authorization header is not of the form 'Credential=..., SignedHeaders=..., Signature=...'.")
		}
		parts[name] = value
	}
	var missing []string
	for _, name := range []string{"Credential", "Signature", "SignedHeaders"} {
		if parts[name] == "" {
			missing = append(missing, fmt.Sprintf("Authorization header requires '%s' parameter.", name))
		}
	}
	if missing != nil {
		return nil, incomplete(strings.Join(missing, " "))
	}
	return parts, nil
}

func (s *Signature) readCredential(credential string) error {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 || parts[4] != terminator {
		return incomplete("Credential must have the form 'KEYID/YYYYMMDD/REGION/SERVICE/" + terminator + "'.")
	}
	for i, limit := range []int{maxAccessKeyID, len(dateForm), maxRegion, maxRegion} {
		if len(parts[i]) == 0 || len(parts[i]) > limit {
			return incomplete(fmt.Sprintf("Part %d of the Credential must have 1 to %d characters.", i+1, limit))
		}
	}
	s.AccessKeyID = strings.Clone(parts[0])
	s.Scope = Scope{strings.Clone(parts[1]), strings.Clone(parts[2]), strings.Clone(parts[3])}
	return nil
}

func (s *Signature) readSignedHeaders(list string) error {
	names := strings.Split(strings.Clone(list), ";")
	if len(names) > maxSignedHeaders {
		return incomplete(fmt.Sprintf("At most %d headers may be signed.", maxSignedHeaders))
	}
	for i, name := range names {
		if name == "" || name != strings.ToLower(name) || i > 0 && names[i-1] >= name {
			return invalid("SignedHeaders must be names in lower case, sorted, each once.")
		}
	}
	s.signed = names
	return nil
}

// requestTime reads the date that was signed: X-Amz-Date, or else Date.
func requestTime(h http.Header) (time.Time, error) {
	if values := h[headerDate]; len(values) > 0 {
		t, err := time.Parse(timeForm, values[0])
		if err != nil || len(values) > 1 {
			return time.Time{}, incomplete("Date must be in ISO-8601 'basic format', as YYYYMMDDTHHMMSSZ, once.")
		}
		return t, nil
	}
	values := h["Date"]
	if len(values) == 0 {
		return time.Time{}, incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	for _, form := range []string{timeForm, http.TimeFormat, time.RFC1123Z} {
		if t, err := time.Parse(form, values[0]); err == nil && len(values) == 1 {
			return t.UTC(), nil
		}
	}
	return time.Time{}, incomplete("The Date header is not a date.")
}

// Check refuses what no key could make good.
func (s *Signature) Check(h http.Header, service string, now time.Time) error {
	if s.Scope.Service != service {
		return invalid(fmt.Sprintf("Credential should be scoped to correct service: '%s'.", service))
	}
	if err := s.checkTime(now.UTC()); err != nil {
		return err
	}
	required := []string{"host"}
	for _, name := range []string{headerDate, headerTarget, headerPayload} {
		if len(h[name]) > 0 {
			required = append(required, strings.ToLower(name))
		}
	}
	if len(h[headerDate]) == 0 {
		required = append(required, "date")
	}
	for _, name := range required {
		if _, ok := slices.BinarySearch(s.signed, name); !ok {
			return invalid(fmt.Sprintf("'%s' must be a 'SignedHeader' in the AWS Authorization.", name))
		}
	}
	return nil
}

// checkTime words its refusals as the real service does: some SDKs read the
// clock's error out of them, all of them out of the answer's Date.
func (s *Signature) checkTime(now time.Time) error {
	at := s.Time.Format(timeForm)
	switch {
	case s.Time.Before(now.Add(-MaxSkew)):
		return invalid(fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - 5 min.)", at, now.Add(-MaxSkew).Format(timeForm), now.Format(timeForm)))
	case s.Time.After(now.Add(MaxSkew)):
		return invalid(fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + 5 min.)", at, now.Add(MaxSkew).Format(timeForm), now.Format(timeForm)))
	}
	return nil
}

package secret

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// TenantID identifies a tenant for ever: 16 random bytes, bound into every
// envelope. The zero value is the deployment itself.
type TenantID [16]byte

// ID identifies a secret within its tenant: 16 random bytes, bound into every
// envelope, so that a secret re-created under an old name is another secret.
type ID [16]byte

// IsZero reports whether t stands for the deployment, not for a tenant.
func (t TenantID) IsZero() bool { return t == TenantID{} }

// String returns the id in hexadecimal.
func (t TenantID) String() string { return hex.EncodeToString(t[:]) }

// String returns the id in hexadecimal.
func (i ID) String() string { return hex.EncodeToString(i[:]) }

// NewTenantID returns a fresh random id.
func NewTenantID() (id TenantID) { rand.Read(id[:]); return id }

// NewID returns a fresh random id.
func NewID() (id ID) { rand.Read(id[:]); return id }

// TenantName is what people call a tenant: 1 to 63 of a-z, 0-9 and '-',
// never given out twice, not even after the tenant was erased.
type TenantName string

// ParseTenantName checks s against the rule for tenant names.
func ParseTenantName(s string) (TenantName, error) {
	if len(s) < 1 || len(s) > MaxTenantName {
		return "", Limited("tenant", fmt.Sprintf("1 to %d characters", MaxTenantName))
	}
	for _, c := range []byte(s) {
		if !isLowerAlnum(c) && c != '-' {
			return "", Invalid("tenant", "only a-z, 0-9 and '-' are allowed")
		}
	}
	return TenantName(s), nil
}

func isLowerAlnum(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// AccountNumber is the 12-digit number that stands for the tenant in ARNs.
type AccountNumber string

// NewAccountNumber returns a random number; the caller makes sure that it was
// never given out.
func NewAccountNumber() AccountNumber {
	const twelveDigits = 1_000_000_000_000
	for {
		var b [8]byte
		rand.Read(b[:])
		n := uint64(b[0])<<32 | uint64(b[1])<<24 | uint64(b[2])<<16 | uint64(b[3])<<8 | uint64(b[4])
		// 2^40 is just over 10^12: rejection keeps the digits uniform.
		if n < twelveDigits {
			return AccountNumber(fmt.Sprintf("%012d", n))
		}
	}
}

// Name is a secret's name within its tenant. It is opaque: no character is a
// path separator, and "a//b" or "../a" are just names.
type Name string

// ParseName checks s against the rule that every front shares: 1 to
// MaxName of A-Z a-z 0-9 / _ + = . @ - !.
func ParseName(s string) (Name, error) {
	if len(s) < 1 || len(s) > MaxName {
		return "", Limited("name", fmt.Sprintf("1 to %d characters", MaxName))
	}
	for _, c := range []byte(s) {
		if !isNameByte(c) {
			return "", Invalid("name", "only A-Z, a-z, 0-9 and / _ + = . @ - ! are allowed")
		}
	}
	// As a segment of a URL's path these three mean something else, and no
	// front may make a secret that another cannot read.
	if s == "." || s == ".." || s == "/" {
		return "", Invalid("name", "., .. and / alone are not allowed")
	}
	return Name(s), nil
}

// ParseNativeName is ParseName with the native front's length of at most
// MaxNativeName for names that are about to be created.
func ParseNativeName(s string) (Name, error) {
	if len(s) > MaxNativeName {
		return "", Limited("name", fmt.Sprintf("1 to %d characters", MaxNativeName))
	}
	return ParseName(s)
}

func isNameByte(c byte) bool {
	return isLowerAlnum(c) || 'A' <= c && c <= 'Z' || strings.IndexByte("/_+=.@-!", c) >= 0
}

// Version numbers a secret's versions from 1. Zero is no version.
type Version uint64

// String returns the number as users see it.
func (v Version) String() string { return strconv.FormatUint(uint64(v), 10) }

// ParseVersion reads a version number as users write it: decimal, no sign, no
// leading zero.
func ParseVersion(s string) (Version, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != s {
		return 0, Invalid("version", "a whole number from 1")
	}
	return Version(n), nil
}

// VersionID is a version's second name: a UUID, or the request token under
// which the client wrote it. It makes writes idempotent.
type VersionID string

// NewVersionID returns a random UUID (RFC 9562, version 4).
func NewVersionID() VersionID { return VersionID(NewUUID()) }

// NewUUID returns a random UUID (RFC 9562, version 4) in its usual form.
func NewUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[:8], b[:4])
	out[8] = '-'
	hex.Encode(out[9:13], b[4:6])
	out[13] = '-'
	hex.Encode(out[14:18], b[6:8])
	out[18] = '-'
	hex.Encode(out[19:23], b[8:10])
	out[23] = '-'
	hex.Encode(out[24:], b[10:])
	return string(out[:])
}

// ParseVersionID checks a request token: 32 to 64 printable ASCII characters,
// AWS's rule for ClientRequestToken.
func ParseVersionID(s string) (VersionID, error) {
	if len(s) < MinRequestToken || len(s) > MaxRequestToken {
		return "", Limited("requestToken", fmt.Sprintf("%d to %d characters", MinRequestToken, MaxRequestToken))
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return "", Invalid("requestToken", "only printable ASCII without spaces is allowed")
		}
	}
	return VersionID(s), nil
}

// Label is a staging label: a movable name that sits on one version of a
// secret at a time.
type Label string

// The labels with a meaning of their own.
const (
	Current  Label = "AWSCURRENT"  // what a read without a selector returns
	Previous Label = "AWSPREVIOUS" // what Current left when it last moved
	Pending  Label = "AWSPENDING"  // a version that a rotation is making
)

// ParseLabel checks s and resolves the short forms current, previous and
// pending.
func ParseLabel(s string) (Label, error) {
	switch s {
	case "current":
		return Current, nil
	case "previous":
		return Previous, nil
	case "pending":
		return Pending, nil
	}
	if n := utf8.RuneCountInString(s); n < 1 || n > MaxLabel {
		return "", Limited("stage", fmt.Sprintf("1 to %d characters", MaxLabel))
	}
	if err := CheckLine("stage", s); err != nil {
		return "", err
	}
	return Label(s), nil
}

// CheckText refuses text that is not valid UTF-8 or holds control characters,
// those of Latin-1 included: a terminal may act on them. Line feeds and tabs
// are allowed.
func CheckText(field, s string) error {
	return check(field, s, "no control characters", func(r rune) bool {
		return r == '\n' || r == '\t' || !unicode.IsControl(r)
	})
}

// CheckLine is CheckText for text that is a name of something: every character
// must be printable, and the only space is ' '.
func CheckLine(field, s string) error {
	return check(field, s, "only printable characters are allowed", unicode.IsPrint)
}

func check(field, s, rule string, allowed func(rune) bool) error {
	if !utf8.ValidString(s) {
		return Invalid(field, "valid UTF-8")
	}
	for _, r := range s {
		if !allowed(r) {
			return Invalid(field, rule)
		}
	}
	return nil
}

package identity_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"
	"testing"
	"time"

	"fastness/internal/identity"
	"fastness/internal/secret"
)

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// A token made by hand, with its checksum worked out elsewhere:
// CRC-32 of "fst_" and 43 times "0" is 0x987f419a, in base62 2n96fC.
const vector = "fst_00000000000000000000000000000000000000000002n96fC"

// signed completes the random part of a token with its checksum, by another
// way than the package's.
func signed(random string) string {
	n := uint64(crc32.ChecksumIEEE([]byte("fst_" + random)))
	digits := ""
	for range 6 {
		digits = string(alphabet[n%62]) + digits
		n /= 62
	}
	return "fst_" + random + digits
}

func TestNewToken(t *testing.T) {
	form := regexp.MustCompile(`^fst_[0-9A-Za-z]{49}$`)
	seen := map[[32]byte]bool{}
	for range 200 {
		token, hash := identity.NewToken()
		b := token.Bytes()
		if !form.Match(b) {
			t.Fatalf("%q is not of the form", b)
		}
		if want := signed(string(b[4:47])); string(b) != want {
			t.Fatalf("got %s, want %s", b, want)
		}
		if hash != sha256.Sum256(b) {
			t.Fatal("the hash is not the token's SHA-256")
		}
		if got, err := identity.HashToken(b); err != nil || got != hash {
			t.Fatalf("HashToken refuses it: %v", err)
		}
		if seen[hash] {
			t.Fatal("the same token twice")
		}
		seen[hash] = true
		token.Release()
	}
}

func TestTokenVector(t *testing.T) {
	if _, err := identity.HashToken([]byte(vector)); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestHashTokenRefuses(t *testing.T) {
	good := signed(strings.Repeat("x", 43))
	for name, token := range map[string]string{
		"empty":                          "",
		"prefix alone":                   "fst_",
		"short":                          good[:len(good)-1],
		"long":                           good + "0",
		"of another kind":                "ghp_" + good[4:],
		"prefix in caps":                 "FST_" + good[4:],
		"wrong checksum":                 good[:len(good)-1] + "!",
		"flipped":                        "fst_y" + good[5:],
		"space before":                   " " + good,
		"newline after":                  good + "\n",
		"space for a byte":               "fst_ " + good[5:],
		"not ASCII":                      "fst_é" + good[6:],
		"NUL":                            "fst_\x00" + good[5:],
		"right checksum, wrong alphabet": signed(strings.Repeat("x", 42) + "-"),
		"right checksum, short":          signed(strings.Repeat("x", 42)),
		"right checksum, long":           signed(strings.Repeat("x", 44)),
	} {
		hash, err := identity.HashToken([]byte(token))
		if !errors.Is(err, secret.ErrUnauthenticated) || hash != [32]byte{} {
			t.Errorf("%s: got %v, want ErrUnauthenticated", name, err)
		}
	}
}

// Every single wrong character of a token is noticed.
func TestChecksumFindsTypos(t *testing.T) {
	token, _ := identity.NewToken()
	defer token.Release()
	for i := range token.Bytes() {
		typo := bytes.Clone(token.Bytes())
		for _, c := range []byte(alphabet) {
			typo[i] = c
			if _, err := identity.HashToken(typo); err == nil && !bytes.Equal(typo, token.Bytes()) {
				t.Fatalf("character %d may be another", i)
			}
		}
	}
}

func FuzzHashToken(f *testing.F) {
	for _, s := range []string{"", "fst_", vector, signed(strings.Repeat("Z", 43)), "ghp_000"} {
		f.Add([]byte(s))
	}
	form := regexp.MustCompile(`\Afst_[0-9A-Za-z]{49}\z`)
	f.Fuzz(func(t *testing.T, token []byte) {
		before := bytes.Clone(token)
		hash, err := identity.HashToken(token)
		want := form.Match(token) && signed(string(token[4:47])) == string(token)
		if (err == nil) != want {
			t.Errorf("%q: accepted: %v, want %v", token, err == nil, want)
		}
		if err == nil && hash != sha256.Sum256(token) {
			t.Errorf("%q: wrong hash", token)
		}
		if !bytes.Equal(token, before) {
			t.Error("the token was changed")
		}
	})
}

func TestIDs(t *testing.T) {
	for name, tc := range map[string]struct {
		make func() string
		form string
	}{
		"token id":          {identity.NewTokenID, `^tok_[a-z2-7]{16}$`},
		"access key id":     {identity.NewAccessKeyID, `^FSKA[A-Z2-7]{16}$`},
		"access key secret": {newSecret, `^[A-Za-z0-9+/]{40}$`},
	} {
		form, seen := regexp.MustCompile(tc.form), map[string]bool{}
		var all string
		for range 500 {
			id := tc.make()
			if !form.MatchString(id) {
				t.Fatalf("%s: %q is not of the form", name, id)
			}
			if seen[id] {
				t.Fatalf("%s: %q twice", name, id)
			}
			seen[id] = true
			all += id[4:]
		}
		// Each character of the alphabet turns up: 500 draws of 12 or more.
		for _, c := range allowed(form) {
			if !strings.ContainsRune(all, c) {
				t.Errorf("%s: %c never occurs", name, c)
			}
		}
	}
}

func newSecret() string {
	b := identity.NewAccessKeySecret()
	defer b.Release()
	return string(b.Bytes())
}

// allowed returns the characters that may stand at the end of the form.
func allowed(form *regexp.Regexp) (chars []rune) {
	text := form.String()
	class := regexp.MustCompile("^" + text[strings.Index(text, "["):strings.Index(text, "{")] + "$")
	for c := '!'; c <= '~'; c++ {
		if class.MatchString(string(c)) {
			chars = append(chars, c)
		}
	}
	return chars
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"1m": time.Minute, "15m": 15 * time.Minute, "12h": 12 * time.Hour, "30d": 30 * 24 * time.Hour,
		"3650d": identity.MaxExpiry, "87600h": identity.MaxExpiry, "5256000m": identity.MaxExpiry,
	} {
		if got, err := identity.ParseDuration(s); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "d", "1", "30", "1s", "1w", "1y", "1D", "-1d", "+1d", "01d", "0d", "0m", "1.5d", "1d12h", " 1d", "1d ", "1 d", "1_0d", "0x1d", "d30", "١d", "1µ", "\x001d", "1\xff"} {
		if _, err := identity.ParseDuration(s); !errors.Is(err, secret.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", s, err)
		}
	}
	for _, s := range []string{"3651d", "87601h", "5256001m", "4294967296m", "9223372036854775808d", strings.Repeat("9", 100) + "d"} {
		_, err := identity.ParseDuration(s)
		if !errors.Is(err, secret.ErrLimit) || fmt.Sprint(err) != "expiresIn: limit: from 1m to 3650d" {
			t.Errorf("%q: got %v, want ErrLimit", s, err)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"30d", "12h", "15m", "0d", "99999999999999999999d", "1.5h", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := identity.ParseDuration(s)
		if err != nil {
			if d != 0 {
				t.Errorf("%q: refused, and %v", s, d)
			}
			return
		}
		if d < identity.MinExpiry || d > identity.MaxExpiry {
			t.Errorf("%q: %v is beyond the limits", s, d)
		}
		// One form a number and unit: writing it again gives the same text.
		unit := map[byte]time.Duration{'d': 24 * time.Hour, 'h': time.Hour, 'm': time.Minute}[s[len(s)-1]]
		if again := fmt.Sprintf("%d%c", d/unit, s[len(s)-1]); again != s {
			t.Errorf("%q stands for %q", s, again)
		}
	})
}

func TestCheckPrincipal(t *testing.T) {
	for _, s := range []string{"a", "alice", "Alice.B", "ci@acme", "svc:web/prod", "a-b_c", "spiffe://acme/web", "systemd", "System", strings.Repeat("x", 128)} {
		if err := identity.CheckPrincipal(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for s, want := range map[string]*secret.Error{
		"":                       secret.ErrLimit,
		strings.Repeat("x", 129): secret.ErrLimit,
		"system":                 secret.ErrInvalid,
		"local":                  secret.ErrInvalid,
		".":                      secret.ErrInvalid,
		"..":                     secret.ErrInvalid,
		"/":                      secret.ErrInvalid,
		"a b":                    secret.ErrInvalid,
		"a\n":                    secret.ErrInvalid,
		"a\x00":                  secret.ErrInvalid,
		"é":                      secret.ErrInvalid,
		"a*":                     secret.ErrInvalid,
		"\u0430lice":             secret.ErrInvalid, // a Cyrillic look-alike
		"<script>":               secret.ErrInvalid,
		"\xff":                   secret.ErrInvalid,
	} {
		err := identity.CheckPrincipal(s)
		if !errors.Is(err, want) || secret.Of(err).Field != "principal" {
			t.Errorf("%q: got %v, want %v", s, err, want.Code)
		}
	}
}

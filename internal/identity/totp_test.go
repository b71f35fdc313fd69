package identity_test

import (
	"bytes"
	"encoding/base32"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
	"pgregory.net/rapid"

	"fastness/internal/identity"
	"fastness/internal/secret"
)

// The test vectors of RFC 6238, appendix B, for SHA-1, cut to six digits.
func TestTOTPVectors(t *testing.T) {
	seed := []byte("12345678901234567890")
	for unix, code := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		step, ok := identity.VerifyTOTP(seed, []byte(code), time.Unix(unix, 0), 0)
		if !ok || step != unix/30 {
			t.Errorf("at %d: %v, step %d", unix, ok, step)
		}
	}
}

// Any code is the one that a library of others makes.
func TestTOTPLikeLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.SliceOfN(rapid.Byte(), 20, 20).Draw(t, "seed")
		now := time.Unix(rapid.Int64Range(100, 1<<35).Draw(t, "time"), 0)
		code, err := totp.GenerateCode(base32.StdEncoding.EncodeToString(seed), now)
		if err != nil {
			t.Fatal(err)
		}
		if step, ok := identity.VerifyTOTP(seed, []byte(code), now, 0); !ok || step > now.Unix()/30+1 || step < now.Unix()/30-1 {
			t.Fatalf("%s: %v, step %d", code, ok, step)
		}
	})
}

func TestVerifyTOTP(t *testing.T) {
	seed := identity.NewTOTP()
	defer seed.Release()
	now := newClock().now()
	at := func(d time.Duration) []byte {
		code, err := totp.GenerateCode(base32.StdEncoding.EncodeToString(seed.Bytes()), now.Add(d))
		if err != nil {
			t.Fatal(err)
		}
		return []byte(code)
	}
	for _, d := range []time.Duration{-30 * time.Second, 0, 30 * time.Second} {
		if _, ok := identity.VerifyTOTP(seed.Bytes(), at(d), now, 0); !ok {
			t.Errorf("off by %v: refused", d)
		}
	}
	for _, d := range []time.Duration{-60 * time.Second, 60 * time.Second, -time.Hour} {
		if _, ok := identity.VerifyTOTP(seed.Bytes(), at(d), now, 0); ok {
			t.Errorf("off by %v: taken", d)
		}
	}
	// A code works once, and so does every one before it.
	step, ok := identity.VerifyTOTP(seed.Bytes(), at(0), now, 0)
	if !ok || step != now.Unix()/30 {
		t.Fatalf("%v, step %d", ok, step)
	}
	for _, d := range []time.Duration{-30 * time.Second, 0} {
		if _, ok := identity.VerifyTOTP(seed.Bytes(), at(d), now, step); ok {
			t.Errorf("off by %v: taken again", d)
		}
	}
	if next, ok := identity.VerifyTOTP(seed.Bytes(), at(30*time.Second), now, step); !ok || next != step+1 {
		t.Errorf("the next one: %v, step %d", ok, next)
	}
	for _, code := range []string{"", "12345", "1234567", "abcdef", " 12345", "12345６"} {
		if err := identity.CheckTOTP([]byte(code)); !errors.Is(err, secret.ErrInvalid) {
			t.Errorf("%q: %v", code, err)
		}
		if _, ok := identity.VerifyTOTP(seed.Bytes(), []byte(code), now, 0); ok {
			t.Errorf("%q: taken", code)
		}
	}
	if err := identity.CheckTOTP([]byte("012345")); err != nil {
		t.Error(err)
	}
}

func TestTOTPURI(t *testing.T) {
	seed := []byte("12345678901234567890")
	b := identity.TOTPURI(seed, "Fastness acme", "alice@acme.example/x?y")
	defer b.Release()
	key, err := otp.NewKeyFromURL(string(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if key.Type() != "totp" || key.Issuer() != "Fastness acme" || key.AccountName() != "alice@acme.example/x?y" || key.Digits() != 6 ||
		key.Period() != 30 || key.Algorithm() != otp.AlgorithmSHA1 || key.Secret() != base32.StdEncoding.EncodeToString(seed) {
		t.Errorf("read as %v", key)
	}
	if _, err := url.Parse(string(b.Bytes())); err != nil || strings.ContainsAny(string(b.Bytes()), " \n") {
		t.Errorf("%v in %q", err, b.Bytes())
	}
	a := identity.NewTOTP()
	defer a.Release()
	if a.Len() != 20 || bytes.Equal(a.Bytes(), make([]byte, 20)) {
		t.Error("the seed is not random")
	}
}

func TestRecoveryCodes(t *testing.T) {
	codes, hashes := identity.NewRecoveryCodes()
	defer codes.Release()
	lines := strings.Split(strings.TrimSuffix(string(codes.Bytes()), "\n"), "\n")
	if len(lines) != 10 || len(hashes) != 10 {
		t.Fatalf("%d codes, %d hashes", len(lines), len(hashes))
	}
	form := regexp.MustCompile(`^([a-km-np-z2-9]{4}-){3}[a-km-np-z2-9]{4}$`)
	seen := map[string]bool{}
	for i, code := range lines {
		if !form.MatchString(code) || seen[code] {
			t.Errorf("code %q", code)
		}
		seen[code] = true
		for _, written := range []string{code, strings.ToUpper(code), strings.ReplaceAll(code, "-", ""), strings.ReplaceAll(code, "-", " "), " " + code} {
			if got := identity.FindRecoveryCode([]byte(written), hashes); got != i {
				t.Errorf("%q is found at %d, want %d", written, got, i)
			}
		}
		if strings.Contains(fmt.Sprint(hashes), strings.ReplaceAll(code, "-", "")) {
			t.Error("a hash shows its code")
		}
	}
	used := append([]string{}, hashes...)
	used[3] = ""
	if got := identity.FindRecoveryCode([]byte(lines[3]), used); got != -1 {
		t.Errorf("a code that was taken out is found at %d", got)
	}
	for _, bad := range []string{"", "a", strings.Repeat("a", 16), lines[0][1:], lines[0] + "a", strings.Repeat("-", 16), strings.Repeat("\xff", 16), hashes[0], strings.Repeat("a", 1<<16)} {
		if got := identity.FindRecoveryCode([]byte(bad), hashes); got != -1 {
			t.Errorf("%.20q is found at %d", bad, got)
		}
	}
	if got := identity.FindRecoveryCode([]byte(lines[0]), []string{"zz", strings.Repeat("z", 96), hashes[1]}); got != -1 {
		t.Errorf("malformed hashes: found at %d", got)
	}
}

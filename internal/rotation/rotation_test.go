package rotation_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"fastness"
	"fastness/fastnesstest"
	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/vault"
)

const passwordAlphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!@#$%^&*"

func TestGenerateByName(t *testing.T) {
	for name, check := range map[secret.Name]func([]byte) bool{
		"stripe-api-key":       isHexKey,
		"Stripe-API-KEY":       isHexKey,
		"db/password":          isPassword,
		"DB_PASSWORD":          isPassword,
		"password-for-api-key": isHexKey, // the first rule wins
	} {
		v, err := rotation.Generate(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !check(v.Bytes()) {
			t.Errorf("%s: the value has another form", name)
		}
		v.Release()
	}
	if _, err := rotation.Generate("certificate"); !errors.Is(err, secret.ErrNoGenerator) {
		t.Errorf("certificate: %v, want ErrNoGenerator", err)
	}
}

func isHexKey(b []byte) bool {
	raw, err := hex.DecodeString(string(b))
	return err == nil && len(raw) == 32
}

func isPassword(b []byte) bool {
	return len(b) == 32 && len(bytes.Trim(b, passwordAlphabet)) == 0
}

// Every character must come, about equally often: 200,000 draws of 70 give
// each some 2,857, and 6 standard deviations are 320.
func TestPasswordsAreUnbiased(t *testing.T) {
	const passwords = 6250
	count := map[byte]int{}
	for range passwords {
		v, err := rotation.Generate("password")
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range v.Bytes() {
			count[b]++
		}
		v.Release()
	}
	want := passwords * 32 / len(passwordAlphabet)
	for _, c := range []byte(passwordAlphabet) {
		if n := count[c]; n < want-320 || n > want+320 {
			t.Errorf("%q came %d times, want about %d", c, n, want)
		}
	}
	if extra := strings.Trim(string(keys(count)), passwordAlphabet); extra != "" {
		t.Errorf("characters outside the alphabet: %q", extra)
	}
}

func keys(m map[byte]int) (out []byte) {
	for k := range m {
		out = append(out, k)
	}
	return out
}

// A repeat under one request token is the same version, and makes no value.
func TestGeneratedRotationIsIdempotent(t *testing.T) {
	ctx := context.Background()
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	fastnesstest.Put(t, s, "db/password", "old")
	put := vault.Put{Token: "0123456789abcdef0123456789abcdef"}
	first, _, err := rotation.Rotate(ctx, s, "db/password", put)
	if err != nil {
		t.Fatal(err)
	}
	value := fastnesstest.Get(t, s, "db/password", fastness.Selector{})
	again, _, err := rotation.Rotate(ctx, s, "db/password", put)
	if err != nil || again.Version != first.Version {
		t.Errorf("the repeat is version %d with error %v, want version %d", again.Version, err, first.Version)
	}
	if fastnesstest.Get(t, s, "db/password", fastness.Selector{}) != value {
		t.Error("the repeat changed the value")
	}
}

// Who may not rotate a secret learns neither that no rule fits nor that it is there.
func TestRefusalsComeBeforeTheRule(t *testing.T) {
	ctx := context.Background()
	f := fastnesstest.Open(t, nil)
	s := f.Tenant(t, "acme")
	fastnesstest.Put(t, s, "certificate", "x")
	reader := f.Session(f.Caller(t, "acme", fastness.TokenSpec{Grants: []fastness.Grant{{Role: fastness.Reader}}}), "")
	if _, _, err := rotation.Rotate(ctx, reader, "certificate", vault.Put{}); !errors.Is(err, secret.ErrAccessDenied) {
		t.Errorf("reader: %v, want ErrAccessDenied", err)
	}
	if _, _, err := rotation.Rotate(ctx, s, "absent", vault.Put{}); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("absent: %v, want ErrNotFound", err)
	}
	if _, _, err := rotation.Rotate(ctx, s, "certificate", vault.Put{}); !errors.Is(err, secret.ErrNoGenerator) {
		t.Errorf("no rule: %v, want ErrNoGenerator", err)
	}
}

package identity_test

import (
	"bytes"
	"errors"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"fastness/internal/identity"
	"fastness/internal/secret"
)

func TestPassword(t *testing.T) {
	password := []byte("correct horse battery")
	before := bytes.Clone(password)
	hash, err := identity.HashPassword(password)
	if err != nil {
		t.Fatal(err)
	}
	defer hash.Release()
	if !regexp.MustCompile(`^\$argon2id\$v=19\$m=65536,t=3,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`).Match(hash.Bytes()) {
		t.Errorf("got %s", hash.Bytes())
	}
	again, err := identity.HashPassword(password)
	if err != nil || bytes.Equal(again.Bytes(), hash.Bytes()) {
		t.Errorf("the same hash twice: no salt, %v", err)
	}
	again.Release()
	for guess, want := range map[string]bool{
		"correct horse battery": true, "Correct horse battery": false, "": false, "correct horse battery\x00": false,
		strings.Repeat("a", identity.MaxPassword+1): false,
	} {
		ok, outdated, err := identity.VerifyPassword([]byte(guess), hash.Bytes())
		if ok != want || outdated || err != nil {
			t.Errorf("%q: got %v, outdated %v, %v", guess, ok, outdated, err)
		}
	}
	if !bytes.Equal(password, before) {
		t.Error("the password was changed")
	}
}

// A hash made elsewhere: of the tests of argon2's reference implementation.
func TestPasswordVector(t *testing.T) {
	const phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, outdated, err := identity.VerifyPassword([]byte("password"), []byte(phc)); !ok || !outdated || err != nil {
		t.Errorf("got %v, outdated %v, %v", ok, outdated, err)
	}
}

// A hash of an older release still works, and is to be made anew.
func TestPasswordOutdated(t *testing.T) {
	hash := identity.HashWeakly([]byte("correct horse battery"))
	defer hash.Release()
	if ok, outdated, err := identity.VerifyPassword([]byte("correct horse battery"), hash.Bytes()); !ok || !outdated || err != nil {
		t.Errorf("got %v, outdated %v, %v", ok, outdated, err)
	}
}

func TestPasswordLimits(t *testing.T) {
	for _, n := range []int{0, 11, 257} {
		_, err := identity.HashPassword(bytes.Repeat([]byte("x"), n))
		if !errors.Is(err, secret.ErrLimit) || err.Error() != "password: limit: 12 to 256 bytes" {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for _, n := range []int{12, 256} {
		if err := identity.CheckPassword(bytes.Repeat([]byte("x"), n)); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestMalformedHash(t *testing.T) {
	const good = "$argon2id$v=19$m=8192,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for name, phc := range map[string]string{
		"empty": "", "plain": "password", "another kind": strings.Replace(good, "argon2id", "argon2i", 1),
		"another version": strings.Replace(good, "v=19", "v=16", 1), "no lanes": strings.Replace(good, ",p=1", "", 1),
		"order": strings.Replace(good, "m=8192,t=1", "t=1,m=8192", 1), "zero passes": strings.Replace(good, "t=1", "t=0", 1),
		"much memory": strings.Replace(good, "m=8192", "m=4194304", 1), "many passes": strings.Replace(good, "t=1", "t=1000000", 1),
		"many lanes": strings.Replace(good, "p=1", "p=255", 1), "a leading zero": strings.Replace(good, "t=1", "t=01", 1),
		"short salt": strings.Replace(good, "AAAAAAAAAAAAAAAAAAAAAA$", "AAAA$", 1), "short hash": good[:len(good)-36],
		"padding": good + "=", "a part more": good + "$x", "trailing bits": good[:len(good)-1] + "B",
	} {
		start := time.Now()
		if ok, _, err := identity.VerifyPassword([]byte("x"), []byte(phc)); ok || !errors.Is(err, secret.ErrInternal) {
			t.Errorf("%s: got %v, %v", name, ok, err)
		}
		if time.Since(start) > time.Second {
			t.Errorf("%s: it was worked on", name)
		}
	}
	if _, _, err := identity.VerifyPassword([]byte("x"), []byte(good)); err != nil {
		t.Errorf("the pattern of these is refused, too: %v", err)
	}
}

// Looking for a password that is not there is as much work as checking one: it
// fills as much memory, three times over.
func TestSpendPassword(t *testing.T) {
	used := func(f func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) >> 20
	}
	const hash = "$argon2id$v=19$m=65536,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	there := used(func() { identity.VerifyPassword([]byte("wrong horse battery"), []byte(hash)) })
	absent := used(func() { identity.SpendPassword([]byte("wrong horse battery")) })
	if there < 64 || absent < 64 || absent > there+1 || there > absent+1 {
		t.Errorf("%d MiB with a password, %d without", there, absent)
	}
}

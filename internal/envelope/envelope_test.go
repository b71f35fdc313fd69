package envelope_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"fastness/internal/envelope"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"

	"pgregory.net/rapid"
)

var algorithms = []secret.Algorithm{secret.AES256GCM, secret.HybridQuantum}

func TestRoundTrip(t *testing.T) {
	k := newKEK(t, 7)
	rapid.Check(t, func(t *rapid.T) {
		b := drawBinding(t)
		alg := rapid.SampledFrom(algorithms).Draw(t, "algorithm")
		value := rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "value")
		before := bytes.Clone(value)
		s, err := envelope.Seal(k, b, alg, value)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(value, before) {
			t.Fatal("Seal changed the caller's value")
		}
		if len(value) >= 16 && (bytes.Contains(s.Ciphertext, value) || bytes.Contains(s.Envelope, value)) {
			t.Fatal("the value stands in the clear")
		}
		if number, a, err := envelope.EnvelopeKEK(s.Envelope); number != 7 || a != alg || err != nil {
			t.Fatalf("EnvelopeKEK = %d, %q, %v", number, a, err)
		}
		mustOpen(t, k, b, s, value)
	})
}

func drawBinding(t *rapid.T) (b envelope.Binding) {
	copy(b.Tenant[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "tenant"))
	copy(b.Secret[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "secret"))
	b.Version = secret.VersionID(rapid.StringN(0, -1, 64).Draw(t, "version"))
	return b
}

// fataler is what *testing.T and *rapid.T share.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func mustOpen(t fataler, k *envelope.KEK, b envelope.Binding, s envelope.Sealed, want []byte) {
	t.Helper()
	got, err := envelope.Open(k, b, s)
	if err != nil {
		t.Fatalf("opening: %v (%v)", err, errors.Unwrap(err))
	}
	defer got.Release()
	if !bytes.Equal(got.Bytes(), want) {
		t.Fatalf("opened %x, want %x", got.Bytes(), want)
	}
}

func mustSeal(t fataler, k *envelope.KEK, b envelope.Binding, alg secret.Algorithm, value string) envelope.Sealed {
	t.Helper()
	s, err := envelope.Seal(k, b, alg, []byte(value))
	if err != nil {
		t.Fatalf("sealing: %v", err)
	}
	return s
}

// mustRefuse checks an error of opening: the one sentinel, and a text that is
// the same whatever the reason.
func mustRefuse(t fataler, what string, err error) {
	t.Helper()
	if !errors.Is(err, secret.ErrDecryption) {
		t.Fatalf("%s: error %v, want ErrDecryption", what, err)
	}
	if got, want := secret.Of(err).Error(), secret.ErrDecryption.Error(); got != want {
		t.Fatalf("%s: the caller is told %q, want %q", what, got, want)
	}
}

func TestSizes(t *testing.T) {
	k := newKEK(t, 1)
	for alg, want := range map[secret.Algorithm]int{secret.AES256GCM: 66, secret.HybridQuantum: 1202} {
		s := mustSeal(t, k, newBinding(), alg, "12345")
		if len(s.Envelope) != want || cap(s.Envelope) != want || len(s.Ciphertext) != 35 || cap(s.Ciphertext) != 35 {
			t.Errorf("%s: envelope %d of %d bytes, ciphertext %d of %d", alg,
				len(s.Envelope), cap(s.Envelope), len(s.Ciphertext), cap(s.Ciphertext))
		}
	}
}

func TestSealsNeverRepeat(t *testing.T) {
	k, b := newKEK(t, 1), newBinding()
	seen := map[string]bool{}
	for range 100 {
		s := mustSeal(t, k, b, secret.AES256GCM, "same")
		for _, part := range []string{string(s.Envelope[6:18]), string(s.Ciphertext[2:14]), string(s.Ciphertext)} {
			if seen[part] {
				t.Fatal("a nonce or a ciphertext came twice")
			}
			seen[part] = true
		}
	}
}

// TestEveryBitCounts flips each single bit of envelope and ciphertext, and
// cuts and lengthens both.
func TestEveryBitCounts(t *testing.T) {
	k, b := newKEK(t, 1), newBinding()
	for _, alg := range algorithms {
		s := mustSeal(t, k, b, alg, "correct horse")
		refuse := func(what string, damaged envelope.Sealed) {
			t.Helper()
			got, err := envelope.Open(k, b, damaged)
			if err == nil {
				t.Fatalf("%s: %s opens to %q", alg, what, got.Bytes())
			}
			mustRefuse(t, what, err)
		}
		for i := range len(s.Envelope) * 8 {
			refuse(fmt.Sprintf("envelope with bit %d flipped", i), envelope.Sealed{Envelope: flip(s.Envelope, i), Ciphertext: s.Ciphertext})
		}
		for i := range len(s.Ciphertext) * 8 {
			refuse(fmt.Sprintf("ciphertext with bit %d flipped", i), envelope.Sealed{Envelope: s.Envelope, Ciphertext: flip(s.Ciphertext, i)})
		}
		for n := range s.Envelope {
			refuse(fmt.Sprintf("envelope cut to %d", n), envelope.Sealed{Envelope: s.Envelope[:n], Ciphertext: s.Ciphertext})
		}
		for n := range s.Ciphertext {
			refuse(fmt.Sprintf("ciphertext cut to %d", n), envelope.Sealed{Envelope: s.Envelope, Ciphertext: s.Ciphertext[:n]})
		}
		refuse("longer envelope", envelope.Sealed{Envelope: append(bytes.Clone(s.Envelope), 0), Ciphertext: s.Ciphertext})
		refuse("longer ciphertext", envelope.Sealed{Envelope: s.Envelope, Ciphertext: append(bytes.Clone(s.Ciphertext), 0)})
		refuse("parts exchanged", envelope.Sealed{Envelope: s.Ciphertext, Ciphertext: s.Envelope})
		refuse("nothing", envelope.Sealed{})
		mustOpen(t, k, b, s, []byte("correct horse"))
	}
}

func flip(b []byte, bit int) []byte {
	c := bytes.Clone(b)
	c[bit/8] ^= 1 << (bit % 8)
	return c
}

// TestSwapsDoNotOpen moves whole rows, and single columns of rows, to where
// they do not belong.
func TestSwapsDoNotOpen(t *testing.T) {
	k1, k2 := newKEK(t, 1), newKEK(t, 2)
	renumbered := &envelope.KEK{Number: 2, Key: k1.Key, KEMPublic: k1.KEMPublic, KEMSeed: k1.KEMSeed}
	b := newBinding()
	elsewhere := map[string]envelope.Binding{
		"tenant":     {Tenant: secret.NewTenantID(), Secret: b.Secret, Version: b.Version},
		"secret":     {Tenant: b.Tenant, Secret: secret.NewID(), Version: b.Version},
		"version":    {Tenant: b.Tenant, Secret: b.Secret, Version: secret.NewVersionID()},
		"no version": {Tenant: b.Tenant, Secret: b.Secret},
		"ids moved":  {Tenant: secret.TenantID(b.Secret), Secret: secret.ID(b.Tenant), Version: b.Version},
		"longer":     {Tenant: b.Tenant, Secret: b.Secret, Version: b.Version + "\x00"},
	}
	for _, alg := range algorithms {
		s := mustSeal(t, k1, b, alg, "correct horse")
		for what, other := range elsewhere {
			_, err := envelope.Open(k1, other, s)
			mustRefuse(t, what, err)
			// An attacker who owns the other place mixes in his own half.
			own := mustSeal(t, k1, other, alg, "battery staple")
			for _, at := range []envelope.Binding{b, other} {
				_, err = envelope.Open(k1, at, envelope.Sealed{Envelope: s.Envelope, Ciphertext: own.Ciphertext})
				mustRefuse(t, what+", ciphertext", err)
				_, err = envelope.Open(k1, at, envelope.Sealed{Envelope: own.Envelope, Ciphertext: s.Ciphertext})
				mustRefuse(t, what+", envelope", err)
			}
			_, err = envelope.Rewrap(k1, k2, other, alg, s.Envelope)
			mustRefuse(t, what+", re-wrap", err)
		}
		for what, k := range map[string]*envelope.KEK{"other KEK": k2, "other number": renumbered} {
			_, err := envelope.Open(k, b, s)
			mustRefuse(t, what, err)
		}
		relabelled := bytes.Clone(s.Envelope)
		relabelled[5] = 2
		_, err := envelope.Open(renumbered, b, envelope.Sealed{Envelope: relabelled, Ciphertext: s.Ciphertext})
		mustRefuse(t, "number changed in the row too", err)
	}
}

func TestRewrap(t *testing.T) {
	from, to := newKEK(t, 1), newKEK(t, 2)
	for _, first := range algorithms {
		for _, second := range algorithms {
			for _, target := range []*envelope.KEK{from, to} {
				b := newBinding()
				s := mustSeal(t, from, b, first, "correct horse")
				e, err := envelope.Rewrap(from, target, b, second, s.Envelope)
				if err != nil {
					t.Fatal(err)
				}
				if number, alg, err := envelope.EnvelopeKEK(e); number != target.Number || alg != second || err != nil {
					t.Errorf("the new envelope is under %d by %s: %v", number, alg, err)
				}
				moved := envelope.Sealed{Envelope: e, Ciphertext: s.Ciphertext}
				mustOpen(t, target, b, moved, []byte("correct horse"))
				mustOpen(t, from, b, s, []byte("correct horse"))
				if target != from {
					_, err = envelope.Open(from, b, moved)
					mustRefuse(t, "the old KEK", err)
				}
			}
		}
	}
}

func TestRewrapRefusesDamage(t *testing.T) {
	from, to, b := newKEK(t, 1), newKEK(t, 2), newBinding()
	s := mustSeal(t, from, b, secret.AES256GCM, "correct horse")
	for i := range len(s.Envelope) * 8 {
		if e, err := envelope.Rewrap(from, to, b, secret.AES256GCM, flip(s.Envelope, i)); e != nil {
			t.Fatalf("bit %d flipped: re-wrapped", i)
		} else {
			mustRefuse(t, "flipped bit", err)
		}
	}
}

// TestHybridNeedsTheSeedToOpenOnly checks that a writer can seal with the
// public key, and that a KEK without its half of the pair says so.
func TestHybridNeedsTheSeedToOpenOnly(t *testing.T) {
	k, b := newKEK(t, 1), newBinding()
	writer := &envelope.KEK{Number: 1, Key: k.Key, KEMPublic: k.KEMPublic}
	s := mustSeal(t, writer, b, secret.HybridQuantum, "correct horse")
	mustOpen(t, k, b, s, []byte("correct horse"))
	_, err := envelope.Open(writer, b, s)
	mustRefuse(t, "opening without the seed", err)

	bare := &envelope.KEK{Number: 1, Key: k.Key}
	if _, err := envelope.Seal(bare, b, secret.HybridQuantum, nil); err == nil || !strings.Contains(err.Error(), "no KEM key") {
		t.Errorf("sealing without a public key: %v", err)
	}
	broken := &envelope.KEK{Number: 1, Key: k.Key, KEMPublic: k.KEMPublic[1:]}
	if _, err := envelope.Seal(broken, b, secret.HybridQuantum, nil); err == nil {
		t.Error("sealing to half a public key works")
	}

	// The outer layer alone does not open it: another pair under the same KEK.
	other := newKEK(t, 1)
	mixed := &envelope.KEK{Number: 1, Key: k.Key, KEMPublic: other.KEMPublic, KEMSeed: other.KEMSeed}
	_, err = envelope.Open(mixed, b, s)
	mustRefuse(t, "another KEM key pair", err)
}

func TestAttachKEMGivesTheSamePublicKey(t *testing.T) {
	k := newKEK(t, 1)
	loaded := &envelope.KEK{Number: 1, Key: k.Key, KEMPublic: []byte("from a row that somebody changed")}
	if err := loaded.AttachKEM(k.KEMSeed); err != nil || !bytes.Equal(loaded.KEMPublic, k.KEMPublic) {
		t.Errorf("AttachKEM: %v", err)
	}
	if err := k.AddKEM(); err == nil {
		t.Error("AddKEM replaced a key pair")
	}
}

func TestRefusedArguments(t *testing.T) {
	k, b := newKEK(t, 1), newBinding()
	if _, err := envelope.Seal(k, b, "rot13", nil); err == nil {
		t.Error("an unknown algorithm seals")
	}
	if _, err := envelope.Rewrap(k, k, b, "rot13", mustSeal(t, k, b, secret.AES256GCM, "").Envelope); err == nil {
		t.Error("an unknown algorithm re-wraps")
	}
	if _, err := envelope.NewKEK(0); err == nil {
		t.Error("KEK number 0 is made")
	}
	if _, err := envelope.Seal(&envelope.KEK{Key: k.Key}, b, secret.AES256GCM, nil); err == nil {
		t.Error("KEK number 0 seals")
	}
	long := envelope.Binding{Version: secret.VersionID(strings.Repeat("x", 257))}
	if _, err := envelope.Seal(k, long, secret.AES256GCM, nil); err == nil {
		t.Error("a version id that is too long seals")
	}
	_, err := envelope.Open(k, long, mustSeal(t, k, b, secret.AES256GCM, ""))
	mustRefuse(t, "a version id that is too long", err)
}

// TestDestroyedKeysAreNotDamage checks that a reader who lost a race against a
// cache can tell that from a damaged row.
func TestDestroyedKeysAreNotDamage(t *testing.T) {
	k, b := newKEK(t, 1), newBinding()
	s := mustSeal(t, k, b, secret.HybridQuantum, "correct horse")
	blob, err := k.SealAccessKey(b.Tenant, "FSKA", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	live := newKEK(t, 1)
	k.KEMSeed.Destroy()
	_, errSeed := envelope.Open(k, b, s)
	k.Destroy()
	_, errOpen := envelope.Open(k, b, s)
	_, errSeal := envelope.Seal(k, b, secret.AES256GCM, nil)
	_, errFrom := envelope.Rewrap(k, live, b, secret.AES256GCM, s.Envelope)
	_, errTo := envelope.Rewrap(live, k, b, secret.AES256GCM, mustSeal(t, live, b, secret.AES256GCM, "").Envelope)
	_, errSealKey := k.SealAccessKey(b.Tenant, "FSKA", nil)
	_, errOpenKey := k.OpenAccessKey(b.Tenant, "FSKA", blob)
	errKEM := new(envelope.KEK).AttachKEM(k.KEMSeed)
	for what, err := range map[string]error{
		"open, seed": errSeed, "open": errOpen, "seal": errSeal, "rewrap from": errFrom, "rewrap to": errTo,
		"seal access key": errSealKey, "open access key": errOpenKey, "attach": errKEM,
	} {
		if !errors.Is(err, envelope.ErrKeyGone) || errors.Is(err, secret.ErrDecryption) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAccessKeys(t *testing.T) {
	k, other, tenant := newKEK(t, 3), newKEK(t, 4), secret.NewTenantID()
	blob, err := k.SealAccessKey(tenant, "FSKAEXAMPLE", []byte("wJalrXUtnFEMI"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.OpenAccessKey(tenant, "FSKAEXAMPLE", blob)
	if err != nil || !bytes.Equal(got.Bytes(), []byte("wJalrXUtnFEMI")) {
		t.Fatalf("opened %q, %v", got.Bytes(), err)
	}
	if n, err := envelope.AccessKeyKEK(blob); n != 3 || err != nil {
		t.Errorf("AccessKeyKEK = %d, %v", n, err)
	}
	renumbered := &envelope.KEK{Number: 4, Key: k.Key}
	for what, open := range map[string]func() error{
		"other tenant": func() error { _, err := k.OpenAccessKey(secret.NewTenantID(), "FSKAEXAMPLE", blob); return err },
		"other id":     func() error { _, err := k.OpenAccessKey(tenant, "FSKAEXAMPLF", blob); return err },
		"long id":      func() error { _, err := k.OpenAccessKey(tenant, strings.Repeat("A", 257), blob); return err },
		"other KEK":    func() error { _, err := other.OpenAccessKey(tenant, "FSKAEXAMPLE", blob); return err },
		"renumbered": func() error {
			_, err := renumbered.OpenAccessKey(tenant, "FSKAEXAMPLE", flip(flip(flip(blob, 40), 41), 42))
			return err
		},
		"longer": func() error {
			_, err := k.OpenAccessKey(tenant, "FSKAEXAMPLE", append(bytes.Clone(blob), 0))
			return err
		},
	} {
		mustRefuse(t, what, open())
	}
	for i := range len(blob) * 8 {
		_, err := k.OpenAccessKey(tenant, "FSKAEXAMPLE", flip(blob, i))
		mustRefuse(t, "flipped bit", err)
	}
	for n := range blob {
		_, err := k.OpenAccessKey(tenant, "FSKAEXAMPLE", blob[:n])
		mustRefuse(t, "cut", err)
	}
	if _, err := k.SealAccessKey(tenant, strings.Repeat("A", 257), nil); err == nil {
		t.Error("an id that is too long seals")
	}
	if _, err := (&envelope.KEK{Key: k.Key}).SealAccessKey(tenant, "FSKA", nil); err == nil {
		t.Error("KEK number 0 seals")
	}
	if _, err := envelope.AccessKeyKEK(nil); err == nil {
		t.Error("nothing has a KEK number")
	}
}

func TestDocuments(t *testing.T) {
	k, other, tenant := newKEK(t, 3), newKEK(t, 4), secret.NewTenantID()
	plain := []byte("JBSWY3DPEHPK3PXP")
	blob, err := k.SealDocument(tenant, "factor", "alice/1", plain)
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.OpenDocument(tenant, "factor", "alice/1", blob)
	if err != nil || !bytes.Equal(got.Bytes(), plain) {
		t.Fatalf("opened %q, %v", got.Bytes(), err)
	}
	accessKey, err := k.SealAccessKey(tenant, "alice/1", plain)
	if err != nil {
		t.Fatal(err)
	}
	refused := map[string]func() (*secretbuf.Buffer, error){
		"other tenant": func() (*secretbuf.Buffer, error) {
			return k.OpenDocument(secret.NewTenantID(), "factor", "alice/1", blob)
		},
		"other kind":   func() (*secretbuf.Buffer, error) { return k.OpenDocument(tenant, "password", "alice/1", blob) },
		"other id":     func() (*secretbuf.Buffer, error) { return k.OpenDocument(tenant, "factor", "alice/2", blob) },
		"moved border": func() (*secretbuf.Buffer, error) { return k.OpenDocument(tenant, "factora", "lice/1", blob) },
		"long id": func() (*secretbuf.Buffer, error) {
			return k.OpenDocument(tenant, "factor", strings.Repeat("A", 257), blob)
		},
		"long kind":     func() (*secretbuf.Buffer, error) { return k.OpenDocument(tenant, strings.Repeat("A", 257), "x", blob) },
		"other KEK":     func() (*secretbuf.Buffer, error) { return other.OpenDocument(tenant, "factor", "alice/1", blob) },
		"as access key": func() (*secretbuf.Buffer, error) { return k.OpenAccessKey(tenant, "alice/1", blob) },
		"an access key": func() (*secretbuf.Buffer, error) { return k.OpenDocument(tenant, "", "alice/1", accessKey) },
		"a byte more": func() (*secretbuf.Buffer, error) {
			return k.OpenDocument(tenant, "factor", "alice/1", append(bytes.Clone(blob), 0))
		},
		"nothing at all": func() (*secretbuf.Buffer, error) { return k.OpenDocument(tenant, "factor", "alice/1", nil) },
	}
	for what, open := range refused {
		_, err := open()
		mustRefuse(t, what, err)
	}
	for i := range len(blob) * 8 {
		_, err := k.OpenDocument(tenant, "factor", "alice/1", flip(blob, i))
		mustRefuse(t, "flipped bit", err)
	}
	if _, err := k.SealDocument(tenant, strings.Repeat("A", 250), "x", nil); err == nil {
		t.Error("a kind that is too long seals")
	}
	if _, err := (&envelope.KEK{Key: k.Key}).SealDocument(tenant, "factor", "x", nil); err == nil {
		t.Error("KEK number 0 seals")
	}
}

func TestConcurrentUse(t *testing.T) {
	k, next, b := newKEK(t, 1), newKEK(t, 2), newBinding()
	s := mustSeal(t, k, b, secret.AES256GCM, "correct horse")
	h := mustSeal(t, k, b, secret.HybridQuantum, "correct horse")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				for _, sealed := range []envelope.Sealed{s, h} {
					v, err := envelope.Open(k, b, sealed)
					if err != nil || string(v.Bytes()) != "correct horse" {
						t.Errorf("concurrent open: %v", err)
						return
					}
					v.Release()
				}
				if _, err := envelope.Rewrap(k, next, b, secret.AES256GCM, s.Envelope); err != nil {
					t.Errorf("concurrent re-wrap: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

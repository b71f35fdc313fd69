package envelope_test

import (
	"bytes"
	"testing"

	"fastness/internal/envelope"
	"fastness/internal/secret"
)

// FuzzParse feeds foreign bytes to everything that parses a blob: nothing may
// panic or open, and what parses encodes to the same bytes.
func FuzzParse(f *testing.F) {
	k, b := newKEK(f, 1), newBinding()
	r := newRoot(f, masterText, [16]byte{1})
	for _, alg := range algorithms {
		s, err := envelope.Seal(k, b, alg, []byte("correct horse"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(s.Envelope)
		f.Add(s.Ciphertext)
	}
	for _, w := range wrappers {
		blob, err := w.wrap(r, b.Tenant, 1, k.Key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(blob)
	}
	blob, err := k.SealAccessKey(b.Tenant, "FSKA", []byte("secret"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(blob)
	if blob, err = k.SealDocument(b.Tenant, "factor", "alice/1", []byte("secret")); err != nil {
		f.Fatal(err)
	}
	f.Add(blob)
	f.Add([]byte{2, 1, 0, 0, 0, 0})
	stranger := envelope.Binding{Tenant: secret.NewTenantID()}
	f.Fuzz(func(t *testing.T, blob []byte) {
		if again, ok := envelope.Reencode(blob); ok && !bytes.Equal(again, blob) {
			t.Errorf("%x parses but encodes to %x", blob, again)
		}
		number, alg, err := envelope.EnvelopeKEK(blob)
		if err == nil && (number == 0 || alg != secret.AES256GCM && alg != secret.HybridQuantum) {
			t.Errorf("an envelope under KEK %d by %q", number, alg)
		}
		envelope.RootOf(blob)
		envelope.AccessKeyKEK(blob)
		if _, err := envelope.Open(k, stranger, envelope.Sealed{Envelope: blob, Ciphertext: blob}); err == nil {
			t.Error("foreign bytes open as a value")
		}
		if _, err := k.OpenAccessKey(stranger.Tenant, "other", blob); err == nil {
			t.Error("foreign bytes open as an access key")
		}
		if _, err := k.OpenDocument(stranger.Tenant, "other", "other", blob); err == nil {
			t.Error("foreign bytes open as part of a document")
		}
		for name, w := range wrappers {
			if _, err := w.unwrap(r, stranger.Tenant, 9, blob); err == nil && name != "log seed" {
				t.Errorf("foreign bytes open as a %s", name)
			}
		}
	})
}

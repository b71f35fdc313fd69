package envelope_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"fastness/internal/envelope"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"

	"github.com/google/go-cmp/cmp"
)

func diffJSON(t *testing.T, want, got any) string {
	t.Helper()
	return cmp.Diff(string(mustJSON(t, want)), string(mustJSON(t, got)))
}

func mustJSON(t *testing.T, x any) []byte {
	t.Helper()
	b, err := json.MarshalIndent(x, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

// counting returns n bytes that count from first.
func counting(first byte, n int) hexBytes {
	b := make(hexBytes, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

// writeVectors seals fixed things under fixed keys, and has the independent
// reader compute the rest.
func writeVectors(t *testing.T) {
	t.Helper()
	v := vectors{
		Comment: "Published vectors of Fastness's formats. Byte strings are hexadecimal; docs/security.md describes them. Keys are for tests only.",
		Root:    rootVector{Master: masterText, Deployment: counting(0x10, 16)},
		MACs:    []macVector{{Purpose: "page"}, {Purpose: "page", Data: hexBytes("cursor")}, {Purpose: "", Data: counting(0, 200)}},
	}
	root := newRoot(t, v.Root.Master, [16]byte(v.Root.Deployment))
	v.Wrapped = []wrappedVector{
		{Kind: "kek", Tenant: counting(0x20, 16), Number: 1, Key: counting(0x80, 32)},
		{Kind: "kek", Tenant: counting(0x20, 16), Number: 0xfffffffe, Key: counting(0x81, 32)},
		{Kind: "kem seed", Tenant: counting(0x20, 16), Number: 1, Key: counting(0x82, 32)},
		{Kind: "log seed", Purpose: "ed25519/1", Key: counting(0x83, 32)},
		{Kind: "log seed", Purpose: "mldsa44/2", Key: counting(0x84, 32)},
	}
	for i := range v.Wrapped {
		v.Wrapped[i].Blob = wrapVector(t, root, v.Wrapped[i])
	}
	a := accessKeyVector{KEK: counting(0x80, 32), Number: 1, Tenant: counting(0x20, 16), AccessKeyID: "FSKAEXAMPLE234567ABC", Secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	k := &envelope.KEK{Number: a.Number, Key: secretbuf.NewKey(bytes.Clone(a.KEK))}
	var err error
	if a.Blob, err = k.SealAccessKey(secret.TenantID(a.Tenant), a.AccessKeyID, []byte(a.Secret)); err != nil {
		t.Fatal(err)
	}
	v.AccessKeys = []accessKeyVector{a}
	v.Documents = documentVectors(t)
	v.Values = valueVectors(t)
	v.Refused = refusedVectors(v.Values)
	fillIn(t, &v)
	if err := os.WriteFile(vectorFile, mustJSON(t, v), 0o644); err != nil {
		t.Fatal(err)
	}
}

func wrapVector(t *testing.T, root *envelope.Root, w wrappedVector) []byte {
	t.Helper()
	key := secretbuf.NewKey(bytes.Clone(w.Key))
	var blob []byte
	var err error
	switch w.Kind {
	case "kek":
		blob, err = root.WrapKEK(secret.TenantID(w.Tenant), w.Number, key)
	case "kem seed":
		blob, err = root.WrapKEMSeed(secret.TenantID(w.Tenant), w.Number, key)
	default:
		blob, err = root.SealLogSeed(w.Purpose, w.Key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

func documentVectors(t *testing.T) []documentVector {
	t.Helper()
	out := []documentVector{
		{Number: 1, Kind: "factor", ID: "alice@example.com/1", Plain: hexBytes(`{"secret":"JBSWY3DPEHPK3PXP"}`)},
		{Number: 0xffffffff, Kind: "password", ID: "spiffe://acme/web:1", Plain: counting(0, 256)},
		{Number: 2, Kind: "factor", ID: strings.Repeat("~", 256), Plain: hexBytes{}},
	}
	for i := range out {
		d := &out[i]
		d.KEK, d.Tenant = counting(0x80, 32), counting(0x20, 16)
		k := &envelope.KEK{Number: d.Number, Key: secretbuf.NewKey(bytes.Clone(d.KEK))}
		var err error
		if d.Blob, err = k.SealDocument(secret.TenantID(d.Tenant), d.Kind, d.ID, d.Plain); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func valueVectors(t *testing.T) []valueVector {
	t.Helper()
	base := valueVector{
		KEK: counting(0x80, 32), Number: 1, Tenant: counting(0x20, 16), Secret: counting(0x40, 16),
		Version: "0f8fad5b-d9cb-469f-a165-70867728950e",
	}
	var out []valueVector
	for _, alg := range algorithms {
		for _, c := range []struct {
			name    string
			value   hexBytes
			version string
			number  uint32
		}{
			{"short", hexBytes("correct horse battery staple"), base.Version, 1},
			{"one byte", hexBytes{0}, strings.Repeat("~", 64), 2},
			{"binary", counting(0, 256), base.Version, 0xffffffff},
		} {
			x := base
			x.Name, x.Algorithm = string(alg)+", "+c.name, alg
			x.Value, x.Version, x.Number = c.value, c.version, c.number
			if alg == secret.HybridQuantum {
				x.KEMSeed = counting(0xc0, 32)
			}
			s, err := envelope.Seal(kekOf(t, x), bindingOf(x), alg, x.Value)
			if err != nil {
				t.Fatal(err)
			}
			x.Envelope, x.Ciphertext = s.Envelope, s.Ciphertext
			out = append(out, x)
		}
	}
	return out
}

func refusedVectors(values []valueVector) (out []refusedVector) {
	for _, i := range []int{0, 3} {
		x := values[i]
		with := func(b []byte, at int, c byte) hexBytes {
			d := bytes.Clone(b)
			d[at] = c
			return d
		}
		end := len(x.Envelope) - 1
		out = append(out,
			refusedVector{Of: x.Name, Why: "another tenant", Tenant: counting(0x21, 16)},
			refusedVector{Of: x.Name, Why: "another secret", Secret: counting(0x41, 16)},
			refusedVector{Of: x.Name, Why: "another version", Version: "0f8fad5b-d9cb-469f-a165-70867728950f"},
			refusedVector{Of: x.Name, Why: "format 0", Envelope: with(x.Envelope, 0, 0)},
			refusedVector{Of: x.Name, Why: "the format of a value", Envelope: with(x.Envelope, 0, 1)},
			refusedVector{Of: x.Name, Why: "algorithm 0", Envelope: with(x.Envelope, 1, 0)},
			refusedVector{Of: x.Name, Why: "a reserved algorithm", Envelope: with(x.Envelope, 1, 3)},
			refusedVector{Of: x.Name, Why: "KEK number 0", Envelope: with(x.Envelope, 5, 0)},
			refusedVector{Of: x.Name, Why: "another KEK number", Envelope: with(x.Envelope, 5, 2)},
			refusedVector{Of: x.Name, Why: "an envelope with a byte more", Envelope: append(bytes.Clone(x.Envelope), 0)},
			refusedVector{Of: x.Name, Why: "an envelope with a byte less", Envelope: x.Envelope[:end]},
			refusedVector{Of: x.Name, Why: "a changed tag", Envelope: with(x.Envelope, end, x.Envelope[end]^0x80)},
			refusedVector{Of: x.Name, Why: "the algorithm of an envelope on the value", Ciphertext: with(x.Ciphertext, 1, 2)},
			refusedVector{Of: x.Name, Why: "a value with a byte more", Ciphertext: append(bytes.Clone(x.Ciphertext), 0)},
			refusedVector{Of: x.Name, Why: "the envelope of another version", Envelope: values[i+1].Envelope},
			refusedVector{Of: x.Name, Why: "the value of another version", Ciphertext: values[i+1].Ciphertext},
		)
	}
	return out
}

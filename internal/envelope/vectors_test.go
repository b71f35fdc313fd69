package envelope_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"fastness/internal/envelope"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// write makes the vectors anew. Published vectors stay as they are; it is for
// adding those of a new format to the list.
var write = flag.Bool("write-vectors", false, "write testdata/vectors.json")

const vectorFile = "testdata/vectors.json"

// hexBytes travels as hexadecimal.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }
func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// vectors is the published file. Fields named after the formats' own terms; see
// docs/security.md. What is sealed has a random nonce, so they are vectors for
// opening.
type vectors struct {
	Comment    string            `json:"comment"`
	Root       rootVector        `json:"root"`
	MACs       []macVector       `json:"macs"`
	Wrapped    []wrappedVector   `json:"wrapped"`
	AccessKeys []accessKeyVector `json:"accessKeys"`
	Documents  []documentVector  `json:"documents"`
	Values     []valueVector     `json:"values"`
	Refused    []refusedVector   `json:"refused"`
}

type rootVector struct {
	Master     string              `json:"master"`
	Deployment hexBytes            `json:"deployment"`
	PRK        hexBytes            `json:"prk"`
	ID         hexBytes            `json:"id"`
	CheckValue hexBytes            `json:"checkValue"`
	Subkeys    map[string]hexBytes `json:"subkeys"` // by label
}

type macVector struct {
	Purpose string   `json:"purpose"`
	Data    hexBytes `json:"data"`
	MAC     hexBytes `json:"mac"`
}

type wrappedVector struct {
	Kind    string   `json:"kind"` // kek, kem seed, log seed
	Tenant  hexBytes `json:"tenant,omitempty"`
	Number  uint32   `json:"number,omitempty"`
	Purpose string   `json:"purpose,omitempty"`
	AAD     hexBytes `json:"aad"`
	Key     hexBytes `json:"key"`
	Blob    hexBytes `json:"blob"`
}

type accessKeyVector struct {
	KEK         hexBytes `json:"kek"`
	Number      uint32   `json:"number"`
	Tenant      hexBytes `json:"tenant"`
	AccessKeyID string   `json:"accessKeyId"`
	WrapKey     hexBytes `json:"wrapKey"`
	AAD         hexBytes `json:"aad"`
	Secret      string   `json:"secret"`
	Blob        hexBytes `json:"blob"`
}

type documentVector struct {
	KEK     hexBytes `json:"kek"`
	Number  uint32   `json:"number"`
	Tenant  hexBytes `json:"tenant"`
	Kind    string   `json:"kind"`
	ID      string   `json:"id"`
	WrapKey hexBytes `json:"wrapKey"`
	AAD     hexBytes `json:"aad"`
	Plain   hexBytes `json:"plain"`
	Blob    hexBytes `json:"blob"`
}

type valueVector struct {
	Name        string           `json:"name"`
	Algorithm   secret.Algorithm `json:"algorithm"`
	KEK         hexBytes         `json:"kek"`
	Number      uint32           `json:"number"`
	KEMSeed     hexBytes         `json:"kemSeed,omitempty"`
	KEMPublic   hexBytes         `json:"kemPublic,omitempty"`
	Tenant      hexBytes         `json:"tenant"`
	Secret      hexBytes         `json:"secret"`
	Version     string           `json:"version"`
	WrapKey     hexBytes         `json:"wrapKey"`
	EnvelopeAAD hexBytes         `json:"envelopeAad"`
	ValueAAD    hexBytes         `json:"valueAad"`
	DEK         hexBytes         `json:"dek"`
	Value       hexBytes         `json:"value"`
	Envelope    hexBytes         `json:"envelope"`
	Ciphertext  hexBytes         `json:"ciphertext"`
}

// refusedVector is the value vector called Of with other bytes or another
// place. It must not open.
type refusedVector struct {
	Of         string   `json:"of"`
	Why        string   `json:"why"`
	Tenant     hexBytes `json:"tenant,omitempty"`
	Secret     hexBytes `json:"secret,omitempty"`
	Version    string   `json:"version,omitempty"`
	Envelope   hexBytes `json:"envelope,omitempty"`
	Ciphertext hexBytes `json:"ciphertext,omitempty"`
}

func TestVectors(t *testing.T) {
	if *write {
		writeVectors(t)
	}
	raw, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	if len(v.Documents) < 3 || len(v.Values) < 6 || len(v.Wrapped) < 4 || len(v.Refused) < 10 {
		t.Fatalf("vectors are missing: %d values, %d wrapped, %d refused", len(v.Values), len(v.Wrapped), len(v.Refused))
	}
	root := newRoot(t, v.Root.Master, [16]byte(v.Root.Deployment))
	t.Run("root", func(t *testing.T) { checkRoot(t, root, v) })
	t.Run("wrapped", func(t *testing.T) { checkWrapped(t, root, v) })
	t.Run("access keys", func(t *testing.T) { checkAccessKeys(t, v) })
	t.Run("documents", func(t *testing.T) { checkDocuments(t, v) })
	t.Run("values", func(t *testing.T) { checkValues(t, root, v) })
	t.Run("refused", func(t *testing.T) { checkRefused(t, v) })
	t.Run("independent reader", func(t *testing.T) { readIndependently(t, v) })
}

func checkRoot(t *testing.T, root *envelope.Root, v vectors) {
	id, check := root.ID(), root.CheckValue()
	if !bytes.Equal(id[:], v.Root.ID) || !bytes.Equal(check[:], v.Root.CheckValue) {
		t.Errorf("id %x, check value %x", id, check)
	}
	for _, m := range v.MACs {
		if got := root.MAC(m.Purpose, m.Data); !bytes.Equal(got[:], m.MAC) {
			t.Errorf("MAC for %q = %x", m.Purpose, got)
		}
	}
}

func checkWrapped(t *testing.T, root *envelope.Root, v vectors) {
	for _, w := range v.Wrapped {
		k, err := unwrap(root, w)
		if err != nil || !bytes.Equal(keyBytes(t, k), w.Key) {
			t.Errorf("%s: %v", w.Kind, err)
		}
		if id, err := envelope.RootOf(w.Blob); err != nil || id != root.ID() {
			t.Errorf("%s: root key %v, %v", w.Kind, id, err)
		}
		if again, ok := envelope.Reencode(w.Blob); !ok || !bytes.Equal(again, w.Blob) {
			t.Errorf("%s: encodes to %x", w.Kind, again)
		}
	}
}

func unwrap(root *envelope.Root, w wrappedVector) (*secretbuf.Key, error) {
	switch w.Kind {
	case "kek":
		return root.UnwrapKEK(secret.TenantID(w.Tenant), w.Number, w.Blob)
	case "kem seed":
		return root.UnwrapKEMSeed(secret.TenantID(w.Tenant), w.Number, w.Blob)
	default:
		return root.OpenLogSeed(w.Purpose, w.Blob)
	}
}

func checkAccessKeys(t *testing.T, v vectors) {
	for _, a := range v.AccessKeys {
		k := &envelope.KEK{Number: a.Number, Key: secretbuf.NewKey(bytes.Clone(a.KEK))}
		got, err := k.OpenAccessKey(secret.TenantID(a.Tenant), a.AccessKeyID, a.Blob)
		if err != nil || !bytes.Equal(got.Bytes(), []byte(a.Secret)) {
			t.Errorf("%s: %v", a.AccessKeyID, err)
		}
		if n, err := envelope.AccessKeyKEK(a.Blob); n != a.Number || err != nil {
			t.Errorf("%s: KEK %d, %v", a.AccessKeyID, n, err)
		}
	}
}

func checkDocuments(t *testing.T, v vectors) {
	for _, d := range v.Documents {
		k := &envelope.KEK{Number: d.Number, Key: secretbuf.NewKey(bytes.Clone(d.KEK))}
		got, err := k.OpenDocument(secret.TenantID(d.Tenant), d.Kind, d.ID, d.Blob)
		if err != nil || !bytes.Equal(got.Bytes(), d.Plain) {
			t.Errorf("%s %s: %v", d.Kind, d.ID, err)
		}
		if again, ok := envelope.Reencode(d.Blob); !ok || !bytes.Equal(again, d.Blob) {
			t.Errorf("%s %s: encodes to %x", d.Kind, d.ID, again)
		}
	}
}

func kekOf(t testing.TB, v valueVector) *envelope.KEK {
	t.Helper()
	k := &envelope.KEK{Number: v.Number, Key: secretbuf.NewKey(bytes.Clone(v.KEK))}
	if v.KEMSeed != nil {
		if err := k.AttachKEM(secretbuf.NewKey(bytes.Clone(v.KEMSeed))); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(k.Destroy)
	return k
}

func bindingOf(v valueVector) envelope.Binding {
	return envelope.Binding{Tenant: secret.TenantID(v.Tenant), Secret: secret.ID(v.Secret), Version: secret.VersionID(v.Version)}
}

// checkValues opens each value by every way there is: as it is, after storing
// and loading its keys, and re-wrapped.
func checkValues(t *testing.T, root *envelope.Root, v vectors) {
	for _, x := range v.Values {
		k, b := kekOf(t, x), bindingOf(x)
		s := envelope.Sealed{Envelope: x.Envelope, Ciphertext: x.Ciphertext}
		mustOpen(t, k, b, s, x.Value)
		if n, alg, err := envelope.EnvelopeKEK(s.Envelope); n != x.Number || alg != x.Algorithm || err != nil {
			t.Errorf("%s: under %d by %s, %v", x.Name, n, alg, err)
		}
		if !bytes.Equal(k.KEMPublic, x.KEMPublic) {
			t.Errorf("%s: KEM public key %x", x.Name, k.KEMPublic)
		}
		loaded := storeAndLoad(t, root, b.Tenant, k)
		mustOpen(t, loaded, b, s, x.Value)
		e, err := envelope.Rewrap(loaded, newKEK(t, x.Number), b, secret.AES256GCM, s.Envelope)
		if err != nil || len(e) != 66 {
			t.Errorf("%s: re-wrapping: %v", x.Name, err)
		}
		for _, blob := range [][]byte{x.Envelope, x.Ciphertext} {
			if again, ok := envelope.Reencode(blob); !ok || !bytes.Equal(again, blob) {
				t.Errorf("%s: %x encodes to %x", x.Name, blob, again)
			}
		}
	}
}

func storeAndLoad(t *testing.T, root *envelope.Root, tenant secret.TenantID, k *envelope.KEK) *envelope.KEK {
	t.Helper()
	blob, err := root.WrapKEK(tenant, k.Number, k.Key)
	if err != nil {
		t.Fatal(err)
	}
	loaded := &envelope.KEK{Number: k.Number}
	if loaded.Key, err = root.UnwrapKEK(tenant, k.Number, blob); err != nil {
		t.Fatal(err)
	}
	if k.KEMSeed == nil {
		return loaded
	}
	if blob, err = root.WrapKEMSeed(tenant, k.Number, k.KEMSeed); err != nil {
		t.Fatal(err)
	}
	seed, err := root.UnwrapKEMSeed(tenant, k.Number, blob)
	if err != nil {
		t.Fatal(err)
	}
	if err := loaded.AttachKEM(seed); err != nil {
		t.Fatal(err)
	}
	return loaded
}

func checkRefused(t *testing.T, v vectors) {
	byName := map[string]valueVector{}
	for _, x := range v.Values {
		byName[x.Name] = x
	}
	for _, r := range v.Refused {
		x, ok := byName[r.Of]
		if !ok {
			t.Fatalf("no value is called %q", r.Of)
		}
		k := kekOf(t, x)
		x = r.apply(x)
		_, err := envelope.Open(k, bindingOf(x), envelope.Sealed{Envelope: x.Envelope, Ciphertext: x.Ciphertext})
		mustRefuse(t, r.Of+" with "+r.Why, err)
	}
}

// apply replaces what r has.
func (r refusedVector) apply(x valueVector) valueVector {
	for _, f := range []struct {
		from hexBytes
		to   *hexBytes
	}{{r.Tenant, &x.Tenant}, {r.Secret, &x.Secret}, {r.Envelope, &x.Envelope}, {r.Ciphertext, &x.Ciphertext}} {
		if f.from != nil {
			*f.to = f.from
		}
	}
	if r.Version != "" {
		x.Version = r.Version
	}
	return x
}

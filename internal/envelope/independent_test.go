package envelope_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	"fastness/internal/secret"
)

// This file reads the formats from their description in docs/security.md with
// the standard library alone. It shares no code with the package, so that the
// description, the vectors and the package check each other.

func derive(key []byte, label, item string) []byte {
	out, err := hkdf.Expand(sha256.New, key, text(label)+text(item), 32)
	if err != nil {
		panic(err)
	}
	return out
}

func aad(purpose string, format byte, tenant, secretID []byte, item string, alg byte, number uint32) []byte {
	b := append([]byte(text(purpose)), format)
	b = append(b, pad16(tenant)...)
	b = append(b, pad16(secretID)...)
	b = append(b, text(item)...)
	return binary.BigEndian.AppendUint32(append(b, alg), number)
}

func pad16(b []byte) []byte { return append(bytes.Clone(b), make([]byte, 16-len(b))...) }

// gcmOpen opens nonce ‖ ciphertext ‖ tag.
func gcmOpen(key, sealed, aad []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if fips140.Enabled() { // which may refuse nonces that are given
		g, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		return g.Open(nil, nil, sealed, aad)
	}
	g, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	if len(sealed) < 12 {
		return nil, errors.New("short")
	}
	return g.Open(nil, sealed[:12], sealed[12:], aad)
}

var (
	wrappedFormats  = map[string]byte{"kek": 3, "kem seed": 4, "log seed": 5}
	wrappedLabels   = map[string]string{"kek": "fastness root tenant key wrap", "kem seed": "fastness root kem seed wrap", "log seed": "fastness root log seed seal"}
	wrappedPurposes = map[string]string{"kek": "fastness tenant key", "kem seed": "fastness tenant kem seed", "log seed": "fastness log seed "}
)

func readIndependently(t *testing.T, v vectors) {
	want := v
	fillIn(t, &v)
	for _, c := range []struct {
		what      string
		got, want any
	}{{"root", v.Root, want.Root}, {"macs", v.MACs, want.MACs}, {"wrapped", v.Wrapped, want.Wrapped}, {"access keys", v.AccessKeys, want.AccessKeys}, {"documents", v.Documents, want.Documents}, {"values", v.Values, want.Values}} {
		if diff := diffJSON(t, c.want, c.got); diff != "" {
			t.Errorf("%s: the file and an independent reader differ (-file +reader):\n%s", c.what, diff)
		}
	}
}

// fillIn computes, in a copy, everything that follows from the keys, the places
// and the blobs.
func fillIn(t *testing.T, v *vectors) {
	t.Helper()
	prk, err := hkdf.Extract(sha256.New, []byte(v.Root.Master), v.Root.Deployment)
	if err != nil {
		t.Fatal(err)
	}
	v.Root.PRK = prk
	v.Root.ID = derive(prk, "fastness root id", "")[:8]
	v.Root.CheckValue = derive(prk, "fastness root check value", "")
	v.Root.Subkeys = map[string]hexBytes{"fastness root page token mac": derive(prk, "fastness root page token mac", "")}
	for _, label := range wrappedLabels {
		v.Root.Subkeys[label] = derive(prk, label, "")
	}
	v.MACs = bytesClone(v.MACs)
	for i := range v.MACs {
		h := hmac.New(sha256.New, v.Root.Subkeys["fastness root page token mac"])
		h.Write([]byte(text(v.MACs[i].Purpose)))
		h.Write(v.MACs[i].Data)
		v.MACs[i].MAC = h.Sum(nil)
	}
	v.Wrapped = bytesClone(v.Wrapped)
	for i := range v.Wrapped {
		fillInWrapped(t, &v.Wrapped[i], v.Root)
	}
	v.AccessKeys = bytesClone(v.AccessKeys)
	for i := range v.AccessKeys {
		fillInAccessKey(t, &v.AccessKeys[i])
	}
	v.Documents = bytesClone(v.Documents)
	for i := range v.Documents {
		fillInDocument(t, &v.Documents[i])
	}
	v.Values = bytesClone(v.Values)
	for i := range v.Values {
		fillInValue(t, &v.Values[i])
	}
}

func bytesClone[T any](s []T) []T { return append([]T(nil), s...) }

func fillInWrapped(t *testing.T, w *wrappedVector, root rootVector) {
	t.Helper()
	f := wrappedFormats[w.Kind]
	w.AAD = aad(wrappedPurposes[w.Kind]+w.Purpose, f, w.Tenant, nil, "", 1, w.Number)
	if want := append([]byte{f, 1}, root.ID...); !bytes.Equal(w.Blob[:10], want) {
		t.Errorf("%s begins with %x, want %x", w.Kind, w.Blob[:10], want)
	}
	var err error
	if w.Key, err = gcmOpen(root.Subkeys[wrappedLabels[w.Kind]], w.Blob[10:], w.AAD); err != nil {
		t.Errorf("%s: %v", w.Kind, err)
	}
}

func fillInAccessKey(t *testing.T, a *accessKeyVector) {
	t.Helper()
	a.AAD = aad("fastness access key secret", 6, a.Tenant, nil, a.AccessKeyID, 1, a.Number)
	a.WrapKey = derive(a.KEK, "fastness access key wrap", a.AccessKeyID)
	if want := binary.BigEndian.AppendUint32([]byte{6, 1}, a.Number); !bytes.Equal(a.Blob[:6], want) {
		t.Errorf("%s begins with %x, want %x", a.AccessKeyID, a.Blob[:6], want)
	}
	plain, err := gcmOpen(a.WrapKey, a.Blob[6:], a.AAD)
	if err != nil {
		t.Errorf("%s: %v", a.AccessKeyID, err)
	}
	a.Secret = string(plain)
}

func fillInDocument(t *testing.T, d *documentVector) {
	t.Helper()
	d.AAD = aad("fastness document "+d.Kind, 7, d.Tenant, nil, d.ID, 1, d.Number)
	d.WrapKey = derive(d.KEK, "fastness document wrap "+d.Kind, d.ID)
	if want := binary.BigEndian.AppendUint32([]byte{7, 1}, d.Number); !bytes.Equal(d.Blob[:6], want) {
		t.Errorf("%s %s begins with %x, want %x", d.Kind, d.ID, d.Blob[:6], want)
	}
	plain, err := gcmOpen(d.WrapKey, d.Blob[6:], d.AAD)
	if err != nil {
		t.Errorf("%s %s: %v", d.Kind, d.ID, err)
	}
	d.Plain = plain
}

func fillInValue(t *testing.T, v *valueVector) {
	t.Helper()
	alg := map[secret.Algorithm]byte{secret.AES256GCM: 1, secret.HybridQuantum: 2}[v.Algorithm]
	v.EnvelopeAAD = aad("fastness data key", 2, v.Tenant, v.Secret, v.Version, alg, v.Number)
	v.ValueAAD = aad("fastness value", 1, v.Tenant, v.Secret, v.Version, 1, 0)
	v.WrapKey = derive(v.KEK, "fastness data key wrap", v.Version)
	if want := binary.BigEndian.AppendUint32([]byte{2, alg}, v.Number); !bytes.Equal(v.Envelope[:6], want) {
		t.Errorf("%s: the envelope begins with %x, want %x", v.Name, v.Envelope[:6], want)
	}
	dek, err := gcmOpen(v.WrapKey, v.Envelope[6:], v.EnvelopeAAD)
	if err != nil {
		t.Fatalf("%s: envelope: %v", v.Name, err)
	}
	if v.KEMSeed != nil {
		private, err := hpke.MLKEM768X25519().NewPrivateKey(v.KEMSeed)
		if err != nil {
			t.Fatal(err)
		}
		v.KEMPublic = private.PublicKey().Bytes()
		if alg == 2 {
			if dek, err = hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), v.EnvelopeAAD, dek); err != nil {
				t.Fatalf("%s: HPKE: %v", v.Name, err)
			}
		}
	}
	v.DEK = dek
	if !bytes.Equal(v.Ciphertext[:2], []byte{1, 1}) {
		t.Errorf("%s: the ciphertext begins with %x", v.Name, v.Ciphertext[:2])
	}
	if v.Value, err = gcmOpen(dek, v.Ciphertext[2:], v.ValueAAD); err != nil {
		t.Fatalf("%s: value: %v", v.Name, err)
	}
}

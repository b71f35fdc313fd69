package envelope_test

import (
	"testing"

	"fastness/internal/envelope"
	"fastness/internal/secret"
)

func BenchmarkOpen(b *testing.B) {
	for _, alg := range []secret.Algorithm{secret.AES256GCM, secret.HybridQuantum} {
		b.Run(string(alg), func(b *testing.B) {
			k, bind := newKEK(b, 1), newBinding()
			s, err := envelope.Seal(k, bind, alg, make([]byte, 32))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				v, err := envelope.Open(k, bind, s)
				if err != nil {
					b.Fatal(err)
				}
				v.Release()
			}
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, alg := range []secret.Algorithm{secret.AES256GCM, secret.HybridQuantum} {
		b.Run(string(alg), func(b *testing.B) {
			k, bind, value := newKEK(b, 1), newBinding(), make([]byte, 32)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := envelope.Seal(k, bind, alg, value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func newKEK(t testing.TB, number uint32) *envelope.KEK {
	t.Helper()
	k, err := envelope.NewKEK(number)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.AddKEM(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Destroy)
	return k
}

func newBinding() envelope.Binding {
	return envelope.Binding{Tenant: secret.NewTenantID(), Secret: secret.NewID(), Version: secret.NewVersionID()}
}

package secretbuf_test

import (
	"testing"

	"fastness/internal/secretbuf"
)

func TestDoRunsAndPassesPanicsOn(t *testing.T) {
	ran := 0
	secretbuf.Do(func() { secretbuf.Do(func() { ran++ }) })
	func() {
		defer func() {
			if got := recover(); got != "boom" {
				t.Errorf("the panic became %v", got)
			}
		}()
		secretbuf.Do(func() { ran++; panic("boom") })
	}()
	if ran != 2 {
		t.Errorf("ran %d of 2 functions", ran)
	}
}

func BenchmarkDo(b *testing.B) {
	for b.Loop() {
		secretbuf.Do(func() {})
	}
}

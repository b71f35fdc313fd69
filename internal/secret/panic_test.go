package secret_test

import (
	"errors"
	"strings"
	"testing"

	"fastness/internal/secret"
)

// TestPanicked: of a panic is told where it was, but neither what was passed to
// it nor with which arguments.
func TestPanicked(t *testing.T) {
	const planted = "value-in-a-panic"
	for kind, passed := range map[string]any{
		"string": planted, "[]uint8": []byte(planted), "*errors.errorString": errors.New(planted), "struct { X string }": struct{ X string }{planted},
	} {
		text := caught(passed).Error()
		if strings.Contains(text, planted[:8]) || strings.Contains(text, "0x") || strings.Contains(text, "[118 97") {
			t.Errorf("the text holds what was passed or arguments: %s", text)
		}
		if !strings.HasPrefix(text, "panic with a "+kind+" at fastness/internal/secret_test.raise:") || !strings.Contains(text, "TestPanicked:") {
			t.Errorf("a panic with a %s is told as %s", kind, text)
		}
	}
}

func caught(p any) (err error) {
	defer func() { err = secret.Panicked(recover()) }()
	raise(p)
	return nil
}

//go:noinline
func raise(p any) { panic(p) }

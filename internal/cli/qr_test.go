package cli_test

import (
	"strings"
	"testing"

	"rsc.io/qr"

	"fastness/internal/cli"
)

// TestDrawQR reads the drawing back, module by module.
func TestDrawQR(t *testing.T) {
	for _, text := range []string{"a", "otpauth://totp/Fastness:acme%2Falice?secret=" + strings.Repeat("MFRGG", 7) + "&issuer=Fastness"} {
		code, err := qr.Encode(text, qr.L)
		if err != nil {
			t.Fatal(err)
		}
		drawing, err := cli.DrawQR(text)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(drawing, "\n"), "\n")
		if len(lines) != (code.Size+5)/2 {
			t.Fatalf("%d lines for %d modules", len(lines), code.Size)
		}
		for i, line := range lines {
			inner, ok := strings.CutPrefix(line, "\x1b[30;107m")
			inner, done := strings.CutSuffix(inner, "\x1b[0m")
			modules := []rune(inner)
			if !ok || !done || len(modules) != code.Size+4 {
				t.Fatalf("line %d: %q", i, line)
			}
			for j, r := range modules {
				x, y := j-2, 2*i-2
				upper, lower := strings.ContainsRune("█▀", r), strings.ContainsRune("█▄", r)
				if upper != code.Black(x, y) || lower != code.Black(x, y+1) {
					t.Fatalf("module %d,%d is drawn %q", x, y, r)
				}
			}
		}
	}
	long := strings.Repeat("hunter2", 1000)
	if _, err := cli.DrawQR(long); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("what is too long: %v", err)
	}
}

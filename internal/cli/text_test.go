package cli_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"fastness/internal/cli"
	"fastness/internal/secret"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                 "plain",
		"größe 東京 👍":            "größe 東京 👍",
		"a\x1b[31mred":          `a\x1b[31mred`,
		"two\nlines\tand\r":     `two\nlines\tand\r`,
		"\u202egnp.exe":         `\u202egnp.exe`,
		"a\u200bb\u2028c\ufeff": `a\u200bb\u2028c\ufeff`,
		"\x9b31m":               `\x9b31m`,
		"\u009b31m":             `\u009b31m`,
		"bad\xffbyte":           `bad\xffbyte`,
		"\uFFFD stays":          "\uFFFD stays",
		"\x00\x7f":              `\x00\x7f`,
	} {
		if got := cli.Clean(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestReadHidden(t *testing.T) {
	for in, want := range map[string]string{
		"abc\r":                          "abc",
		"abc\nrest":                      "abc",
		"abc\x7f\x7fx\r":                 "ax",
		"a\u00e9\x08b\r":                 "ab",
		"\x7f\x08a\r":                    "a",
		"wrong\x15right\r":               "right",
		"abc\x04":                        "abc",
		"\xff\x7fa\r":                    "a",
		strings.Repeat("x", 5000) + "\r": strings.Repeat("x", 5000),
	} {
		r := strings.NewReader(in)
		b, err := cli.ReadHidden(iotest.OneByteReader(r))
		if err != nil || string(b.Bytes()) != want {
			t.Errorf("%q: %q, %v", in, b.Bytes(), err)
		}
		if rest, _ := io.ReadAll(r); in == "abc\nrest" && string(rest) != "rest" {
			t.Errorf("what follows the line is %q", rest)
		}
	}
	for _, in := range []string{"", "abc", "abc\x03", "abc\x1b", "\x04"} {
		if b, err := cli.ReadHidden(strings.NewReader(in)); err == nil {
			t.Errorf("%q is read as %q", in, b.Bytes())
		}
	}
	long := bytes.Repeat([]byte("x"), secret.MaxValue+1)
	if _, err := cli.ReadHidden(bytes.NewReader(long)); !errors.Is(err, secret.ErrLimit) {
		t.Errorf("a long line: %v", err)
	}
}

func TestEnvName(t *testing.T) {
	for in, want := range map[string]string{
		"db/password": "DB_PASSWORD", "DB_PASSWORD": "DB_PASSWORD", "a.b-c+d@e!f=g": "A_B_C_D_E_F_G", "2fa/key": "_2FA_KEY", "x": "X", "": "",
	} {
		if got := cli.EnvName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for variable, want := range map[string]bool{
		"PATH": true, "LD_PRELOAD": true, "BASH_ENV": true, "FASTNESS_TOKEN": true, "GIT_CONFIG_KEY_0": true, "DYLD_INSERT_LIBRARIES": true,
		"DB_PASSWORD": false, "GIT_TOKEN": false, "PATHS": false, "PYTHON_API_KEY": false,
	} {
		if got := cli.Steers(variable); got != want {
			t.Errorf("%s: %v", variable, got)
		}
	}
}

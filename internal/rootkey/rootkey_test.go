package rootkey_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"fastness/internal/rootkey"

	"pgregory.net/rapid"
)

const (
	good  = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789ABCDEF"
	other = "the previous master key, which is a sentence of some length, is this"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name, key string
		want      error
	}{
		{"empty", "", rootkey.ErrShort},
		{"63 characters", good[:63], rootkey.ErrShort},
		{"64 characters", good, nil},
		{"63 characters of two bytes", strings.Repeat("äö", 31) + "ä", rootkey.ErrShort},
		{"64 characters of two bytes", strings.Repeat("äö", 32), nil},
		{"one character repeated", strings.Repeat("a", 64), rootkey.ErrRepeated},
		{"one character repeated for long", strings.Repeat("a", 5000), rootkey.ErrRepeated},
		{"one character of two bytes repeated", strings.Repeat("ä", 64), rootkey.ErrRepeated},
		{"one byte that is no UTF-8 repeated", strings.Repeat("\xff", 64), rootkey.ErrRepeated},
		{"zeros", strings.Repeat("\x00", 64), rootkey.ErrRepeated},
		{"bytes that are no UTF-8", strings.Repeat("\xff\xfe", 32), nil},
		{"the replacement character and bad bytes", strings.Repeat("\ufffd\xff", 32), nil},
		{"repeated but for the last", strings.Repeat("a", 63) + "b", nil},
		{"repeated but for the first", "b" + strings.Repeat("a", 63), nil},
	} {
		if got := rootkey.Check([]byte(c.key)); !errors.Is(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestCheckTakesAllKeysOfTwoCharacters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.RuneFrom([]rune("ab")), 64, 100).Draw(t, "key")
		want := strings.Contains(string(key), "a") && strings.Contains(string(key), "b")
		if got := rootkey.Check([]byte(string(key))) == nil; got != want {
			t.Fatalf("%q is fit: %v", string(key), got)
		}
	})
}

func TestFromEnv(t *testing.T) {
	for _, c := range []struct {
		name, current, previous string
		wantErr                 string
	}{
		{"unset", "", "", "SECRETS_MASTER_KEY environment variable is required"},
		{"only previous", "", other, "SECRETS_MASTER_KEY environment variable is required"},
		{"short", good[:63], "", "SECRETS_MASTER_KEY must be at least 64 characters long"},
		{"repeated", strings.Repeat("x", 64), "", "SECRETS_MASTER_KEY must not be one repeated character"},
		{"good", good, "", ""},
		{"both", good, other, ""},
		{"previous short", good, other[:63], "SECRETS_MASTER_KEY_PREVIOUS must be at least 64 characters long"},
		{"previous repeated", good, strings.Repeat("x", 64), "SECRETS_MASTER_KEY_PREVIOUS must not be one repeated character"},
		{"the same twice", good, good, "SECRETS_MASTER_KEY_PREVIOUS must not be the current key again"},
	} {
		t.Setenv(rootkey.Env, c.current)
		t.Setenv(rootkey.EnvPrevious, c.previous)
		was := c.current + c.previous
		shared := []string{os.Getenv(rootkey.Env), os.Getenv(rootkey.EnvPrevious)}
		k, err := rootkey.FromEnv()
		if c.wantErr != "" {
			if err == nil || err.Error() != c.wantErr || k.Current != nil || k.Previous != nil {
				t.Errorf("%s: %v, want %q", c.name, err, c.wantErr)
			}
		} else if err != nil || string(k.Current.Bytes())+string(k.Previous.Bytes()) != was {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, name := range []string{rootkey.Env, rootkey.EnvPrevious} {
			if _, set := os.LookupEnv(name); set {
				t.Errorf("%s: %s is still set", c.name, name)
			}
		}
		if left := strings.Trim(strings.Join(shared, ""), "\x00"); left != "" {
			t.Errorf("%s: the environment's copy still holds %q", c.name, left)
		}
		k.Release()
		if k.Current.Bytes() != nil || k.Previous.Bytes() != nil {
			t.Errorf("%s: not released", c.name)
		}
	}
}

// TestEnvironmentBlock looks at what the kernel shows of a process that was
// started with the variables, in a process of its own.
func TestEnvironmentBlock(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = []string{"FASTNESS_TEST_CHILD=1", rootkey.Env + "=" + good, rootkey.EnvPrevious + "=" + other, "LAST=neighbour"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(out, []byte(good[:8])) || bytes.Contains(out, []byte(other[:8])) {
		t.Errorf("the environment block still holds a key: %q", out)
	}
	if !bytes.Contains(out, []byte("LAST=neighbour")) {
		t.Errorf("the neighbour is gone: %q", out)
	}
}

func TestMain(m *testing.M) {
	if os.Getenv("FASTNESS_TEST_CHILD") == "" {
		os.Exit(m.Run())
	}
	if _, err := rootkey.FromEnv(); err != nil {
		os.Exit(1)
	}
	block, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		os.Exit(1)
	}
	os.Stdout.Write(block)
	os.Exit(0)
}

package rootkey_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"fastness/internal/rootkey"
)

func write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // past the umask
		t.Fatal(err)
	}
}

func TestFromFile(t *testing.T) {
	for _, c := range []struct {
		name, text string
		mode       fs.FileMode
		want       string
		wantErr    string
	}{
		{"as it is", good, 0o600, good, ""},
		{"with a line break", good + "\n", 0o400, good, ""},
		{"with a Windows line break", good + "\r\n", 0o600, good, ""},
		{"two line breaks", good + "\n\n", 0o600, good + "\n", ""},
		{"spaces count", " " + good, 0o600, " " + good, ""},
		{"the group may read", good, 0o640, good, ""},
		{"empty", "", 0o600, "", "must be at least 64 characters long"},
		{"short", good[:63] + "\n", 0o600, "", "must be at least 64 characters long"},
		{"repeated", strings.Repeat("x", 64) + "\n", 0o600, "", "must not be one repeated character"},
		{"too long", strings.Repeat(good, 1025), 0o600, "", "longer than the limit"},
		{"the group may write", good, 0o620, "", "mode 0620"},
		{"others may read", good, 0o604, "", "mode 0604"},
		{"others may write", good, 0o602, "", "mode 0602"},
	} {
		path := filepath.Join(t.TempDir(), "key")
		write(t, path, c.text, c.mode)
		k, err := rootkey.FromFile(path)
		if c.wantErr == "" {
			if err != nil || string(k.Bytes()) != c.want {
				t.Errorf("%s: %q, %v", c.name, k.Bytes(), err)
			}
			continue
		}
		if err == nil || k != nil || !strings.Contains(err.Error(), c.wantErr) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want one that names the file and says %q", c.name, err, c.wantErr)
		}
		if err != nil && (strings.Contains(err.Error(), good[:8]) || strings.Contains(err.Error(), rootkey.Env)) {
			t.Errorf("%s: the error quotes the key, or names the variable: %v", c.name, err)
		}
	}
}

func TestFromFileRefusesOtherThings(t *testing.T) {
	dir := t.TempDir()
	if _, err := rootkey.FromFile(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := rootkey.FromFile(dir); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("a folder: %v", err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := rootkey.FromFile(pipe); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("a named pipe: %v", err)
	}
}

func TestFromOrMakeFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	made, err := rootkey.FromOrMakeFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := rootkey.Check(made.Bytes()); err != nil || made.Len() != 64 {
		t.Errorf("the new key has %d characters: %v", made.Len(), err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
	again, err := rootkey.FromOrMakeFile(path)
	if err != nil || !bytes.Equal(again.Bytes(), made.Bytes()) {
		t.Errorf("the second time: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
	if _, err := rootkey.FromOrMakeFile(filepath.Join(dir, "none", "key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a missing folder: %v", err)
	}
	bad := filepath.Join(dir, "bad")
	write(t, bad, "short", 0o600)
	if _, err := rootkey.FromOrMakeFile(bad); !errors.Is(err, rootkey.ErrShort) {
		t.Errorf("an unfit file: %v", err)
	}
	if text, err := os.ReadFile(bad); string(text) != "short" {
		t.Errorf("an unfit file became %q, %v", text, err)
	}
}

func TestAllWhoMakeAFileGetItsKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	keys := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			k, err := rootkey.FromOrMakeFile(path)
			if err != nil {
				t.Error(err)
			}
			keys[i] = k.Bytes()
		})
	}
	wg.Wait()
	for _, k := range keys {
		if !bytes.Equal(k, keys[0]) {
			t.Fatal("two of them have different keys")
		}
	}
}

func FuzzFromFile(f *testing.F) {
	for _, s := range []string{good, good + "\n", good + "\r\n", "", "\n", strings.Repeat("x", 64), "\xff\xfe"} {
		f.Add([]byte(s))
	}
	path := filepath.Join(f.TempDir(), "key")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := rootkey.FromFile(path)
		if err != nil {
			return
		}
		defer k.Release()
		if rootkey.Check(k.Bytes()) != nil || !bytes.HasPrefix(text, k.Bytes()) || len(text)-k.Len() > 2 {
			t.Errorf("a file of %q gives %q", text, k.Bytes())
		}
	})
}

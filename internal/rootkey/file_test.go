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
		{"empty", "", 0o600, "", "must be at least 64 characters long"},
		{"short", good[:63] + "\n", 0o600, "", "must be at least 64 characters long"},
		{"repeated", strings.Repeat("x", 64) + "\n", 0o600, "", "must not be one character repeated"},
		{"too long", strings.Repeat(good, 65), 0o600, "", "longer than the limit"},
		{"group may read", good, 0o640, "", "mode 0640"},
		{"others may read", good, 0o604, "", "mode 0604"},
		{"others may write", good, 0o602, "", "mode 0602"},
	} {
		path := filepath.Join(t.TempDir(), "key")
		write(t, path, c.text, c.mode)
		k, err := rootkey.FromFile(path)
		if c.wantErr == "" {
			if err != nil || string(k.Current.Bytes()) != c.want || k.Previous != nil {
				t.Errorf("%s: %q, %v", c.name, k.Current.Bytes(), err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.wantErr) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want one that names the file and says %q", c.name, err, c.wantErr)
		}
		if err != nil && strings.Contains(err.Error(), good[:8]) {
			t.Errorf("%s: the error quotes the key: %v", c.name, err)
		}
	}
}

func TestFromFileWithPrevious(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, good, 0o600)
	write(t, path+".previous", other+"\n", 0o600)
	k, err := rootkey.FromFile(path)
	if err != nil || string(k.Current.Bytes()) != good || string(k.Previous.Bytes()) != other {
		t.Errorf("%v", err)
	}
	for text, mode := range map[string]fs.FileMode{other[:63]: 0o600, other: 0o644, good + "\n": 0o600} {
		os.Remove(path + ".previous")
		write(t, path+".previous", text, mode)
		if k, err := rootkey.FromFile(path); err == nil || k.Current != nil || !strings.Contains(err.Error(), ".previous") {
			t.Errorf("a bad previous key is taken: %v", err)
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

func TestCreateFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	made, err := rootkey.CreateFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := rootkey.Check(made.Current.Bytes()); err != nil || made.Previous != nil {
		t.Errorf("the new key: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
	read, err := rootkey.FromFile(path)
	if err != nil || !bytes.Equal(read.Current.Bytes(), made.Current.Bytes()) {
		t.Errorf("read again: %v", err)
	}
	if _, err := rootkey.CreateFile(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over an existing file: %v", err)
	}
	again, err := rootkey.FromFile(path)
	if err != nil || !bytes.Equal(again.Current.Bytes(), made.Current.Bytes()) {
		t.Errorf("the existing file changed: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
	if _, err := rootkey.CreateFile(filepath.Join(dir, "none", "key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a missing folder: %v", err)
	}
}

func TestOneOfManyCreatesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	keys := make(chan []byte, 8)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if k, err := rootkey.CreateFile(path); err == nil {
				keys <- k.Current.Bytes()
			} else if !errors.Is(err, fs.ErrExist) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(keys) != 1 {
		t.Fatalf("%d made a key", len(keys))
	}
	k, err := rootkey.FromFile(path)
	if err != nil || !bytes.Equal(k.Current.Bytes(), <-keys) {
		t.Errorf("the file holds another key: %v", err)
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
		if rootkey.Check(k.Current.Bytes()) != nil || !bytes.HasPrefix(text, k.Current.Bytes()) || len(text)-k.Current.Len() > 2 {
			t.Errorf("a file of %q gives %q", text, k.Current.Bytes())
		}
	})
}

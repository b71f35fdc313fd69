package main_test

import (
	"crypto/aes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"fastness/internal/secretbuf"
)

func init() { roles["holder"] = holdPlants }

// masking keeps what a child is told out of its memory until it unmasks it.
const masking = 0xa7

// holding tells a holder what to keep where. All bytes are masked.
type holding struct {
	Heap    [][]byte // in ordinary memory
	NoRead  []byte   // in a page that the process itself may not read
	NoDump  []byte   // in a page left out of core dumps
	Guarded []byte   // 32 bytes, as a guarded key
	Cipher  []byte   // 32 bytes, as a cipher in use
}

// holdPlants keeps what its stdin says, tells what guards the guarded key, and
// waits until stdin closes.
func holdPlants() error {
	in := json.NewDecoder(os.Stdin)
	var h holding
	if err := in.Decode(&h); err != nil {
		return err
	}
	for _, b := range h.Heap {
		copy(b, xored(b, masking))
	}
	var pages [2][]byte
	for i, b := range [][]byte{h.NoRead, h.NoDump} {
		page, err := unix.Mmap(-1, 0, int(pageSize), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return err
		}
		for k := range b {
			page[100+k] = b[k] ^ masking
		}
		pages[i] = page
	}
	if err := unix.Mprotect(pages[0], unix.PROT_NONE); err != nil {
		return err
	}
	if err := unix.Madvise(pages[1], unix.MADV_DONTDUMP); err != nil {
		return err
	}
	var key *secretbuf.Key
	secretbuf.Do(func() { // or a signal may save registers that have it
		for i := range h.Guarded {
			h.Guarded[i] ^= masking
		}
		key = secretbuf.NewKey(h.Guarded)
	})
	plain := xored(h.Cipher, masking)
	block, err := aes.NewCipher(plain)
	if err != nil {
		return err
	}
	clear(plain)
	fmt.Println(key.Guard())
	_, err = io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(h)
	runtime.KeepAlive(key)
	runtime.KeepAlive(block)
	return err
}

// startRole runs this test binary in a role until the test ends. What it
// prints first is returned.
func startRole(t testing.TB, role string, stdin any) (cmd *exec.Cmd, said string) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role, keepFreed)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	if err := json.NewEncoder(in).Encode(stdin); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscanln(out, &said); err != nil {
		t.Fatalf("role %s: %v", role, err)
	}
	return cmd, said
}

// TestScannerReadsLiveProcess plants in another process, in every kind of
// memory, and searches it both ways.
func TestScannerReadsLiveProcess(t *testing.T) {
	needRoot(t)
	var plants []plant
	var told holding
	hold := func(name string, b []byte) []byte {
		plants = append(plants, plant{kind: kindValue, name: name, bytes: b})
		return xored(b, masking)
	}
	value := "Zk3m\"9xT7\\Wc1LhN<vRy~?>sGd\npJf6uAe"
	hold("in all forms", []byte(value))
	for _, written := range writtenForms(value) {
		told.Heap = append(told.Heap, xored(written, masking))
	}
	told.NoRead = hold("in an unreadable page", noise(21, 32))
	told.NoDump = hold("in a page left out of dumps", noise(22, 32))
	told.Guarded = hold("guarded", noise(23, 32))
	told.Cipher = hold("in a cipher", noise(24, 32))
	hold("nowhere", noise(25, 32))
	cmd, guard := startRole(t, "holder", told)
	s := newScanner(plants)
	for source, f := range map[string]*finding{
		"/proc/PID/mem": lookAtProcess(t, s, cmd.Process.Pid),
		"gcore":         lookAtCore(t, s, cmd.Process.Pid),
	} {
		forms := map[string]map[string]int{}
		for _, x := range f.finds {
			if x.isWhole() {
				name := plants[x.plant].name
				if forms[name] == nil {
					forms[name] = map[string]int{}
				}
				forms[name][x.form]++
			}
		}
		for name, want := range map[string][]string{
			"in all forms":                {"raw", "JSON for HTML", "base64", "base64url", "hex", "HEX"},
			"in a page left out of dumps": {"raw"},
		} {
			for _, form := range want {
				if forms[name][form] == 0 {
					t.Errorf("%s: what is %s is not found as %s", source, name, form)
				}
			}
		}
		if source == "/proc/PID/mem" && forms["in an unreadable page"]["raw"] != 1 {
			t.Errorf("%s: the unreadable page was not read", source)
		}
		if n := len(forms["guarded"]); guard == "memfd_secret" && n > 0 || guard != "memfd_secret" && n == 0 {
			t.Errorf("%s: a key guarded by %s is found in %d forms", source, guard, n)
		}
		if len(forms["nowhere"]) > 0 {
			t.Errorf("%s: found what is not there: %v", source, forms["nowhere"])
		}
		schedules := map[string]bool{}
		for _, x := range f.schedules {
			schedules[x.form] = true
		}
		if !schedules["encryption"] && !schedules["encryption, big-endian"] || !schedules["decryption"] && !schedules["decryption, big-endian"] {
			t.Errorf("%s: the cipher's schedules are not found: %v", source, schedules)
		}
		t.Logf("%s: %d KiB read, %d withheld", source, f.read>>10, f.withheld>>10)
	}
	// What MADV_DONTDUMP does, and all that it does.
	for _, x := range lookAtCoreFile(t, s, runGcore(t, cmd.Process.Pid)).finds {
		if plants[x.plant].name == "in a page left out of dumps" {
			t.Errorf("a core without excluded mappings has the page left out of dumps at %x", x.at)
		}
	}
}

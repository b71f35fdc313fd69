package envelope_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"fastness/internal/envelope"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// memoryJob is what the child process of TestOpenLeavesNothing gets on its
// standard input. Everything secret in it is masked, so that the child's memory
// holds it only where the code under test puts it.
type memoryJob struct {
	KEK, Envelope, Ciphertext, Tenant, Secret []byte
	Version                                   string
	Number                                    uint32
	Needles                                   map[string][]byte
	Keep                                      bool // keep one copy of each needle: the search must find it
}

const (
	memoryVariable = "FASTNESS_TEST_MEMORY"
	mask           = 0xa7
)

func masked(b []byte, with byte) []byte {
	c := bytes.Clone(b)
	for i := range c {
		c[i] ^= mask ^ with
	}
	return c
}

func TestMain(m *testing.M) {
	if os.Getenv(memoryVariable) == "" {
		os.Exit(m.Run())
	}
	found, err := searchAfterOpening()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(found)
	os.Exit(0)
}

// TestOpenLeavesNothing opens a value many times in a process of its own, which
// then reads all of its memory: no copy of value, data key, wrapping key or KEK
// may be left, nor the KEK XORed as HMAC does.
func TestOpenLeavesNothing(t *testing.T) {
	raw, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	x := v.Values[0]
	job := memoryJob{
		KEK: masked(x.KEK, 0), Envelope: x.Envelope, Ciphertext: x.Ciphertext, Tenant: x.Tenant, Secret: x.Secret,
		Version: x.Version, Number: x.Number,
		Needles: map[string][]byte{
			"value": masked(x.Value, 0), "data key": masked(x.DEK, 0), "wrap key": masked(x.WrapKey, 0),
			"KEK": masked(x.KEK, 0), "KEK, inner pad": masked(x.KEK, 0x36), "KEK, outer pad": masked(x.KEK, 0x5c),
		},
	}
	for what, n := range searchInChild(t, job) {
		if n > 0 {
			t.Errorf("after opening, %d copies of the %s are left (this build erases by %q)", n, what, secretbuf.Erasing)
		}
	}
	job.Keep = true
	for what, n := range searchInChild(t, job) {
		if n == 0 {
			t.Errorf("the search misses a copy of the %s that was kept", what)
		}
	}
}

func searchInChild(t *testing.T, job memoryJob) (found map[string]int) {
	t.Helper()
	in, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = []string{memoryVariable + "=1"}
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return found
}

// searchAfterOpening is the child.
func searchAfterOpening() (map[string]int, error) {
	var job memoryJob
	if err := json.NewDecoder(os.Stdin).Decode(&job); err != nil {
		return nil, err
	}
	k := &envelope.KEK{Number: job.Number, Key: secretbuf.NewKey(masked(job.KEK, 0))}
	b := envelope.Binding{Tenant: secret.TenantID(job.Tenant), Secret: secret.ID(job.Secret), Version: secret.VersionID(job.Version)}
	for range 300 {
		value, err := envelope.Open(k, b, envelope.Sealed{Envelope: job.Envelope, Ciphertext: job.Ciphertext})
		if err != nil {
			return nil, err
		}
		value.Release()
	}
	var kept [][]byte
	if job.Keep {
		for _, n := range job.Needles {
			kept = append(kept, masked(n, 0))
		}
	}
	found, err := searchMemory(job.Needles)
	runtime.KeepAlive(kept)
	runtime.KeepAlive(k)
	return found, err
}

// searchMemory counts the copies of each needle in this process's memory. It
// reads through a window that it masks at once, so as not to find itself.
func searchMemory(needles map[string][]byte) (map[string]int, error) {
	const window, overlap = 1 << 20, 256
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil, err
	}
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		return nil, err
	}
	defer mem.Close()
	found := map[string]int{}
	buf := make([]byte, window+overlap)
	for line := range strings.Lines(string(maps)) {
		from, to := mappingOf(line)
		for at := from; at < to; at += window {
			n, _ := mem.ReadAt(buf[:min(window+overlap, to-at)], at) // unreadable pages are short reads
			for i := range n {
				buf[i] ^= mask
			}
			for what, needle := range needles {
				found[what] += countFrom(buf[:n], needle, window)
			}
		}
	}
	return found, nil
}

// countFrom counts the matches that begin before limit.
func countFrom(b, needle []byte, limit int) (n int) {
	for start := 0; ; n++ {
		i := bytes.Index(b[start:], needle)
		if i < 0 || start+i >= limit {
			return n
		}
		start += i + 1
	}
}

// mappingOf reads the range of a writable mapping; others count as empty.
func mappingOf(line string) (from, to int64) {
	fields := strings.Fields(line)
	if len(fields) < 2 || !strings.HasPrefix(fields[1], "rw") {
		return 0, 0
	}
	a, b, _ := strings.Cut(fields[0], "-")
	from, err1 := strconv.ParseInt(a, 16, 64)
	to, err2 := strconv.ParseInt(b, 16, 64)
	if err1 != nil || err2 != nil {
		return 0, 0
	}
	return from, to
}

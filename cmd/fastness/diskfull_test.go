package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fastness/internal/audit"
)

// TestDiskFull fills the disk under a running server. Then it must refuse with
// 503 what it cannot record, lose nothing that it acknowledged, and serve
// again by itself once there is room.
func TestDiskFull(t *testing.T) {
	disk := mountSmallDisk(t)
	k := newKiller(t)
	k.dir = filepath.Join(disk, "data")
	k.operator = makeOperator(t, k.dir)
	k.start(t)
	k.trust(t)
	f := &filler{killer: k}
	if err := f.store(t, 50); err != nil {
		t.Fatalf("with room on the disk: %v", err)
	}

	full := filepath.Join(disk, "filler")
	f.fill(t, full)
	f.expectFull(t)

	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	k.server.until(t, "service once there is room", func() bool { return f.store(t, 1) == nil })
	k.server.until(t, "readiness once there is room", func() bool { return isReady(k.server.address) })
	if err := f.store(t, 50); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	for _, name := range f.refused {
		k.api.do(t, http.StatusNotFound, http.MethodGet, valuePath(killTenant, name), nil)
	}
	k.checkAll(t)
	k.checkLog(t)
	k.server.stop(t)
	k.start(t)
	k.checkAll(t)
}

// TestDiskFullReserve fills the disk under a server that keeps a reserve. Released,
// it makes the server work again, and with it the archive that frees space for
// good: what was written before is no longer in the way of what comes.
func TestDiskFullReserve(t *testing.T) {
	disk := mountSmallDisk(t)
	k := newKiller(t)
	k.dir = filepath.Join(disk, "data")
	k.operator = makeOperator(t, k.dir)
	k.args = []string{"--disk-reserve", "4MiB", "--disk-alarm", "6MiB"}
	k.start(t)
	k.trust(t)
	reserve := filepath.Join(k.dir, "reserve")
	k.server.until(t, "the reserve", func() bool { info, err := os.Stat(reserve); return err == nil && info.Size() == 4<<20 })
	operator := &api{base: k.server.address, token: k.operator}
	if text := string(operator.do(t, http.StatusOK, http.MethodGet, "/metrics", nil).body); !strings.Contains(text, "fastness_store_disk_reserve_held_bytes 4.194304e+06") {
		t.Errorf("the figures do not tell of the reserve:\n%s", text)
	}
	f := &filler{killer: k}
	if err := f.store(t, 300); err != nil {
		t.Fatalf("with room on the disk: %v", err)
	}
	f.fill(t, filepath.Join(disk, "filler"))
	k.server.until(t, "the warning", func() bool {
		return strings.Contains(k.server.stderr.String(), "the disk of the store fills up")
	})

	command := func(args ...string) []byte {
		t.Helper()
		env := []string{"FASTNESS_ADDR=" + k.server.address, "FASTNESS_TOKEN=" + k.operator}
		return run(t, env, nil, args...).succeed(t)
	}
	command("reserve", "release", "--store", "sqlite:"+k.dir)
	k.server.until(t, "service once the reserve is released", func() bool { return f.store(t, 1) == nil })
	outside := filepath.Join(t.TempDir(), "archive")
	command("audit", "archive", outside, "--before", "1ms", "--yes")
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, command("audit", "keys"), 0o600); err != nil {
		t.Fatal(err)
	}
	command("audit", "verify", "--keys", keys, outside)

	// The pages that the archive has freed take what comes.
	database := filepath.Join(k.dir, "fastness.db")
	before, err := os.Stat(database)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.store(t, 100); err != nil {
		t.Errorf("after the archive: %v", err)
	}
	operator.do(t, http.StatusOK, http.MethodPost, "/api/v1/audit/checkpoint", nil)
	after, err := os.Stat(database)
	if err != nil || after.Size() != before.Size() {
		t.Errorf("the file had %d bytes and has %d, error %v", before.Size(), after.Size(), err)
	}
	k.checkAll(t)
}

// smallDisk is large enough for some hundred writes, and small enough to be
// filled at once.
const smallDisk = "24m"

// mountSmallDisk mounts a file system of its own until the test ends.
func mountSmallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	mount := []string{"mount", "-t", "tmpfs", "-o", "size=" + smallDisk + ",mode=0700", "tmpfs", dir}
	umount := []string{"umount", "--lazy", dir}
	if os.Geteuid() != 0 {
		mount = append([]string{"sudo", "-n"}, mount...)
		mount[6] += fmt.Sprintf(",uid=%d", os.Geteuid())
		umount = append([]string{"sudo", "-n"}, umount...)
	}
	if out, err := exec.Command(mount[0], mount[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("this test needs a small file system and so the right to mount one (root, or sudo without a password): %s: %v\n%s",
			strings.Join(mount, " "), err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command(umount[0], umount[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", strings.Join(umount, " "), err, out)
		}
	})
	return dir
}

// filler stores until there is no room. What it was told it keeps in its
// killer, which knows how to look for it.
type filler struct {
	*killer
	count   int
	refused []string // names
}

// store stores so many versions. An error is that of the first refusal, which
// must be of the right kind.
func (f *filler) store(t *testing.T, n int) error {
	t.Helper()
	for range n {
		f.count++
		wr := &write{name: fmt.Sprintf("filler/%d", f.count), token: fmt.Sprintf("disk-full-write-%020d", f.count)}
		ans, err := f.api.send(http.MethodPut, valuePath(killTenant, wr.name),
			map[string]string{"value": valueOf(wr.token), "requestToken": wr.token})
		if err != nil {
			t.Fatalf("storing: %v", err)
		}
		if ans.status == http.StatusServiceUnavailable {
			f.refused = append(f.refused, wr.name)
			return f.refusal(t, ans)
		}
		var v version
		if err := errors.Join(ans.expect(http.StatusCreated), ans.decode(&v)); err != nil {
			t.Fatalf("storing: %v", err)
		}
		wr.answered, wr.version = true, v.Version
		f.done[wr.name] = []*write{wr}
		f.told = append(f.told, promise{correlation: ans.correlation, name: wr.name, version: v.Version, result: audit.Success,
			actions: []audit.Action{audit.Create}})
	}
	return nil
}

var errFull = errors.New("refused for lack of room")

// refusal expects the document of a refusal that is nobody's fault.
func (f *filler) refusal(t *testing.T, ans *answer) error {
	t.Helper()
	if ans.status != http.StatusServiceUnavailable || ans.code() != "unavailable" ||
		ans.header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("refused with status %d, type %q, %s", ans.status, ans.header.Get("Content-Type"), ans.body)
	}
	return errFull
}

// fill takes all room again and again, until the server has none left of its
// own either: a log with free pages takes some more entries.
func (f *filler) fill(t *testing.T, name string) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		for _, size := range []int{1 << 20, 4 << 10, 1} {
			block := bytes.Repeat([]byte{'x'}, size)
			for err = nil; err == nil; {
				_, err = file.Write(block)
			}
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
		}
		refused := 0
		for range 20 {
			if f.store(t, 1) != nil {
				refused++
			}
		}
		if refused == 20 {
			return
		}
	}
	t.Fatal("the server goes on writing to a full disk")
}

// expectFull expects that every kind of request is refused while the disk is
// full, since none can be recorded, and that the process is alive.
func (f *filler) expectFull(t *testing.T) {
	t.Helper()
	requests := []struct {
		method, path string
		body         any
	}{
		{http.MethodGet, valuePath(killTenant, "filler/1"), nil},
		{http.MethodGet, secretPath(killTenant, "filler/1"), nil},
		{http.MethodGet, tenantPath(killTenant) + "/secrets", nil},
		{http.MethodGet, valuePath(killTenant, "filler/nothing"), nil},
		{http.MethodDelete, secretPath(killTenant, "filler/1"), nil},
		{http.MethodPost, secretPath(killTenant, "filler/1") + "/rotate", map[string]string{"value": "new"}},
		{http.MethodPost, tenantPath(killTenant) + "/tokens", map[string]any{"principal": "ci", "grants": []any{map[string]string{"role": "reader"}}}},
	}
	for _, r := range requests {
		ans, err := f.api.send(r.method, r.path, r.body)
		if err != nil {
			t.Fatal(err)
		}
		f.refusal(t, ans)
	}
	nobody := &api{base: f.server.address, token: "fst_nobody"}
	if ans, err := nobody.send(http.MethodGet, valuePath(killTenant, "filler/1"), nil); err != nil {
		t.Fatal(err)
	} else {
		f.refusal(t, ans)
	}
	f.api.do(t, http.StatusOK, http.MethodGet, "/healthz", nil)
	f.server.until(t, "the end of readiness", func() bool { return !isReady(f.server.address) })
}

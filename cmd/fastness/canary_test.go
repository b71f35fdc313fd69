package main_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	routes "fastness/internal/api"
)

// canaries gathers everything that comes out of Fastness: answers, output,
// logs, files. When all is planted that will be, it is searched.
type canaries struct {
	*suite
	outputs map[string][]byte // by where they came from
	shown   map[string][]byte // what was asked for: the search must find something in each
}

func (c *canaries) saw(where string, output []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outputs[where] = append(append(c.outputs[where], output...), '\n')
}

// sawFiles takes all files below a folder, but for those of the given names.
func (c *canaries) sawFiles(dir string, except ...string) {
	c.t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || slices.Contains(except, entry.Name()) {
			return err
		}
		b, err := os.ReadFile(path)
		c.saw("file "+entry.Name(), b)
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// search fails for everything planted that came out.
func (c *canaries) search(plants []plant) {
	c.t.Helper()
	s := newScanner(plants)
	look := func(output []byte) *finding {
		return s.look([]memory{{0, uint64(len(output)), "", bytes.NewReader(output)}})
	}
	for command, output := range c.shown {
		if f := look(output); len(f.finds) == 0 {
			c.t.Errorf("%s shows nothing that was planted: the search does not work", command)
		}
	}
	size := 0
	for where, output := range c.outputs {
		size += len(output)
		f := look(output)
		for _, x := range f.finds[:min(len(f.finds), 3)] {
			c.t.Errorf("%s has %d bytes of %s %q as %s: %s", where, x.length, s.plants[x.plant].kind, s.plants[x.plant].name, x.form, x.around)
		}
	}
	c.t.Logf("searched %d outputs, %d KiB, for %d plants", len(c.outputs), size>>10, len(plants))
}

// TestCanaries takes a server through every route and every command, the ways
// that fail first, and looks for values, credentials and keys in all that comes
// out besides what was asked for: answers, logs at their most talkative, files,
// what the kernel tells of the process, and what it says when it dies.
func TestCanaries(t *testing.T) {
	t.Parallel()
	temporary := t.TempDir()
	s := startSubject(t, program, false, []string{"TMPDIR=" + temporary}, "--log-level", "debug", "--log-requests")
	c := &canaries{newSuite(t, &s.target, 3), map[string][]byte{}, map[string][]byte{}}
	c.observe = func(method string, status int, header http.Header, body []byte) {
		if method != http.MethodGet || status != http.StatusOK {
			c.saw(fmt.Sprintf("answer to %s", method), fmt.Appendf(nil, "%v %s", header, body))
		}
	}
	c.hostile(1)
	c.standard(standard{values: 16, reads: 2, connections: 16})
	s.byAWS(t, c.suite, 3)
	c.wrongByAWS(s)
	c.throughCommands(s, temporary)
	c.throughRoutes(s) // with so many bad credentials that others must wait
	c.aboutProcess(s)
	plants := append(c.all(), storeKeys(t, s.dir, s.master)...)
	c.dying(s)
	c.saw("log", []byte(s.stderr.String()))
	c.sawFiles(s.dir)
	c.sawFiles(temporary)
	c.search(plants)
	c.searchWords(plants)
	for _, where := range []string{"log", "file fastness.db", "file fastness.db-wal", "answer to /metrics", "stdout of audit list --json"} {
		if len(c.outputs[where]) < 1000 {
			t.Errorf("of %s only %d bytes were seen", where, len(c.outputs[where]))
		}
	}
}

// TestCanariesOfDev is the same, in short, for the server for development: its
// first line shows credentials, and its root key lies beside the data.
func TestCanariesOfDev(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := startDev(t, "--data", dir)
	c := &canaries{newSuite(t, &target{tenant: d.Tenant}, 4), map[string][]byte{}, map[string][]byte{}}
	c.learned("token", "operator's", []byte(d.Token))
	c.learned("access-key secret", "the tenant's", []byte(d.SecretAccessKey))
	c.shown["dev --json"] = d.line
	master, err := os.ReadFile(filepath.Join(dir, "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	c.learned("root key", "master key", bytes.TrimSpace(master))
	for i := range 20 {
		name := fmt.Sprintf("secret/%d", i)
		d.operator().do(t, http.StatusCreated, "PUT", valuePath(d.Tenant, name), map[string]string{"value": c.value(name)})
		d.operator().do(t, http.StatusOK, "GET", valuePath(d.Tenant, name), nil)
	}
	plants := append(c.all(), storeKeys(t, dir, strings.TrimSpace(string(master)))...)
	d.stop(t)
	c.saw("log", []byte(d.stderr.String()))
	rest, err := io.ReadAll(d.stdout)
	if err != nil {
		t.Fatal(err)
	}
	c.saw("stdout behind the first line", rest)
	c.sawFiles(dir, "root.key")
	c.search(plants)
}

// misplaced are bodies with a value where none belongs, or that break around
// one. %s is the value, escaped.
var misplaced = []string{
	`{"value":"%s","more":1}`, `"%s"`, `["%s"]`, `{"%s":1}`, `{"value":"%s"`, `{"value":"%s\u12"}`, `{"value":"%s","value":1}`,
	`{"value":["%s"]}`, `{"value":{"x":"%s"}}`, `{"valueBase64":"%s"}`, `{"name":["%s"]}`, `{"tenant":{"x":"%s"}}`,
	`{"requestToken":["%s"],"principal":["%[1]s"],"description":["%[1]s"],"grants":"%[1]s","tags":"%[1]s","version":["%[1]s"]}`,
	"{\"value\":\"%s\x01\"}", "{\"value\":\"%s\xff\"}", `{"value":1e%s}`, `%s`,
}

// throughRoutes sends to each route of the table what it refuses, with values
// and credentials in the wrong places, and at last what it takes.
func (c *canaries) throughRoutes(s *subject) {
	c.t.Helper()
	operator := &api{base: s.url, token: s.operator, client: &http.Client{Timeout: patience}}
	// What is streamed never ends; an answer that there is comes at once.
	stream := &api{base: s.url, token: s.operator, client: &http.Client{Timeout: 100 * time.Millisecond}}
	for _, route := range routes.Routes() {
		path := strings.NewReplacer("{tenant}", "shop-1", "{name}", "walk", "{stage}", "mine", "{id}", "tok_0").Replace(route.Pattern)
		where := route.Method + " " + route.Pattern
		bodies := [][]byte{nil}
		for i, form := range misplaced {
			value := jsonEscaped([]byte(c.value(where+" "+fmt.Sprint(i))), false)
			bodies = append(bodies, fmt.Appendf(nil, form, value))
		}
		for _, body := range bodies {
			ans := c.sendRaw(pick(strings.HasSuffix(path, "/tail"), stream, operator), route.Method, path, body)
			if route.Method != http.MethodGet || !strings.HasSuffix(path, "/value") || ans.status != http.StatusOK {
				c.sawAnswer(where, ans)
			}
		}
		c.sawAnswer(where, c.sendRaw(operator, route.Method, path+"?access_token="+s.operator, nil))
		for _, bad := range []string{s.operator[:50], s.operator + "x", "x" + s.operator} {
			c.sawAnswer(where, c.sendRaw(&api{base: s.url, token: bad}, route.Method, path, nil))
		}
	}
	for _, open := range []string{"/metrics", "/healthz", "/readyz", "/nothing?token=" + s.operator} {
		c.sawAnswer(open, c.sendRaw(operator, http.MethodGet, open, nil))
	}
}

func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}

// sendRaw sends bytes that may be no JSON at all.
func (c *canaries) sendRaw(a *api, method, path string, body []byte) *answer {
	c.t.Helper()
	r, err := http.NewRequest(method, a.base+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	r.Header.Set("Content-Type", "application/json")
	client := a.client
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(r)
	if err != nil {
		c.saw("client's error", []byte(strings.ReplaceAll(err.Error(), a.base+path, ""))) // which has the URL
		return &answer{}
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body) // a stream is cut
	return &answer{status: response.StatusCode, header: response.Header, body: text}
}

func (c *canaries) sawAnswer(where string, ans *answer) {
	c.saw("answer to "+where, fmt.Appendf(nil, "%v %s", ans.header, ans.body))
}

// aboutProcess takes what the kernel tells of a running process.
func (c *canaries) aboutProcess(s *subject) {
	c.t.Helper()
	for _, name := range []string{"cmdline", "environ", "comm", "status", "maps"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.cmd.Process.Pid, name))
		if err != nil {
			c.t.Fatal(err)
		}
		c.saw("/proc/PID/"+name, b)
		if name == "environ" && bytes.Contains(b, []byte(s.master[:shortest])) {
			c.t.Error("the process's environment still has the master key")
		}
	}
}

// dying makes the server die with the traces of all goroutines while it is at
// work. They go to its log.
func (c *canaries) dying(s *subject) {
	c.t.Helper()
	var readers sync.WaitGroup
	for n := range 8 {
		w, err := c.dial(n)
		if err != nil {
			c.t.Fatal(err)
		}
		path := c.path("standard/0")
		readers.Go(func() {
			for {
				if _, err := w.exchange("GET", path, nil); err != nil {
					return
				}
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	if err := s.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		c.t.Fatal(err)
	}
	s.wait(c.t)
	readers.Wait()
	if !strings.Contains(s.stderr.String(), "goroutine ") {
		c.t.Error("there are no traces")
	}
}

// searchWords looks in the log for words of keys as traces print arguments: in
// hexadecimal, as the numbers that the processor sees.
func (c *canaries) searchWords(plants []plant) {
	c.t.Helper()
	log := c.outputs["log"]
	for _, p := range plants {
		for at := 0; at+wordSize <= len(p.bytes); at += wordSize {
			if word := fmt.Appendf(nil, "0x%x", binary.LittleEndian.Uint64(p.bytes[at:])); bytes.Contains(log, word) {
				c.t.Errorf("the traces have 8 bytes of %s %q", p.kind, p.name)
			}
		}
	}
}

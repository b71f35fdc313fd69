package main_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const nextJS = "../../examples/nextjs"

// copyExample copies the example without what was installed or built in it.
func copyExample(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	err := filepath.WalkDir(nextJS, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(nextJS, path)
		switch {
		case err != nil || name == ".":
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name()[0] == '.'):
			return fs.SkipDir
		case entry.IsDir():
			return os.Mkdir(filepath.Join(dir, name), 0o700)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), b, 0o700)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// withNode runs a command in the example, with the configuration of npm that
// whoever runs the test has.
func withNode(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("./with-node", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "NEXT_TELEMETRY_DISABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// TestNextJS builds the example and asks it: the page says whether there is a
// database URL, which is in no answer, no file and no log.
func TestNextJS(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	dir := copyExample(t)
	withNode(t, dir, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts")
	withNode(t, dir, "npm", "run", "build")
	app := d.startNextJS(t, dir)

	app.says(t, "absent")
	password := rand.Text()
	value := "postgres://shop:" + password + "@db.example:5432/shop"
	d.operator().do(t, http.StatusCreated, "PUT", valuePath(d.Tenant, "shop/database-url"), map[string]string{"value": value})
	app.says(t, "present")

	seen := app.answers(t)
	seen["log"] = []byte(app.log.String())
	if err := filepath.WalkDir(filepath.Join(dir, ".next"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		seen[path], err = os.ReadFile(path)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(seen) < 50 || app.log.String() == "" {
		t.Errorf("only %d outputs were seen, the log has %q", len(seen), app.log.String())
	}
	for where, text := range seen {
		for _, secret := range []string{password, url.QueryEscape(value), base64.StdEncoding.EncodeToString([]byte(value)), d.SecretAccessKey} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s has a secret", where)
			}
		}
	}
}

// nextApp is the running example.
type nextApp struct {
	url string
	log *lockedBuffer
}

func (d *devServer) startNextJS(t *testing.T, dir string) *nextApp {
	t.Helper()
	address := freeAddress(t)
	host, port, _ := strings.Cut(address, ":")
	app := &nextApp{"http://" + address, &lockedBuffer{}}
	cmd := exec.Command("./with-node", "node_modules/.bin/next", "start", "-H", host, "-p", port)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, app.log, app.log
	cmd.Env = append(environment(t.TempDir(), d.awsEnvironment()...), "PATH="+os.Getenv("PATH"), "NEXT_TELEMETRY_DISABLED=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children end with it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		if t.Failed() {
			t.Logf("next start said:\n%s", app.log)
		}
	})
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(50 * time.Millisecond) {
		if response, err := http.Get(app.url); err == nil {
			response.Body.Close()
			return app
		}
		if time.Now().After(deadline) {
			t.Fatal("the application does not answer")
		}
	}
}

// get asks for a page as a browser does, or as a page that is there already.
func (a *nextApp) get(t *testing.T, path string, header http.Header) (status int, answer []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, fmt.Appendf(nil, "%v\n%s", response.Header, body)
}

func (a *nextApp) says(t *testing.T, want string) {
	t.Helper()
	status, page := a.get(t, "/", http.Header{})
	text := strings.ReplaceAll(string(page), "<!-- -->", "") // between pieces of text
	if status != http.StatusOK || !strings.Contains(text, "The database URL is "+want) {
		t.Errorf("the page: %d %s, want %q", status, page, want)
	}
}

// answers are what the application gives out, in every form.
func (a *nextApp) answers(t *testing.T) map[string][]byte {
	t.Helper()
	seen := map[string][]byte{}
	for where, header := range map[string]http.Header{
		"page": {}, "server components": {"Rsc": {"1"}}, "prefetch": {"Rsc": {"1"}, "Next-Router-Prefetch": {"1"}},
	} {
		status, answer := a.get(t, "/", header)
		if status != http.StatusOK {
			t.Errorf("%s: %d %s", where, status, answer)
		}
		seen["answer: "+where] = answer
	}
	_, seen["answer: no page"] = a.get(t, "/nothing", http.Header{})
	return seen
}

// TestNextJSTakesANewerNode: where the machine's Node.js is too old, npm's
// package has one.
func TestNextJSTakesANewerNode(t *testing.T) {
	t.Parallel()
	dir, old := copyExample(t), t.TempDir()
	real := installed(t, "node")
	script := "#!/bin/sh\ncase $1 in --version) echo v18.0.0;; -e) exit 1;; *) exec " + real + " \"$@\";; esac\n"
	if err := os.WriteFile(filepath.Join(old, "node"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("./with-node", "node", "--version")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+old+":"+os.Getenv("PATH"))
	if out, err := cmd.Output(); err != nil || !strings.HasPrefix(string(out), "v22.") {
		t.Errorf("node --version: %q, %v", out, err)
	}
}

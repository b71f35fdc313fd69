package cli_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/pquerna/otp/totp"
	"github.com/rogpeppe/go-internal/testscript"

	"fastness/internal/cli"
	"fastness/internal/teststore"
)

// promptOnce is the variable that makes this test binary ask for a value and
// print it.
const promptOnce = "FASTNESS_TEST_PROMPT"

// devDatabase is the variable that makes this test binary a development server
// in a database, whose URL it is.
const devDatabase = "FASTNESS_TEST_DEV"

// TestMain makes this test binary the program when a script runs `fastness`.
func TestMain(m *testing.M) {
	if os.Getenv(promptOnce) != "" {
		os.Exit(cli.PromptOnce())
	}
	if database := os.Getenv(devDatabase); database != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		os.Exit(cli.DevOn(ctx, database))
	}
	// The race detector sleeps for a second when a program exits, and these
	// tests run hundreds.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	testscript.Main(m, map[string]func(){
		"fastness": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			context.AfterFunc(ctx, stop)
			os.Exit(cli.Run(ctx, os.Args[1:], cli.System()))
		},
	})
}

// TestScripts runs the stories in testdata/script, each in a folder of its own.
func TestScripts(t *testing.T) { runScripts(t, "testdata/script") }

// TestEmbeddedScripts runs those about the embedded store and its folder.
func TestEmbeddedScripts(t *testing.T) { runScripts(t, "testdata/embedded") }

func runScripts(t *testing.T, dir string) {
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"dev":       startDev,
			"field":     jsonField,
			"exits":     exits,
			"waitup":    waitUp,
			"waitfor":   waitFor,
			"jwt":       makeJWT,
			"totp":      oneTimeCode,
			"mode":      checkMode,
			"firstline": firstLine,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("SECRETS_MASTER_KEY", "")
			e.Setenv("GORACE", os.Getenv("GORACE"))
			e.Values["dev"] = new(devServer)
			return nil
		},
		RequireExplicitExec: true,
	})
}

// devServer is the server of a script.
type devServer struct{ cmd *exec.Cmd }

// stop ends it as Ctrl-C does, and expects it to end well.
func (d *devServer) stop(ts *testscript.TestScript) {
	if d.cmd == nil {
		return
	}
	cmd := d.cmd
	d.cmd = nil
	ts.Check(cmd.Process.Signal(syscall.SIGINT))
	if err := cmd.Wait(); err != nil {
		ts.Fatalf("dev ended with %v", err)
	}
}

// startDev is "dev [FLAG…]": it starts `fastness dev` with the flags at a free
// port, in the place of the one before, or on PostgreSQL what does the same
// there, and points FASTNESS_ADDR,
// FASTNESS_TOKEN and FASTNESS_TENANT at it. "dev stop" only stops.
func startDev(ts *testscript.TestScript, _ bool, args []string) {
	d := ts.Value("dev").(*devServer)
	d.stop(ts)
	if len(args) == 1 && args[0] == "stop" {
		return
	}
	cmd := exec.Command("fastness", append([]string{"dev", "--json", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Dir = ts.Getenv("WORK")
	cmd.Env = append(os.Environ(), "TMPDIR="+ts.Getenv("TMPDIR"))
	if teststore.Shared() {
		if len(args) > 0 {
			ts.Fatalf("dev %v: there are no flags for a database", args)
		}
		place, err := teststore.At(cmd.Dir)
		ts.Check(err)
		cmd.Args = cmd.Args[:1]
		cmd.Env = append(cmd.Env, devDatabase+"="+place.URL)
	}
	cmd.Stderr = ts.Stderr()
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		ts.Fatalf("dev printed nothing: %v; %v", err, cmd.Wait())
	}
	d.cmd = cmd
	ts.Defer(func() { d.stop(ts) })
	var info struct{ Address, Tenant, Token, AccessKeyID, SecretAccessKey, AccountID, Region string }
	ts.Check(json.Unmarshal(line, &info))
	ts.Setenv("FASTNESS_ADDR", info.Address)
	ts.Setenv("FASTNESS_TOKEN", info.Token)
	ts.Setenv("FASTNESS_TENANT", info.Tenant)
	ts.Setenv("ACCESS_KEY", info.AccessKeyID+"/"+info.SecretAccessKey+"/"+info.AccountID+"/"+info.Region)
}

// jsonField is "field FILE PATH NAME": it sets the variable NAME to what
// stands at PATH, such as items.0.name, in a file of JSON.
func jsonField(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: field FILE PATH NAME")
	}
	var v any
	text := ts.ReadFile(args[0])
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		ts.Fatalf("%s is not one line", args[0])
	}
	ts.Check(json.Unmarshal([]byte(text), &v))
	for _, word := range strings.Split(args[1], ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[word]
		case []any:
			var i int
			_, err := fmt.Sscan(word, &i)
			ts.Check(err)
			if i >= len(x) {
				ts.Fatalf("%s: only %d items", args[1], len(x))
			}
			v = x[i]
		}
	}
	ts.Setenv(args[2], fmt.Sprint(v))
}

// exits is "exits CODE COMMAND…": exec that tells exit codes apart.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := err.(*exec.ExitError); ok {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("%v exits with %d instead of %s\n%s%s", args[1:], code, args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// waitFor is "waitfor TEXT COMMAND…": it runs a command until it prints what
// matches.
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: waitfor TEXT COMMAND...")
	}
	want := regexp.MustCompile(args[0])
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if want.MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
	ts.Fatalf("%v never printed %q", args[1:], args[0])
}

// waitUp is "waitup FILE TEXT": it waits until a file holds the text.
func waitUp(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: waitup FILE TEXT")
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if text, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && strings.Contains(string(text), args[1]) {
			return
		}
	}
	ts.Fatalf("%s never held %q", args[0], args[1])
}

// makeJWT is "jwt KEYS SUBJECT TOKEN": it makes a key, and writes its public part
// as a JWK set and a token of https://ci.example by it.
func makeJWT(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: jwt KEYS SUBJECT TOKEN")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	ts.Check(err)
	now := time.Now().Unix()
	claims, err := json.Marshal(map[string]any{"iss": "https://ci.example", "aud": "fastness", "sub": args[1], "iat": now, "exp": now + 300})
	ts.Check(err)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	ts.Check(err)
	signed, err := signer.Sign(claims)
	ts.Check(err)
	token, err := signed.CompactSerialize()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), keys, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(token+"\n"), 0o600))
}

// oneTimeCode is "totp FILE STEPS CODE": it writes the code, so many steps from
// now, of the authenticator that an enrolment's JSON in FILE tells of.
func oneTimeCode(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: totp FILE STEPS CODE")
	}
	var made struct{ URI string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &made))
	u, err := url.Parse(made.URI)
	ts.Check(err)
	steps, err := strconv.Atoi(args[1])
	ts.Check(err)
	code, err := totp.GenerateCode(u.Query().Get("secret"), time.Now().Add(time.Duration(steps)*30*time.Second))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(code), 0o600))
}

// checkMode is "mode FILE OCTAL".
func checkMode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

// firstLine is "firstline FROM TO".
func firstLine(ts *testscript.TestScript, _ bool, args []string) {
	line, _, _ := strings.Cut(ts.ReadFile(args[0]), "\n")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(line+"\n"), 0o600))
}

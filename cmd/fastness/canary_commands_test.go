package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// typed is a command as somebody types it.
type typed struct {
	words string // apart from the value, which is never an argument
	stdin string
	code  int
	shows bool // its stdout is a value or a credential, by intent
	env   []string
}

// throughCommands runs every command, the ways that fail first.
func (c *canaries) throughCommands(s *subject, temporary string) {
	c.t.Helper()
	file := func(content string) string {
		path := filepath.Join(c.t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			c.t.Fatal(err)
		}
		return path
	}
	value := func(name string) string { return c.value("command " + name) }
	badToken := c.value("bad token")
	c.learned("token", "bad", []byte(badToken))
	bundle, keys := filepath.Join(c.t.TempDir(), "bundle"), filepath.Join(c.t.TempDir(), "keys")
	ran := map[string]bool{}
	do := func(cmd typed) []byte {
		c.t.Helper()
		words := strings.Fields(cmd.words)
		env := append(clientEnv(s.url, s.tokens[0], s.tenant), "TMPDIR="+temporary)
		o := run(c.t, append(env, cmd.env...), []byte(cmd.stdin), words...)
		if o.code != cmd.code {
			c.t.Errorf("fastness %s: exit code %d, want %d: %s", cmd.words, o.code, cmd.code, o.stderr)
		}
		c.saw("stderr of "+cmd.words, o.stderr)
		if cmd.shows {
			c.shown[cmd.words] = o.stdout
		} else {
			c.saw("stdout of "+cmd.words, o.stdout)
		}
		for n := range 3 {
			ran[strings.Join(words[:min(n+1, len(words))], " ")] = true
		}
		return o.stdout
	}
	operator := []string{"FASTNESS_TOKEN=" + s.operator}
	pair := newKeyPair(c.t)
	identity, saved := pair.identity, filepath.Join(c.t.TempDir(), "backup.age")
	c.learned("backup identity", "of the test", bytes.TrimSpace(readFile(c.t, identity)))
	rooted := []string{"SECRETS_MASTER_KEY=" + s.master}
	source := []string{"AWS_ENDPOINT_URL_SECRETS_MANAGER=" + s.url, "AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ACCESS_KEY_ID=" + s.accessKeyID, "AWS_SECRET_ACCESS_KEY=" + s.secretAccessKey}

	// What people do wrong.
	for _, cmd := range []typed{
		{words: "put typed " + strings.ReplaceAll(value("as argument"), "\n", "_"), code: 2},
		{words: "put typed --text", stdin: value("not text") + "\xff", code: 1},
		{words: "put typed", stdin: c.long("too large", 70_000), code: 1},
		{words: "put bad~name", stdin: value("bad name"), code: 2},
		{words: "put typed --if-absent", stdin: value("first"), code: 0},
		{words: "put typed --if-absent", stdin: value("second"), code: 1},
		{words: "put typed --request-token " + strings.Repeat("7", 40), stdin: value("idempotent"), code: 0},
		{words: "put typed --request-token " + strings.Repeat("7", 40), stdin: value("another"), code: 1},
		{words: "put typed", stdin: value("denied"), code: 4, env: []string{"FASTNESS_TOKEN=" + badToken}},
		{words: "get typed --token-file " + file(badToken), code: 4},
		{words: "get none", code: 3},
		{words: "get typed --version 99", code: 3},
		{words: "put typed", stdin: value("nobody there"), code: 1, env: []string{"FASTNESS_ADDR=http://" + freeAddress(c.t)}},
		{words: "put typed", stdin: value("address"), code: 1, env: []string{"FASTNESS_ADDR=http://user:" + value("password in a URL") + "@127.0.0.1"}},
		{words: "rotate typed", code: 1},
		{words: "import - --format dotenv", stdin: "A='" + value("dotenv") + "\nB=", code: 1},
		{words: "import - --format dotenv", stdin: value("no name") + "\n", code: 1},
		{words: "import - --format dotenv", stdin: "1 2=" + value("bad variable"), code: 1},
		{words: "import - --format json", stdin: `{"a":"` + value("cut JSON"), code: 1},
		{words: "import - --format json", stdin: `{"a":{"valeu":"` + value("unknown field") + `"}}`, code: 1},
		{words: "import - --format json", stdin: `{"a":["` + value("array") + `"]}`, code: 1},
		{words: "import aws", code: 4, env: append(slices.Clone(source), "AWS_SECRET_ACCESS_KEY="+value("wrong secret key"))},
		{words: "import aws --region us-east-1", code: 1, env: []string{"AWS_SHARED_CREDENTIALS_FILE=" + file("[default\naws_secret_access_key = "+value("broken file"))}},
		{words: "run --secret typed -- /nonexistent/command", code: 127},
		{words: "server --store sqlite:" + c.t.TempDir(), code: 1, env: []string{"SECRETS_MASTER_KEY=" + value("short key")}},
		{words: "operator init --store sqlite:" + c.t.TempDir(), code: 1, env: []string{"SECRETS_MASTER_KEY=" + value("short key")}},
		{words: "server --config " + file(`token = "`+value("in a configuration")+`"`), code: 2, env: []string{"SECRETS_MASTER_KEY=" + s.master}},
		{words: "server --config " + file("store = \""+value("broken configuration")), code: 2, env: []string{"SECRETS_MASTER_KEY=" + s.master}},
		{words: "server --store sqlite:" + s.dir + " --listen " + freeAddress(c.t), code: 1, env: []string{"SECRETS_MASTER_KEY=" + s.master}},
		{words: "dev --listen 192.0.2.1:1", code: 1},
		{words: "backup verify " + file(value("no backup")) + " --identity " + identity, code: 1},
		{words: "backup verify " + file("x") + " --identity " + file(value("no identity")), code: 1},
		{words: "backup restore " + file(value("no backup")) + " --store sqlite:" + c.t.TempDir() + " --identity " + identity, code: 1, env: []string{"SECRETS_MASTER_KEY=" + s.master}},
		{words: "backup create " + c.t.TempDir() + "/b --store sqlite:" + s.dir + " --recipient " + value("no recipient"), code: 2},
		{words: "migrate --from sqlite:" + s.dir + " --to sqlite:" + c.t.TempDir(), code: 1, env: []string{"SECRETS_MASTER_KEY=" + s.master}},
		{words: "migrate --from sqlite:" + c.t.TempDir() + " --to sqlite:" + c.t.TempDir(), code: 1, env: []string{"SECRETS_MASTER_KEY=" + value("a short key")}},
		{words: "login --user nobody", stdin: value("wrong password"), code: 4, env: []string{"FASTNESS_TOKEN="}},
		{words: "login --jwt-file " + file(value("no JWT")), code: 4, env: []string{"FASTNESS_TOKEN="}},
		{words: "logout", code: 0, env: []string{"FASTNESS_TOKEN="}},
		{words: "issuer put ci --preset github-actions --url https://127.0.0.1:1 --audience us --key-set-file " + file(value("no key set")), code: 2},
		{words: "issuer show none", code: 3},
		{words: "issuer delete none --yes", code: 3},
		{words: "ca put mesh --match dns=a --principal a --bundle " + file(value("no certificate")), code: 2},
		{words: "ca show none", code: 3},
		{words: "ca delete none --yes", code: 3},
		{words: "mfa enroll totp", code: 4},
		{words: "mfa confirm fct_aaaaaaaaaaaaaaaa", stdin: value("wrong code"), code: 4},
		{words: "mfa recovery", code: 4},
		{words: "mfa remove fct_aaaaaaaaaaaaaaaa --yes", code: 4},
		{words: "mfa verify", stdin: value("code"), code: 4},
		{words: "password", stdin: value("old password"), code: 2},
		{words: "principal password nobody", stdin: value("new password"), code: 3},
		{words: "policy put canary", stdin: value("no policy"), code: 1},
		{words: "policy test - --policy canary=" + file(value("no draft")), stdin: `{"cases":[{"principal":"x","kind":"person","action":"audit","expect":"deny"}]}`, code: 1},
		{words: "policy test -", stdin: `{"cases":"` + value("no cases"), code: 2},
		{words: "policy get canary", code: 3},
		{words: "access explain --denial none", code: 3},
	} {
		do(cmd)
	}

	// What works. LAST is the id of the credential made last.
	last := ""
	binary := value("binary") + "\xff\x00"
	imported, _ := json.Marshal(map[string]string{"imported/a": value("imported")})
	for _, cmd := range []typed{
		{words: "put works", stdin: value("works")},
		{words: "put works --json", stdin: value("works as JSON")},
		{words: "put works/hybrid --algorithm hybrid-quantum --tag a=b", stdin: value("hybrid")},
		{words: "put works/binary", stdin: binary},
		{words: "put works/api-key", stdin: value("api-key")},
		{words: "put works/file --file " + file(value("file"))},
		{words: "get works", shows: true},
		{words: "get works --json", shows: true},
		{words: "rotate works/api-key"},
		{words: "get works/api-key", shows: true},
		{words: "rotation set works/api-key --rotator api-key --schedule 7d"},
		{words: "rotate works/api-key --generate --wait"},
		{words: "get works/api-key --json", shows: true},
		{words: "rotation get works/api-key --json"},
		{words: "rotation status works/api-key"},
		{words: "rotation history works/api-key --json"},
		{words: "rotation consumers works/api-key --json"},
		{words: "rotation repair works/api-key", code: 1},
		{words: "rotation pause works/api-key"},
		{words: "rotation resume works/api-key"},
		{words: "rotation remove works/api-key"},
		{words: "list --json"},
		{words: "due"},
		{words: "describe works --json"},
		{words: "versions works"},
		{words: "update works --description text"},
		{words: "stage move works mine --to 1"},
		{words: "stage remove works mine"},
		{words: "run --prefix works/api -- true"},
		{words: "run --watch --prefix works/api -- true"},
		{words: "import - --format json --dry-run", stdin: string(imported)},
		{words: "import - --format json --json", stdin: string(imported)},
		{words: "import aws --filter name=works --prefix copied/ --dry-run", env: source},
		{words: "import aws --filter name=works --prefix copied/ --json", env: source},
		{words: "export --format json --yes", shows: true},
		{words: "export --prefix works/hybrid --yes", shows: true},
		{words: "delete works --yes"},
		{words: "restore works"},
		{words: "delete works/file --purge --yes"},
		{words: "token list"},
		{words: "principal create canary --service web --grant reader"},
		{words: "principal update canary --grant reader=works/* --json"},
		{words: "token create canary --json", shows: true},
		{words: "token rotate LAST --overlap 1h --json", shows: true},
		{words: "token revoke LAST"},
		{words: "token revoke tok_aaaaaaaaaaaaaaaa", code: 3},
		{words: "accesskey create canary --json", shows: true},
		{words: "accesskey rotate LAST --json", shows: true},
		{words: "accesskey list --json"},
		{words: "accesskey revoke LAST"},
		{words: "webhook create http://127.0.0.1:9/canary --prefix works --json", shows: true},
		{words: "webhook list --json"},
		{words: "webhook get LAST"},
		{words: "webhook test LAST --json"},
		{words: "webhook update LAST --pause"},
		{words: "webhook delete LAST --yes"},
		{words: "policy put canary", stdin: `forbid(principal == Person::"nobody", action, resource);`},
		{words: "policy get canary"},
		{words: "policy show canary"},
		{words: "policy list --json"},
		{words: "policy test -", stdin: `{"cases":[{"principal":"x","kind":"person","action":"audit","expect":"deny"}]}`},
		{words: "policy schema"},
		{words: "policy delete canary --yes"},
		{words: "settings set --mfa-window 10m"},
		{words: "settings show --json"},
		{words: "access explain --principal admin --action read --secret works"},
		{words: "access who --secret works --json"},
		{words: "access review --format csv"},
		{words: "principal list --json"},
		{words: "principal show canary"},
		{words: "principal disable canary"},
		{words: "principal enable canary"},
		{words: "principal delete canary --yes"},
		{words: "issuer list --json"},
		{words: "ca list --json"},
		{words: "mfa list --json", code: 4},
		{words: "key rotate"},
		{words: "audit list --json"},
		{words: "audit checkpoint", env: operator},
		{words: "audit proof --index 0", env: append(operator, "FASTNESS_TENANT=")},
		{words: "audit redact --secret works --yes"},
		{words: "tenant create canary --json", shows: true, env: operator},
		{words: "tenant list", env: operator},
		{words: "tenant show canary", env: operator},
		{words: "quota set canary --secrets 10", env: operator},
		{words: "quota show canary --json", env: operator},
		{words: "tenant suspend canary", env: operator},
		{words: "tenant resume canary", env: operator},
		{words: "tenant erase canary --yes", env: operator},
		{words: "audit keys rotate", env: append(operator, "FASTNESS_TENANT=")},
		{words: "reserve release --store sqlite:" + s.dir},
		{words: "backup create " + saved + " --store sqlite:" + s.dir + " --recipient " + pair.recipient + " --recovery-recipient " + pair.recipient, env: rooted},
		{words: "backup verify " + saved + " --identity " + identity, env: rooted},
		{words: "backup verify " + saved + " --identity " + identity},
		{words: "backup restore " + saved + " --identity " + identity + " --store sqlite:" + c.t.TempDir() + " --json --credentials keep", env: rooted},
		{words: "version"},
		{words: "docs"},
	} {
		cmd.words = strings.ReplaceAll(cmd.words, "LAST", last)
		out := do(cmd)
		switch {
		case cmd.words == "get works/api-key":
			c.learned(kindValue, "made by the server", out)
		case cmd.words == "get works/api-key --json":
			c.learned(kindValue, "made by the worker", []byte(jsonField(c.t, out, "value")))
		case strings.HasPrefix(cmd.words, "token create"), strings.HasPrefix(cmd.words, "token rotate"):
			c.learned("token", "made by command", []byte(jsonField(c.t, out, "token")))
			last = jsonField(c.t, out, "id")
		case strings.HasPrefix(cmd.words, "accesskey create"), strings.HasPrefix(cmd.words, "accesskey rotate"):
			c.learned("access-key secret", "made by command", []byte(jsonField(c.t, out, "secretAccessKey")))
			last = jsonField(c.t, out, "id")
		case strings.HasPrefix(cmd.words, "webhook create"):
			c.learned("webhook secret", "made by command", []byte(jsonField(c.t, out, "signingSecret")))
			last = jsonField(c.t, out, "id")
		case strings.HasPrefix(cmd.words, "tenant create"):
			c.learned("token", "of canary", []byte(jsonField(c.t, out, "token")))
			c.learned("access-key secret", "of canary", []byte(jsonField(c.t, out, "secretAccessKey")))
		}
	}
	c.throughFactors(do)
	for words, path := range map[string]string{"audit keys": keys, "audit export": bundle} {
		if err := os.WriteFile(path, do(typed{words: words, env: []string{"FASTNESS_TOKEN=" + s.operator, "FASTNESS_TENANT="}}), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
	do(typed{words: fmt.Sprintf("audit verify --keys %s %s", keys, bundle)})
	// It goes on until it is stopped.
	tail := start(c.t, clientEnv(s.url, s.tokens[0], s.tenant), "audit", "tail", "--after", "0", "--json")
	line, err := bufio.NewReader(tail.stdout).ReadBytes('\n')
	if err != nil {
		c.t.Errorf("audit tail: %v", err)
	}
	tail.kill()
	c.saw("stdout of audit tail", line)
	c.saw("stderr of audit tail", []byte(tail.stderr.String()))
	ran["audit tail"], ran["dev"] = true, true // dev has a test of its own
	do(typed{words: "audit archive " + filepath.Join(c.t.TempDir(), "archive") + " --before 1ms --yes --json", env: []string{"FASTNESS_TOKEN=" + s.operator, "FASTNESS_TENANT="}})

	for _, name := range c.commands() {
		if !ran[name] {
			c.t.Errorf("the command %q was not run", name)
		}
	}
}

// commands lists the commands that the reference has, but not groups of them.
func (c *canaries) commands() []string {
	c.t.Helper()
	names := map[string]bool{}
	for line := range strings.Lines(string(run(c.t, nil, nil, "docs").succeed(c.t))) {
		rest, ok := strings.CutPrefix(line, "### fastness ")
		if !ok {
			continue
		}
		words := strings.Fields(rest)
		for i, w := range words {
			if w != strings.ToLower(w) || strings.ContainsAny(w, "[-") {
				words = words[:i]
				break
			}
		}
		names[strings.Join(words, " ")] = true
	}
	delete(names, "completion") // a script that knows nothing
	for name := range names {
		if group, _, ok := strings.Cut(name, " "); ok {
			delete(names, group)
		}
	}
	return slices.Sorted(maps.Keys(names))
}

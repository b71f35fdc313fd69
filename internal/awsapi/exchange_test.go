package awsapi_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fastness/internal/awsapi"
	"fastness/internal/secret"
)

var update = flag.Bool("update", false, "write the answers of testdata/exchanges anew")

// TestExchanges plays the files of testdata/exchanges, each a behaviour, against
// a fresh tenant. A line "> Operation BODY" is a request, the line "< STATUS BODY"
// behind it the answer: what differs from run to run stands as ACCOUNT, SUFFIX,
// UUID and TIME, and members are sorted. "#" begins a comment.
func TestExchanges(t *testing.T) {
	files, err := filepath.Glob("testdata/exchanges/*.txt")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	s := newService(t)
	seen := map[string]bool{}
	for i, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			s := &service{t: t, vault: s.vault, http: s.http}
			c := s.tenant(tenantName(i))
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for line := range strings.Lines(string(text)) {
				line = strings.TrimSuffix(line, "\n")
				request, ok := strings.CutPrefix(line, "> ")
				if !ok {
					if !strings.HasPrefix(line, "< ") {
						out = append(out, line)
					}
					continue
				}
				operation, body, _ := strings.Cut(request, " ")
				seen[operation] = true
				a := s.do(s.signed(c, operation, strings.ReplaceAll(body, "ACCOUNT", c.account)))
				out = append(out, line, fmt.Sprintf("< %d %s", a.status, steady(t, a.body, c.account)))
			}
			got := strings.Join(out, "\n") + "\n"
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(strings.Split(string(text), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
		})
	}
	for _, name := range awsapi.Operations() {
		if !seen[name] {
			t.Errorf("%s is in no file", name)
		}
	}
}

var (
	suffixForm = regexp.MustCompile(`(:secret:[A-Za-z0-9/_+=.@!-]+)-[A-Za-z0-9]{6}(\.?"| )`)
	uuidForm   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	timeForm   = regexp.MustCompile(`Date":[0-9]+\.[0-9]{3}`)
	tokenForm  = regexp.MustCompile(`"NextToken":"[^"]+"`)
	randomForm = regexp.MustCompile(`"RandomPassword":"([^"\\]|\\.)*"`)
)

// steady replaces what differs from run to run.
func steady(t *testing.T, body, account string) string {
	t.Helper()
	body = timeForm.ReplaceAllString(body, `Date":"TIME"`)
	var v any
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	body = strings.TrimSpace(b.String())
	body = suffixForm.ReplaceAllString(body, `$1-SUFFIX$2`)
	body = strings.ReplaceAll(body, account, "ACCOUNT")
	body = tokenForm.ReplaceAllString(body, `"NextToken":"TOKEN"`)
	body = randomForm.ReplaceAllString(body, `"RandomPassword":"RANDOM"`)
	return uuidForm.ReplaceAllStringFunc(body, func(id string) string {
		if slices.Contains([]string{tokenA, tokenB, tokenC}, id) {
			return id
		}
		return "UUID"
	})
}

func tenantName(i int) secret.TenantName { return secret.TenantName(fmt.Sprintf("tenant-%d", i)) }

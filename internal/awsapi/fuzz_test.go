package awsapi_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fastness/internal/awsapi"
)

// FuzzRequest: whatever a signed request holds, the answer is the operation's or
// an error of the protocol, and never a fault of ours.
func FuzzRequest(f *testing.F) {
	files, err := filepath.Glob("testdata/exchanges/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if request, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "> "); ok {
				operation, body, _ := strings.Cut(request, " ")
				f.Add(operation, body)
			}
		}
	}
	s := newService(f, "eu-west-1")
	c := s.tenant("acme")
	c.create(f, "s", "1")
	f.Fuzz(func(t *testing.T, operation, body string) {
		if !slices.Contains(awsapi.Operations(), operation) {
			return // a target is text of a header
		}
		s := &service{t: t, vault: s.vault, http: s.http}
		a := s.do(s.signed(c, operation, body))
		if !json.Valid([]byte(a.body)) || a.status != http.StatusOK && a.status != http.StatusBadRequest {
			t.Errorf("%s %q: %d %s", operation, body, a.status, a.body)
		}
		if a.status != http.StatusOK {
			a.refusal(t)
		}
	})
}

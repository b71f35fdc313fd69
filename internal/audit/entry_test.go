package audit_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fastness/internal/audit"
)

var base = time.Date(2026, 11, 23, 20, 0, 0, 123456789, time.UTC)

func sample() audit.Entry {
	return audit.Entry{
		Timestamp: base, Action: audit.Rotate, SecretName: "db/password", TenantID: "acme",
		UserID: "alice", IPAddress: "192.0.2.7", UserAgent: "curl/8.5", Result: audit.Failed,
		Error: "no such label", CorrelationID: "0190-ab", Version: "3", OldVersion: "2", NewVersion: "3",
		Count: 7, Nonce: "n-1", TreeSize: 99, Detail: "kek 1 -> 2",
	}
}

func TestEntryJSON(t *testing.T) {
	e := sample()
	e.Index, e.Seq = 41, 5
	got, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"index":41,"seq":5,"timestamp":"2026-11-23T20:00:00.123456789Z","action":"rotate",` +
		`"secretName":"db/password","tenantId":"acme","userId":"alice","ipAddress":"192.0.2.7",` +
		`"userAgent":"curl/8.5","result":"failed","error":"no such label","correlationId":"0190-ab",` +
		`"version":"3","oldVersion":"2","newVersion":"3","count":7,"nonce":"n-1","treeSize":99,"detail":"kek 1 -\u003e 2"}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var back audit.Entry
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(e, back); d != "" {
		t.Error(d)
	}
}

func TestEntryJSONRefusesOtherTimes(t *testing.T) {
	for _, s := range []string{"2026-11-23T20:00:00Z", "2026-11-23T21:00:00.123456789+01:00", "2026-11-23T20:00:00,123456789Z", ""} {
		var e audit.Entry
		if err := json.Unmarshal([]byte(`{"timestamp":"`+s+`"}`), &e); err == nil {
			t.Errorf("%q was read", s)
		}
	}
}

func TestClean(t *testing.T) {
	tests := []struct{ in, want string }{
		{"plain", "plain"},
		{"", ""},
		{"grüße", "grüße"},
		{"a\nb\tc\x00d\x7f", "a\ufffdb\ufffdc\ufffdd\ufffd"},
		{"bad\xff\xfe", "bad\ufffd\ufffd"},
		{"esc\x1b[2J", "esc\ufffd[2J"},
		{"nel\u0085sep\u2028\u2029", "nel\ufffdsep\ufffd\ufffd"},
		{"left\u202eright\u2066", "left\ufffdright\ufffd"},
		{strings.Repeat("a", 30), strings.Repeat("a", 20)},
		{strings.Repeat("€", 7), strings.Repeat("€", 6)},
	}
	for _, tt := range tests {
		if got := audit.Clean(tt.in, 20); got != tt.want {
			t.Errorf("Clean(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestCleanAlwaysFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := string(rapid.SliceOf(rapid.Byte()).Draw(t, "in"))
		max := rapid.IntRange(0, 40).Draw(t, "max")
		out := audit.Clean(in, max)
		if len(out) > max || !utf8.ValidString(out) || audit.Clean(out, max) != out {
			t.Fatalf("Clean(%q, %d) = %q", in, max, out)
		}
	})
}

func TestFilter(t *testing.T) {
	e := sample()
	tests := []struct {
		name string
		f    audit.Filter
		want bool
	}{
		{"everything", audit.Filter{}, true},
		{"all fields", audit.Filter{Secret: "db/password", Principal: "alice", Action: audit.Rotate,
			Result: audit.Failed, Correlation: "0190-ab", From: base, To: base.Add(1)}, true},
		{"other secret", audit.Filter{Secret: "db"}, false},
		{"other principal", audit.Filter{Principal: "bob"}, false},
		{"other action", audit.Filter{Action: audit.Read}, false},
		{"other result", audit.Filter{Result: audit.Success}, false},
		{"other correlation", audit.Filter{Correlation: "x"}, false},
		{"later", audit.Filter{From: base.Add(1)}, false},
		{"the end is not included", audit.Filter{To: base}, false},
	}
	for _, tt := range tests {
		if got := tt.f.Match(e); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

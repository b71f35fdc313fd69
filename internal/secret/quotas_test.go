package secret_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fastness/internal/secret"
)

func TestQuotasValidate(t *testing.T) {
	for _, tc := range []struct {
		q     secret.Quotas
		field string // of the error; empty for none
		code  *secret.Error
	}{
		{secret.Quotas{}, "", nil},
		{secret.Quotas{Secrets: 1, Versions: 1, Bytes: 1, Principals: 1, RequestRate: 1, RequestBurst: 60}, "", nil},
		{secret.Quotas{Secrets: 1 << 53, Versions: 1 << 53, Bytes: 1 << 53, Principals: 1 << 53, RequestRate: 1_000_000, RequestBurst: 60_000_000}, "", nil},
		{secret.Quotas{Secrets: -1}, "secrets", secret.ErrLimit},
		{secret.Quotas{Versions: -1 << 63}, "versions", secret.ErrLimit},
		{secret.Quotas{Bytes: 1<<53 + 1}, "bytes", secret.ErrLimit},
		{secret.Quotas{Principals: 1<<63 - 1}, "principals", secret.ErrLimit},
		{secret.Quotas{RequestRate: 1_000_001}, "requestRate", secret.ErrLimit},
		{secret.Quotas{RequestBurst: 1}, "requestBurst", secret.ErrInvalid},
		{secret.Quotas{RequestRate: 2, RequestBurst: 121}, "requestBurst", secret.ErrLimit},
	} {
		err := tc.q.Validate()
		if tc.field == "" {
			if err != nil {
				t.Errorf("%+v: %v", tc.q, err)
			}
			continue
		}
		if !errors.Is(err, tc.code) || secret.Of(err).Field != tc.field {
			t.Errorf("%+v: %v, want %s in %s", tc.q, err, tc.code.Code, tc.field)
		}
	}
}

// The tighter binds, whoever set it; nothing binds where nobody set anything.
func TestQuotasWithin(t *testing.T) {
	for _, tc := range []struct{ own, parent, want secret.Quotas }{
		{},
		{secret.Quotas{Secrets: 5}, secret.Quotas{}, secret.Quotas{Secrets: 5}},
		{secret.Quotas{}, secret.Quotas{Secrets: 5}, secret.Quotas{Secrets: 5}},
		{secret.Quotas{Secrets: 5, Bytes: 9}, secret.Quotas{Secrets: 7, Bytes: 8, Principals: 1}, secret.Quotas{Secrets: 5, Bytes: 8, Principals: 1}},
		{secret.Quotas{RequestRate: 10}, secret.Quotas{}, secret.Quotas{RequestRate: 10, RequestBurst: 10}},
		{secret.Quotas{RequestRate: 10, RequestBurst: 100}, secret.Quotas{RequestRate: 20}, secret.Quotas{RequestRate: 10, RequestBurst: 20}},
		{secret.Quotas{RequestRate: 10}, secret.Quotas{RequestRate: 5, RequestBurst: 50}, secret.Quotas{RequestRate: 5, RequestBurst: 10}},
		{secret.Quotas{}, secret.Quotas{RequestRate: 5, RequestBurst: 50}, secret.Quotas{RequestRate: 5, RequestBurst: 50}},
	} {
		own, parent := tc.own, tc.parent
		if diff := cmp.Diff(tc.want, own.Within(parent)); diff != "" {
			t.Errorf("%+v within %+v:\n%s", tc.own, tc.parent, diff)
		}
		if own != tc.own || parent != tc.parent {
			t.Error("Within changed what it was given")
		}
	}
}

// Growth past a quota is refused; a quota that was lowered takes nothing away.
func TestQuotasAllow(t *testing.T) {
	q := secret.Quotas{Secrets: 3, Versions: 10, Bytes: 100, Principals: 2, RequestRate: 1}
	for _, tc := range []struct {
		before, after secret.Use
		want          string
	}{
		{secret.Use{}, secret.Use{Secrets: 3, Versions: 10, Bytes: 100, Principals: 2}, ""},
		{secret.Use{Secrets: 3}, secret.Use{Secrets: 4}, "secrets: the quota is 3: 3 in use, 1 more asked for"},
		{secret.Use{Secrets: 9}, secret.Use{Secrets: 8, Bytes: 100}, ""},
		{secret.Use{Secrets: 9}, secret.Use{Secrets: 9, Bytes: 101}, "bytes: the quota is 100: 0 in use, 101 more asked for"},
		{secret.Use{Versions: 10}, secret.Use{Versions: 11}, "versions: the quota is 10: 10 in use, 1 more asked for"},
		{secret.Use{Principals: 5}, secret.Use{Principals: 6}, "principals: the quota is 2: 5 in use, 1 more asked for"},
	} {
		err := q.Allow(tc.before, tc.after)
		if got := fmt.Sprint(err); tc.want == "" && err != nil || tc.want != "" && got != tc.want {
			t.Errorf("%+v to %+v: %v, want %q", tc.before, tc.after, err, tc.want)
		}
		if err := (secret.Quotas{}).Allow(tc.before, tc.after); err != nil {
			t.Errorf("without quotas: %v", err)
		}
	}
	if e := secret.Of(q.Allow(secret.Use{Secrets: 3}, secret.Use{Secrets: 5})); !errors.Is(e, secret.ErrQuota) || *e.Usage != (secret.Usage{Limit: 3, Used: 3}) {
		t.Errorf("error %+v", e)
	}
}

// All names every field, once, as its JSON does.
func TestQuotasAll(t *testing.T) {
	var q secret.Quotas
	want := map[string]int64{}
	for name, v := range q.All() {
		*v = int64(len(want)) + 1
		want[name] = *v
	}
	text, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for range q.All() {
		break // a walk may end early
	}
}

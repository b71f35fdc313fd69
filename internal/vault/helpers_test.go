package vault_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/vault"
)

var ctx = context.Background()

// must returns v, or ends the test.
func must[T any](v T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(describe(err))
		}
		return v
	}
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(describe(err))
	}
}

// describe is an error's text with its cause, for the log of a failed test.
func describe(err error) string {
	if cause := secret.Of(err).Cause; cause != nil {
		return err.Error() + " (" + cause.Error() + ")"
	}
	return err.Error()
}

// want expects an error of a code.
func want(tb testing.TB, err error, sentinel *secret.Error) {
	tb.Helper()
	if !errors.Is(err, sentinel) {
		tb.Errorf("error %v, want code %s", err, sentinel.Code)
	}
}

// wantText expects an error of a code with exactly this text.
func wantText(tb testing.TB, err error, sentinel *secret.Error, text string) {
	tb.Helper()
	if !errors.Is(err, sentinel) || err.Error() != text {
		tb.Errorf("error %v, want code %s and text %q", err, sentinel.Code, text)
	}
}

func ptr[T any](v T) *T { return &v }

// value makes a buffer that is released with the test.
func value(tb testing.TB, text string) *secretbuf.Buffer {
	tb.Helper()
	b := secretbuf.Take([]byte(text))
	tb.Cleanup(b.Release)
	return b
}

// put stores p with a value.
func put(tb testing.TB, s *vault.Session, name secret.Name, text string, p vault.Put) (vault.Written, error) {
	tb.Helper()
	p.Value = value(tb, text)
	return s.Put(ctx, name, p)
}

// get reads a value, or returns the error.
func get(s *vault.Session, name secret.Name, sel store.Selector) (string, error) {
	r, err := s.Get(ctx, name, sel)
	if err != nil {
		return "", err
	}
	defer r.Value.Release()
	return string(r.Value.Bytes()), nil
}

// wantValue expects a value.
func wantValue(tb testing.TB, s *vault.Session, name secret.Name, sel store.Selector, text string) {
	tb.Helper()
	if got, err := get(s, name, sel); err != nil || got != text {
		tb.Errorf("%s %+v reads %q, %v; want %q", name, sel, got, err, text)
	}
}

// local is the test's own caller.
func local(f *fastnesstest.Fixture) *vault.Caller {
	return f.Local(vault.Origin{Address: "127.0.0.1", UserAgent: "vault_test", CorrelationID: "test"})
}

// caller makes a token with one role over patterns, and its caller.
func caller(tb testing.TB, f *fastnesstest.Fixture, tenant secret.TenantName, role policy.Role, patterns ...string) *vault.Caller {
	tb.Helper()
	return f.Caller(tb, tenant, vault.TokenSpec{Principal: string(role), Grants: []policy.Grant{{Role: role, Patterns: patterns}}})
}

// entries returns all entries of a part of the log, oldest first. The look
// itself adds one that is not among them.
func entries(tb testing.TB, f *fastnesstest.Fixture, tenant secret.TenantName, filter audit.Filter) []audit.Entry {
	tb.Helper()
	var all []audit.Entry
	for cursor := ""; ; {
		page, err := f.Audit(local(f), tenant).List(ctx, vault.AuditQuery{Filter: filter, Limit: secret.MaxPage, Cursor: cursor})
		check(tb, err)
		all = append(all, page.Items...)
		if cursor = page.Next; cursor == "" {
			return all
		}
	}
}

// last returns the newest entry of a part of the log.
func last(tb testing.TB, f *fastnesstest.Fixture, tenant secret.TenantName) audit.Entry {
	tb.Helper()
	page, err := f.Audit(local(f), tenant).List(ctx, vault.AuditQuery{Limit: 1, Newest: true})
	check(tb, err)
	if len(page.Items) == 0 {
		tb.Fatal("no entry")
	}
	return page.Items[0]
}

// names lists the names of a whole list, in pages of a size.
func names(tb testing.TB, s *vault.Session, q vault.ListQuery) []secret.Name {
	tb.Helper()
	var out []secret.Name
	for {
		page, err := s.List(ctx, q)
		check(tb, err)
		for _, info := range page.Items {
			out = append(out, info.Name)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return out
		}
	}
}

// export writes a bundle.
func export(tb testing.TB, a *vault.Audit, o vault.ExportOptions) []byte {
	tb.Helper()
	var b bytes.Buffer
	check(tb, a.Export(ctx, &b, o))
	return b.Bytes()
}

// verify checks a bundle against the log's keys.
func verify(tb testing.TB, f *fastnesstest.Fixture, bundle []byte, o audit.Options) *audit.Report {
	tb.Helper()
	keys, err := f.Audit(local(f), "").Keys(ctx)
	check(tb, err)
	report, err := audit.Verify(bytes.NewReader(bundle), keys, o)
	if err != nil {
		tb.Fatalf("verifying: %v", err)
	}
	return report
}

func equal[T comparable](tb testing.TB, what string, got, want []T) {
	tb.Helper()
	if !slices.Equal(got, want) {
		tb.Errorf("%s: %v, want %v", what, got, want)
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

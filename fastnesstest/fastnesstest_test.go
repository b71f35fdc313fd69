package fastnesstest_test

import (
	"bytes"
	"context"
	"testing"

	"fastness"
	"fastness/fastnesstest"
	"fastness/internal/audit"
)

// The thinnest way from end to end: a value in, a value out, a log that verifies.
func TestFixture(t *testing.T) {
	ctx := context.Background()
	f := fastnesstest.Open(t, nil)
	f.Tenant(t, "acme")
	caller := f.Caller(t, "acme", fastness.TokenSpec{})
	s := f.Session(caller, "")
	fastnesstest.Put(t, s, "db/password", "one")
	fastnesstest.Put(t, s, "db/password", "two")
	if got := fastnesstest.Get(t, s, "db/password", fastness.Selector{}); got != "two" {
		t.Errorf("current value is %q", got)
	}
	if got := fastnesstest.Get(t, s, "db/password", fastness.Selector{Label: fastness.Previous}); got != "one" {
		t.Errorf("previous value is %q", got)
	}
	keys, err := f.Audit(caller, "").Keys(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var bundle bytes.Buffer
	if err := f.Audit(caller, "").Export(ctx, &bundle, fastness.ExportOptions{Nonce: "n"}); err != nil {
		t.Fatal(err)
	}
	report, err := audit.Verify(&bundle, keys, audit.Options{Nonce: "n"})
	if err != nil {
		t.Fatalf("verifying: %v", err)
	}
	if report.Entries != 9 {
		t.Errorf("the bundle has %d entries, want 9", report.Entries)
	}
}

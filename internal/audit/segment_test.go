package audit_test

import (
	"bytes"
	"errors"
	"testing"

	"fastness/internal/audit"
)

// segment writes the entries from an index up to another one.
func (f *fixture) segment(t testing.TB, from, to int64) []byte {
	t.Helper()
	head, err := audit.NewSegmentHeader(origin, from, to, f.tiles)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := audit.NewSegmentWriter(&out, head, f.hashes())
	if err != nil {
		t.Fatal(err)
	}
	for i := from; i < to; i++ {
		if err := w.Add(f.places[i], f.recs[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(f.checkpoint(t), f.hashes()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func newSegmentVerifier(t testing.TB, f *fixture) *audit.SegmentVerifier {
	t.Helper()
	v, err := audit.NewSegmentVerifier(f.keys)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestSegments: segments verify one after another and each alone, wherever within
// a tile they begin and end.
func TestSegments(t *testing.T) {
	f := newFixture(t)
	f.fill(t, 600)
	bounds := []int64{0, 1, 255, 256, 257, 300, 512, 599, 600}
	all := newSegmentVerifier(t, f)
	for i, to := range bounds[1:] {
		from := bounds[i]
		text := f.segment(t, from, to)
		for name, v := range map[string]*audit.SegmentVerifier{"behind the others": all, "alone": newSegmentVerifier(t, f)} {
			report, err := v.Verify(bytes.NewReader(text))
			if err != nil {
				t.Fatalf("%d to %d, %s: %v", from, to, name, err)
			}
			if report.FromIndex != from || report.ToIndex != to || report.Size != 600 || report.Origin != origin {
				t.Errorf("%d to %d, %s: %+v", from, to, name, report)
			}
		}
	}
}

// TestSegmentsGoOn: segments in another order, one left out, and one of another log
// are no continuation.
func TestSegmentsGoOn(t *testing.T) {
	f := newFixture(t)
	f.fill(t, 30)
	g := f.fork(t, 20)
	g.fill(t, 20)
	first := f.segment(t, 0, 10)
	for name, second := range map[string][]byte{
		"the same again": first,
		"a gap":          f.segment(t, 11, 20),
		"a fork":         g.segment(t, 5, 20),
	} {
		v := newSegmentVerifier(t, f)
		if _, err := v.Verify(bytes.NewReader(first)); err != nil {
			t.Fatal(err)
		}
		var fault *audit.VerifyError
		if _, err := v.Verify(bytes.NewReader(second)); !errors.As(err, &fault) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzVerifySegment(f *testing.F) {
	x := newFixture(f)
	x.fill(f, 9)
	first, second := x.segment(f, 0, 5), x.segment(f, 5, 9)
	f.Add(first)
	f.Add(second)
	f.Add(second[:len(second)/2])
	f.Add(bytes.Replace(second, []byte("alice"), []byte("mallory"), 1))
	f.Add([]byte(`{"format":"fastness-audit-segment/1"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := newSegmentVerifier(t, x).Verify(bytes.NewReader(b))
		// Deleting a personal part is a redaction, which holds.
		redacted := bytes.Contains(b, []byte(`"redacted":true`))
		if err == nil && !redacted && !bytes.Equal(b, first) && !bytes.Equal(b, second) {
			t.Fatal("another segment was accepted")
		}
	})
}

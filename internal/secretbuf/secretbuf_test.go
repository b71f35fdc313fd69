package secretbuf_test

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/iotest"

	"fastness/internal/secretbuf"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestTakeMovesTheBytes(t *testing.T) {
	src := []byte("correct horse")
	b := secretbuf.Take(src)
	defer b.Release()
	if got := b.Bytes(); !bytes.Equal(got, []byte("correct horse")) || b.Len() != 13 {
		t.Errorf("the buffer holds %q, %d bytes", got, b.Len())
	}
	if !bytes.Equal(src, make([]byte, 13)) {
		t.Errorf("the source still holds %q", src)
	}
	if c := cap(b.Bytes()); c != 13 {
		t.Errorf("the loan has capacity %d: an append would run on in it", c)
	}
}

func TestReleaseWipesOnceAndForAll(t *testing.T) {
	b := secretbuf.Take([]byte("correct horse"))
	loan, memory := b.Bytes(), secretbuf.Memory(b)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(b.Release)
	}
	wg.Wait()
	if !bytes.Equal(loan, make([]byte, 13)) || !allZero(memory) {
		t.Errorf("after Release the memory holds %q", memory)
	}
	if b.Bytes() != nil || b.Len() != 0 {
		t.Errorf("a released buffer lends %q", b.Bytes())
	}
	b.Truncate(0)
}

func TestNilAndZeroBuffersAreReleased(t *testing.T) {
	for _, b := range []*secretbuf.Buffer{nil, {}} {
		b.Release()
		b.Truncate(0)
		if b.Bytes() != nil || b.Len() != 0 || b.Clone().Bytes() != nil {
			t.Error("a buffer without memory lends bytes")
		}
		if n, err := b.WriteTo(io.Discard); n != 0 || err != nil {
			t.Errorf("WriteTo = %d, %v", n, err)
		}
	}
}

func TestTruncateWipesTheTail(t *testing.T) {
	b := secretbuf.Take([]byte("correct horse"))
	b.Truncate(7)
	if got := secretbuf.Memory(b); !bytes.Equal(got, []byte("correct\x00\x00\x00\x00\x00\x00")) {
		t.Errorf("the memory holds %q", got)
	}
	if b.Len() != 7 || cap(b.Bytes()) != 7 {
		t.Errorf("length %d, capacity %d", b.Len(), cap(b.Bytes()))
	}
	b.Release()
	if !allZero(secretbuf.Memory(b)) {
		t.Error("Release left bytes")
	}
}

func TestCloneIsIndependent(t *testing.T) {
	a := secretbuf.Take([]byte("one"))
	b := a.Clone()
	if !secretbuf.Equal(a, b) {
		t.Error("the clone differs")
	}
	a.Release()
	if !bytes.Equal(b.Bytes(), []byte("one")) {
		t.Error("the clone went with the original")
	}
}

func TestEqual(t *testing.T) {
	one, same, other := secretbuf.Take([]byte("one")), secretbuf.Take([]byte("one")), secretbuf.Take([]byte("two"))
	gone := secretbuf.New(0)
	gone.Release()
	for _, c := range []struct {
		name string
		a, b *secretbuf.Buffer
		want bool
	}{
		{"same bytes", one, same, true},
		{"other bytes", one, other, false},
		{"other length", one, secretbuf.New(4), false},
		{"both empty", secretbuf.New(0), secretbuf.New(0), true},
		{"nil and nil", nil, nil, false},
		{"released and released", gone, gone, false},
		{"nil and empty", nil, secretbuf.New(0), false},
	} {
		if got := secretbuf.Equal(c.a, c.b); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestWriteTo(t *testing.T) {
	var out bytes.Buffer
	n, err := secretbuf.Take([]byte("correct horse")).WriteTo(&out)
	if n != 13 || err != nil || out.String() != "correct horse" {
		t.Errorf("WriteTo = %d, %v, wrote %q", n, err, out.String())
	}
	broken := errors.New("broken")
	if _, err := secretbuf.New(1).WriteTo(brokenWriter{broken}); !errors.Is(err, broken) {
		t.Errorf("WriteTo hid the error: %v", err)
	}
}

// TestBuilderMatchesBytesBuffer checks random appends against bytes.Buffer,
// and that no array the Builder outgrew keeps a byte.
func TestBuilderMatchesBytesBuffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b secretbuf.Builder
		var want bytes.Buffer
		var outgrown [][]byte
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			piece := rapid.SliceOfN(rapid.ByteRange(1, 255), 0, 100).Draw(t, "piece")
			if before := b.Bytes(); len(before) > 0 {
				outgrown = append(outgrown, before)
			}
			switch rapid.IntRange(0, 4).Draw(t, "how") {
			case 0:
				b.Append(piece...)
			case 1:
				b.AppendString(string(piece))
			case 2:
				copy(b.Extend(len(piece)), piece)
			case 3:
				b.Write(piece)
			case 4:
				b.Grow(len(piece))
				continue
			}
			want.Write(piece)
		}
		if b.Len() != want.Len() || !bytes.Equal(b.Bytes(), want.Bytes()) {
			t.Fatalf("built %q, want %q", b.Bytes(), want.Bytes())
		}
		buf := b.Buffer()
		if b.Len() != 0 || !bytes.Equal(buf.Bytes(), want.Bytes()) {
			t.Fatalf("moved %q, want %q; %d bytes stayed", buf.Bytes(), want.Bytes(), b.Len())
		}
		b.Release()
		if !bytes.Equal(buf.Bytes(), want.Bytes()) {
			t.Fatal("releasing the builder reached the buffer")
		}
		buf.Release()
		for _, old := range outgrown {
			if !allZero(old) {
				t.Fatalf("an outgrown array keeps %q", old)
			}
		}
	})
}

func TestBuilderExtendGivesZeros(t *testing.T) {
	var b secretbuf.Builder
	copy(b.Extend(8), "leftover")
	b.Release()
	b.Append('x')
	if got := b.Extend(8); !allZero(got) || cap(got) != 8 {
		t.Errorf("Extend lent %q with capacity %d", got, cap(got))
	}
}

func TestBuilderRefusesNegativeGrowth(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	new(secretbuf.Builder).Grow(-1)
}

func TestReadAll(t *testing.T) {
	value := bytes.Repeat([]byte("0123456789"), 500)
	for _, r := range []io.Reader{
		bytes.NewReader(value), iotest.OneByteReader(bytes.NewReader(value)), iotest.DataErrReader(bytes.NewReader(value)),
	} {
		b, err := secretbuf.ReadAll(r, len(value))
		if err != nil {
			t.Fatalf("at the limit: %v", err)
		}
		if diff := cmp.Diff(value, b.Bytes()); diff != "" {
			t.Errorf("read other bytes (-want +got):\n%s", diff)
		}
		b.Release()
		if !allZero(secretbuf.Memory(b)) {
			t.Error("Release left bytes in the spare capacity")
		}
	}
	if b, err := secretbuf.ReadAll(bytes.NewReader(nil), 0); err != nil || b.Len() != 0 || b.Bytes() == nil {
		t.Errorf("empty input: %v, %v", b.Bytes(), err)
	}
}

func TestReadAllRefuses(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		r    *spy
		want error
	}{
		{"past the limit", &spy{r: bytes.NewReader(make([]byte, 5001))}, secretbuf.ErrTooLong},
		{"far past the limit", &spy{r: neverEnding('x')}, secretbuf.ErrTooLong},
		{"a failing reader", &spy{r: io.MultiReader(bytes.NewReader([]byte("secret")), iotest.ErrReader(broken))}, broken},
	} {
		b, err := secretbuf.ReadAll(c.r, 5000)
		if b != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.name, b, err, c.want)
		}
		for _, p := range c.r.lent {
			if !allZero(p) {
				t.Errorf("%s: bytes are left in an array lent to the reader", c.name)
			}
		}
		if c.r.read > 16<<10 {
			t.Errorf("%s: %d bytes were read past a limit of 5000", c.name, c.r.read)
		}
	}
	if _, err := secretbuf.ReadAll(liar{}, 10); err == nil {
		t.Error("a reader that claims more than it was given is believed")
	}
}

func allZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

type neverEnding byte

func (c neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c)
	}
	return len(p), nil
}

type liar struct{}

func (liar) Read(p []byte) (int, error) { return len(p) + 1, nil }

// spy remembers the memory that it was lent.
type spy struct {
	r    io.Reader
	lent [][]byte
	read int
}

func (s *spy) Read(p []byte) (int, error) {
	s.lent = append(s.lent, p)
	n, err := s.r.Read(p)
	s.read += n
	return n, err
}

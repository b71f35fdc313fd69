package secretbuf_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"fastness/internal/secretbuf"
)

// pieces is a socket from which bytes come in pieces.
type pieces struct {
	net.Conn
	rest [][]byte
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.rest[0])
	if p.rest[0] = p.rest[0][n:]; len(p.rest[0]) == 0 {
		p.rest = p.rest[1:]
	}
	return n, nil
}

// TestRecords cuts a stream of records into pieces at random, and reads it with
// buffers of random sizes, each full of something old.
func TestRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		var ends []int
		for _, payload := range rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 1, 8).Draw(t, "records") {
			stream = append(stream, 23, 3, 3, byte(len(payload)>>8), byte(len(payload)))
			stream = append(stream, payload...)
			ends = append(ends, len(stream))
		}
		socket := &pieces{}
		for rest := stream; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			socket.rest, rest = append(socket.rest, slices.Clone(rest[:n])), rest[n:]
		}
		r := secretbuf.NewRecords(socket)
		var got []byte
		for {
			p := bytes.Repeat([]byte("old plaintext "), 40)[:rapid.IntRange(1, 500).Draw(t, "buffer")]
			n, err := r.Read(p)
			if slices.ContainsFunc(p[n:], func(c byte) bool { return c != 0 }) {
				t.Fatal("something is left behind what was read")
			}
			next, _ := slices.BinarySearch(ends, len(got)+1)
			if got = append(got, p[:n]...); n > 0 && len(got) > ends[next] {
				t.Fatal("two records came together")
			}
			if errors.Is(err, io.EOF) {
				break
			}
		}
		if !bytes.Equal(got, stream) {
			t.Fatalf("read %x of %x", got, stream)
		}
	})
}

func TestRecordsEnd(t *testing.T) {
	r := secretbuf.NewRecords(&pieces{rest: [][]byte{[]byte("never read")}})
	r.End()
	p := []byte("plaintext")
	if n, err := r.Read(p); n != 0 || !errors.Is(err, io.EOF) || !bytes.Equal(p, make([]byte, len(p))) {
		t.Errorf("read %d, %v; the buffer holds %q", n, err, p)
	}
}

// TestRecordsBelowTLS finds out whether crypto/tls has the habits on which
// Records relies: while the next Read waits, all that was read before is gone.
func TestRecordsBelowTLS(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	watch := &watched{Conn: near, waits: make(chan struct{}, 100)}
	client := tls.Client(secretbuf.NewRecords(watch), &tls.Config{InsecureSkipVerify: true})
	together := &batch{Conn: far}
	server := tls.Server(together, &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
	secretText := bytes.Repeat([]byte("correct horse battery staple "), 500)
	go func() {
		server.Handshake()
		together.hold = true
		for range 3 {
			server.Write(secretText)
		}
		together.flush()
		io.Copy(io.Discard, server)
	}()
	got := make([]byte, 3*len(secretText))
	if _, err := io.ReadFull(client, got); err != nil {
		t.Fatal(err)
	}
	for len(watch.waits) > 0 {
		<-watch.waits
	}
	go client.Read(make([]byte, 1))
	<-watch.waits
	for _, lent := range watch.lent {
		if bytes.Contains(lent[:cap(lent)], secretText[:16]) {
			t.Error("plaintext is left in a buffer of crypto/tls")
		}
	}
}

// certificate makes one that is good enough for who does not look.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}

// batch sends records together.
type batch struct {
	net.Conn
	hold bool
	b    bytes.Buffer
}

func (b *batch) Write(p []byte) (int, error) {
	if b.hold {
		return b.b.Write(p)
	}
	return b.Conn.Write(p)
}

func (b *batch) flush() { b.Conn.Write(b.b.Bytes()) }

// watched keeps what it is lent.
type watched struct {
	net.Conn
	lent  [][]byte
	waits chan struct{}
}

func (w *watched) Read(p []byte) (int, error) {
	w.lent = append(w.lent, p)
	w.waits <- struct{}{}
	return w.Conn.Read(p)
}

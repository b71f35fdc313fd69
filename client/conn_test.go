package client_test

import (
	"bytes"
	"io"
	"net"
	"testing"

	"fastness/client"
)

// TestConnectionClearsBuffers follows a reply and a request through buffers
// such as net/http keeps for as long as a connection lives.
func TestConnectionClearsBuffers(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	c := client.Wiping(near)
	secretText := []byte("correct horse battery staple")

	go far.Write(secretText)
	buffer := make([]byte, 64)
	if n, err := c.Read(buffer); err != nil || !bytes.Equal(buffer[:n], secretText) {
		t.Fatalf("read %q, %v", buffer[:n], err)
	}
	go far.Write([]byte("."))
	if _, err := c.Read(buffer); err != nil {
		t.Fatal(err)
	}
	if want := append([]byte("."), make([]byte, 63)...); !bytes.Equal(buffer, want) {
		t.Errorf("after the next read the buffer holds %q", buffer)
	}

	got := make(chan []byte)
	receive := func() { b := make([]byte, len(secretText)); io.ReadFull(far, b); got <- b }
	go receive()
	out := bytes.Clone(secretText)
	if _, err := c.Write(out); err != nil {
		t.Fatal(err)
	}
	if sent := <-got; !bytes.Equal(sent, secretText) {
		t.Errorf("sent %q", sent)
	}
	if !bytes.Equal(out, make([]byte, len(out))) {
		t.Errorf("after the write the buffer holds %q", out)
	}

	go receive()
	if n, err := c.(io.ReaderFrom).ReadFrom(bytes.NewReader(secretText)); err != nil || n != int64(len(secretText)) {
		t.Fatalf("%d, %v", n, err)
	}
	if sent := <-got; !bytes.Equal(sent, secretText) {
		t.Errorf("sent %q", sent)
	}
}

// TestLentBodyEnds: nothing of a body is read once its attempt has ended. One that
// was read whole ends as others do: net/http asks for more behind it, perhaps after
// the answer came, and would break the connection off under the reply.
func TestLentBodyEnds(t *testing.T) {
	body, buf := []byte("a body"), make([]byte, 3)
	whole, end := client.Lent(body)
	if got, err := io.ReadAll(io.LimitReader(whole, int64(len(body)))); err != nil || !bytes.Equal(got, body) {
		t.Fatalf("%q, %v", got, err)
	}
	end()
	if n, err := whole.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d bytes, %v", n, err)
	}
	half, end := client.Lent(body)
	if n, err := half.Read(buf); n != 3 || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	end()
	if n, err := half.Read(buf); n != 0 || err != io.ErrUnexpectedEOF {
		t.Errorf("after its end: %d bytes, %v", n, err)
	}
}

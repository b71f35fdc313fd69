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

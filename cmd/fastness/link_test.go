package main_test

import (
	"net"
	"sync"
	"testing"
)

// link carries a node's connections to a database server, for as long as the
// test lets it.
type link struct {
	net.Listener
	to string

	mu     sync.Mutex // guards the rest
	moved  sync.Cond  // signalled when state has changed
	state  linkState
	joined map[net.Conn]bool // both ends of what it carries
}

// linkState is what a link does with what it is given.
type linkState int

const (
	linkOpen   linkState = iota
	linkCut              // every connection ends
	linkFrozen           // nothing arrives, and nobody is told
)

// newLink listens on a free port and carries what comes to an address.
func newLink(t testing.TB, to string) *link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{Listener: l, to: to, joined: map[net.Conn]bool{}}
	k.moved.L = &k.mu
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go k.carry(from)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		k.set(linkCut)
	})
	return k
}

// set changes what the link does.
func (k *link) set(s linkState) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.state = s
	k.moved.Broadcast()
	if s == linkCut {
		for c := range k.joined {
			c.Close()
		}
	}
}

// pass waits while the link is frozen, and reports whether it is not cut.
func (k *link) pass() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.state == linkFrozen {
		k.moved.Wait()
	}
	return k.state == linkOpen
}

// join notes a connection, unless the link is cut.
func (k *link) join(c net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.state != linkCut {
		k.joined[c] = true
	}
	return k.state != linkCut
}

func (k *link) leave(c net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.joined, c)
	c.Close()
}

func (k *link) carry(from net.Conn) {
	defer k.leave(from)
	if !k.join(from) || !k.pass() {
		return
	}
	to, err := net.Dial("tcp", k.to)
	if err != nil {
		return
	}
	defer k.leave(to)
	if !k.join(to) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { k.pump(to, from) })
	both.Go(func() { k.pump(from, to) })
	both.Wait()
}

// pump copies one direction to its end, which ends the other one too.
func (k *link) pump(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if err != nil || !k.pass() {
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

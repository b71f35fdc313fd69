package rotation_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// fault is a way in which a target fails. It is told how much of the target's
// reply may pass on a connection that it strikes; negative: none is accepted.
type fault struct {
	pass  int  // bytes of the target's replies
	black bool // say nothing from then on, rather than hang up
}

var faults = map[string]fault{
	"refused":         {pass: -1},
	"black hole":      {pass: 0, black: true},
	"reset at once":   {pass: 0},
	"reset in login":  {pass: 40},
	"reset in reply":  {pass: 140},
	"reply swallowed": {pass: 120, black: true},
}

// proxy stands between a rotator and its target, and fails when it is told to.
type proxy struct {
	t        testing.TB
	listener net.Listener

	mu     sync.Mutex // guards the rest
	target string
	fault  fault
	at     int  // strike at this connection, counted from when it was armed
	all    bool // strike at all that follow, too
	count  int
	hit    bool
}

// newProxy starts a proxy; the target may be told later.
func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, listener: l, target: target}
	t.Cleanup(func() { l.Close() })
	go p.serve()
	return p
}

func (p *proxy) to(target string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
	return p.listener.Addr().(*net.TCPAddr).Port
}

func (p *proxy) arm(f fault, at int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.at, p.count, p.hit = f, at, 0, false
}

// armAll strikes at every connection from now on.
func (p *proxy) armAll(f fault) {
	p.arm(f, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = true
}

func (p *proxy) disarm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.all = 0, false
}

func (p *proxy) struck() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hit
}

func (p *proxy) serve() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.count++
		strike := p.at > 0 && (p.count == p.at || p.all)
		p.hit = p.hit || strike
		f, target := p.fault, p.target
		p.mu.Unlock()
		if !strike {
			f = fault{pass: 1 << 30}
		}
		go forward(conn.(*net.TCPConn), target, f)
	}
}

// forward carries bytes both ways until the fault's time has come.
func forward(conn *net.TCPConn, target string, f fault) {
	defer conn.Close()
	if f.pass < 0 {
		conn.SetLinger(0) // a reset, which is what a refused connection looks like through a proxy
		return
	}
	up, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer up.Close()
	go func() {
		io.Copy(up, conn)
		up.(*net.TCPConn).CloseWrite()
	}()
	n, _ := io.CopyN(conn, up, int64(f.pass))
	if n < int64(f.pass) {
		return // the target was done before
	}
	if f.black {
		time.Sleep(time.Second)
	}
	conn.SetLinger(0)
}

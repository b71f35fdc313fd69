package postgres

import "sync"

// gate counts running operations, so that closing can wait for them.
type gate struct {
	mu     sync.Mutex // guards the fields, for moments only
	idle   sync.Cond  // signalled when the last operation of a closed gate ends
	inside int
	closed bool
}

func (g *gate) init() { g.idle.L = &g.mu }

// enter reports whether the gate is open, and counts the caller in if it is.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.inside++
	}
	return !g.closed
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.closed && g.inside == 0 {
		g.idle.Signal()
	}
}

// close shuts the gate, waits until nobody is inside, and reports whether it
// was open.
func (g *gate) close() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.closed = true
	for g.inside > 0 {
		g.idle.Wait()
	}
	return true
}

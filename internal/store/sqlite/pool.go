package sqlite

import (
	"context"
	"sync"

	"fastness/internal/store"
)

// pool holds the connections for reading. The one put back last is taken
// first, so that under light load the same page cache is used again.
type pool struct {
	free chan struct{} // one token for each connection in the stack

	mu    sync.Mutex // guards stack, for moments only
	stack []*conn
}

func newPool(path string, n int) (*pool, error) {
	p := &pool{free: make(chan struct{}, n)}
	for range n {
		c, err := openConn(path, setupReader)
		if err != nil {
			p.close()
			return nil, err
		}
		p.put(c)
	}
	return p, nil
}

func (p *pool) get(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case <-p.free:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.stack[len(p.stack)-1]
	p.stack = p.stack[:len(p.stack)-1]
	return c, nil
}

func (p *pool) put(c *conn) {
	p.mu.Lock()
	p.stack = append(p.stack, c)
	p.mu.Unlock()
	p.free <- struct{}{}
}

// close frees the connections, all of which must have been put back.
func (p *pool) close() {
	for _, c := range p.stack {
		c.close()
	}
	p.stack = nil
}

// view runs f over a snapshot, which starts with f's first statement.
func (p *pool) view(ctx context.Context, f func(store.Reader) error) error {
	c, err := p.get(ctx)
	if err != nil {
		return err
	}
	defer p.put(c)
	if err := c.run("begin_view"); err != nil {
		return err
	}
	defer c.run("rollback")
	r := &reader{ctx: ctx, conn: c}
	// Another goroutine has the connection next: a Reader that was kept must not
	// reach it.
	defer func() { r.conn = nil }()
	return f(r)
}

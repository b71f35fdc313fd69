package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

const (
	// progressAfter keeps short work quiet.
	progressAfter = 500 * time.Millisecond
	// progressEvery is as often as an eye wants it.
	progressEvery = 100 * time.Millisecond
)

// progress is a bar on a terminal's stderr for work that takes long. Safe for
// concurrent use.
type progress struct {
	w     io.Writer // nil shows nothing
	what  string
	total int // 0: not known, and there is only a count
	width int
	now   func() time.Time

	mu      sync.Mutex // guards what follows
	done    int
	started time.Time
	shown   time.Time // zero: nothing is on the line
}

func (a *app) progress(what string, total int) *progress {
	p := &progress{what: what, total: total, width: a.env.Width(), now: time.Now}
	if a.env.IsTerminal(a.stderr) && !a.global.json {
		p.w = a.env.Stderr
	}
	p.started = p.now()
	return p
}

// step counts one more as done.
func (p *progress) step() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	now := p.now()
	if p.w == nil || now.Sub(p.started) < progressAfter || now.Sub(p.shown) < progressEvery && p.done != p.total {
		return
	}
	p.shown = now
	fmt.Fprintf(p.w, "\r%s", p.lineLocked())
}

func (p *progress) lineLocked() string {
	if p.total == 0 {
		return fmt.Sprintf("%s %d", p.what, p.done)
	}
	numbers := fmt.Sprintf(" %d/%d", p.done, p.total)
	room := max(p.width-len(p.what)-len(numbers)-4, 4)
	full := room * p.done / max(p.total, 1)
	return fmt.Sprintf("%s [%s%s]%s", p.what, strings.Repeat("#", full), strings.Repeat(".", room-full), numbers)
}

// end takes the bar off the line.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.shown.IsZero() {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.width-1))
	}
}

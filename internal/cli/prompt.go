package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

var (
	errInterrupted = errors.New("interrupted")
	errNotSame     = errors.New("the two entries differ; nothing was stored")
	errDeclined    = errors.New("not confirmed; nothing was done")
)

// Bytes that a terminal in raw mode hands over for keys.
const (
	keyInterrupt = 0x03 // Ctrl-C
	keyEnd       = 0x04 // Ctrl-D
	keyBackspace = 0x08
	keyKill      = 0x15 // Ctrl-U
	keyEscape    = 0x1b
	keyDelete    = 0x7f
)

// await runs f, which waits for a person or for stdin, until it is done or ctx
// ends. A read cannot be called off: its goroutine then stays until the process
// ends, which is next.
func await[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		t   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		t, err := f()
		done <- result{t, err}
	}()
	select {
	case r := <-done:
		return r.t, r.err
	case <-ctx.Done():
		var none T
		return none, errInterrupted
	}
}

// promptValue asks twice for a value that does not show. The terminal is in
// raw mode all the while, so that what is typed ahead does not show either, and
// its keys are handled here: the line discipline would keep the line in a
// buffer of 4,096 bytes, and library functions that read passwords leave each
// array they outgrow behind.
func (a *app) promptValue(ctx context.Context, what string) (*secretbuf.Buffer, error) {
	return a.promptTwice(ctx, "Value of "+clean(what)+": ")
}

// promptTwice is promptValue with its own words.
func (a *app) promptTwice(ctx context.Context, text string) (*secretbuf.Buffer, error) {
	restore, err := a.raw()
	if err != nil {
		return nil, err
	}
	defer restore()
	first, err := a.promptHidden(ctx, text)
	if err != nil {
		return nil, err
	}
	second, err := a.promptHidden(ctx, "The same again: ")
	if err != nil {
		first.Release()
		return nil, err
	}
	defer second.Release()
	if !secretbuf.Equal(first, second) {
		first.Release()
		return nil, errNotSame
	}
	return first, nil
}

// raw brings the terminal into raw mode, and returns what brings it back.
func (a *app) raw() (restore func(), err error) {
	f, ok := a.env.Stdin.(*os.File)
	if !ok {
		return func() {}, nil
	}
	state, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("hiding what is typed: %w", err)
	}
	return func() { term.Restore(int(f.Fd()), state) }, nil
}

// promptHidden asks for one line on a terminal in raw mode.
func (a *app) promptHidden(ctx context.Context, text string) (*secretbuf.Buffer, error) {
	fmt.Fprint(a.env.Stderr, text)
	defer fmt.Fprint(a.env.Stderr, "\r\n")
	return await(ctx, func() (*secretbuf.Buffer, error) { return readHidden(a.env.Stdin) })
}

// readHidden reads up to the end of the line, with the few keys of editing
// that make sense when nothing shows. It reads byte by byte so that what
// follows the line stays with the terminal.
func readHidden(r io.Reader) (*secretbuf.Buffer, error) {
	var b secretbuf.Builder
	defer b.Release()
	var key [1]byte
	for {
		if _, err := io.ReadFull(r, key[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil, errInterrupted
			}
			return nil, err
		}
		c := key[0]
		key[0] = 0
		switch c {
		case '\r', '\n':
			return b.Buffer(), nil
		case keyInterrupt, keyEscape:
			return nil, errInterrupted
		case keyEnd:
			if b.Len() == 0 {
				return nil, errInterrupted
			}
			return b.Buffer(), nil
		case keyBackspace, keyDelete:
			dropRune(&b)
		case keyKill:
			b.Release()
		default:
			b.Append(c)
		}
		if b.Len() > secret.MaxValue {
			return nil, secret.Limited("value", fmt.Sprintf("%d bytes", secret.MaxValue))
		}
	}
}

// dropRune takes the last character away.
func dropRune(b *secretbuf.Builder) {
	old := b.Bytes()
	_, size := utf8.DecodeLastRune(old)
	var shorter secretbuf.Builder
	shorter.Grow(len(old))
	shorter.Append(old[:len(old)-size]...)
	b.Release()
	*b = shorter
}

// confirm asks a question that only "yes" answers well. Off a terminal the
// answer must have been given beforehand, by --yes.
func (a *app) confirm(ctx context.Context, yes bool, question string) error {
	if yes {
		return nil
	}
	if !a.env.IsTerminal(a.env.Stdin) {
		return usagef("this cannot be undone: confirm with --yes")
	}
	return a.ask(ctx, question)
}

// ask asks on the terminal; any answer but y or yes is errDeclined.
func (a *app) ask(ctx context.Context, question string) error {
	fmt.Fprintf(a.env.Stderr, "%s [y/N] ", question)
	answer, err := await(ctx, func() (string, error) {
		line, err := bufio.NewReader(a.env.Stdin).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return strings.ToLower(strings.TrimSpace(line)), err
	})
	if err == nil && answer != "y" && answer != "yes" {
		err = errDeclined
	}
	return err
}

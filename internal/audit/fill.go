package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// stubJSON stands in a bundle for an entry that was archived, until FillBundle
// has put that in.
type stubJSON struct {
	Archived stubLine `json:"archived"`
}

type stubLine struct {
	Index int64       `json:"index"`
	Seq   uint64      `json:"seq"`
	Proof []tlog.Hash `json:"proof"`
}

// Filling is where FillBundle takes from what a bundle lacks.
type Filling struct {
	// Entry returns an archived entry. It is asked by rising index.
	Entry func(index int64) (*LeafEntry, error)
	// Consistency returns the proof that leads from an older size to the bundle's.
	Consistency func(from, to int64) (*Consistency, error)
}

// FillBundle completes a bundle that was exported without the entries that are
// archived, and writes what the whole one would have been. It verifies nothing:
// that is Verify's part.
func FillBundle(w io.Writer, r io.Reader, from Filling) error {
	f := &filler{lines: newLineReader(r), from: from, out: bufio.NewWriterSize(w, 64<<10),
		sizes: make(map[int64]*consistencyLine)}
	if err := f.fill(); err != nil {
		return fmt.Errorf("completing audit bundle: %w", err)
	}
	if err := f.out.Flush(); err != nil {
		return fmt.Errorf("completing audit bundle: %w", err)
	}
	return nil
}

type filler struct {
	lines *lineReader
	from  Filling
	out   *bufio.Writer
	buf   bytes.Buffer
	head  headerJSON
	next  int64 // index of the next entry of the whole deployment's bundle
	sizes map[int64]*consistencyLine
}

func (f *filler) fill() error {
	line, err := f.lines.next()
	if err != nil {
		return err
	}
	if fault := decodeLine(line, &f.head); fault != nil || f.head.Format != bundleFormat {
		return errors.New("not an audit bundle of this format")
	}
	if err := f.copy(line); err != nil {
		return err
	}
	for {
		if line, err = f.lines.next(); err != nil {
			return err
		}
		switch kind := kindOf(line); {
		case kind == checkpointKind:
			return f.end(line)
		case kind == consistencyKind:
			var j consistencyJSON
			if fault := decodeLine(line, &j); fault != nil {
				return fault
			}
			f.sizes[j.Consistency.From] = &j.Consistency
		case kind == entryLine:
			err = f.entry(line)
		default:
			err = f.stub(line)
		}
		if err != nil {
			return err
		}
	}
}

func (f *filler) copy(line []byte) error {
	if _, err := f.out.Write(line); err != nil {
		return err
	}
	return f.out.WriteByte('\n')
}

func (f *filler) write(v any) error {
	f.buf.Reset()
	if err := encodeLine(&f.buf, v); err != nil {
		return err
	}
	_, err := f.out.Write(f.buf.Bytes())
	return err
}

// entry copies a line, behind those that are missing before it.
func (f *filler) entry(line []byte) error {
	if f.head.Tenant == "" {
		l, _, fault := parseEntry(line)
		if fault != nil {
			return fault
		}
		kept := bytes.Clone(line)
		if err := f.missing(l.Index); err != nil {
			return err
		}
		line, f.next = kept, l.Index+1
	}
	return f.copy(line)
}

// missing writes the entries of the archive up to an index.
func (f *filler) missing(end int64) error {
	for ; f.next < end; f.next++ {
		l, err := f.from.Entry(f.next)
		if err != nil {
			return err
		}
		if err := f.write(l.json()); err != nil {
			return err
		}
	}
	return nil
}

// stub writes the entry that a line stands for.
func (f *filler) stub(line []byte) error {
	var j stubJSON
	if fault := decodeLine(line, &j); fault != nil {
		return fault
	}
	l, err := f.from.Entry(j.Archived.Index)
	if err != nil {
		return err
	}
	if size := l.knownSize(); size > 0 && size <= f.head.Size && f.sizes[size] == nil {
		f.sizes[size] = nil // to be asked for
	}
	leaf := l.json()
	leaf.Proof = j.Archived.Proof
	return f.write(leaf)
}

// end writes the consistency lines, and the last one.
func (f *filler) end(line []byte) error {
	last := bytes.Clone(line)
	if f.head.Tenant == "" {
		if err := f.missing(f.head.Size); err != nil {
			return err
		}
	}
	for _, size := range slices.Sorted(maps.Keys(f.sizes)) {
		step := f.sizes[size]
		if step == nil {
			p, err := f.from.Consistency(size, f.head.Size)
			if err != nil {
				return err
			}
			step = &consistencyLine{From: p.From, Root: p.Root, Proof: p.Proof}
		}
		if err := f.write(consistencyJSON{*step}); err != nil {
			return err
		}
	}
	return f.copy(last)
}

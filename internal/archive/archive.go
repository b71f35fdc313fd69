// Package archive keeps a part of the audit log outside the store, in a folder:
//
//	DIR/segments/000000000000000-000000000016384.jsonl   entries, see audit.SegmentHeader
//	DIR/tile/0/000, DIR/tile/1/000.p/64, …               tiles, in the layout of C2SP's tlog-tiles
//	DIR/checkpoint                                       the newest segment's, signed
//
// Run archives: it has a segment handed out, makes it durable, reads it back and
// verifies it, and only then has the store drop the text. Cut off at any point it
// can be run again: a segment that has its name is whole and durable, and whether
// it was dropped the store knows. Verify verifies a folder with nothing but keys.
//
// A segment alone is enough to verify its entries; tiles and checkpoint are for
// tools that speak C2SP. Start with Run.
package archive

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/wire"
)

// Names in a folder.
const (
	segmentsDir    = "segments"
	segmentForm    = "%015d-%015d.jsonl"
	partialName    = "partial"
	checkpointName = "checkpoint"
)

// Source is the deployment whose log is archived.
type Source interface {
	ArchiveState(context.Context) (wire.ArchiveState, error)
	// Segment is secret.ErrNotFound if nothing is left to archive.
	Segment(ctx context.Context, w io.Writer, before time.Time) error
	// Archive is secret.ErrConflict if the segment is not what the log holds, or not
	// where the archive ends.
	Archive(context.Context, wire.ArchiveRequest) (wire.ArchiveState, error)
}

// Options say what Run archives.
type Options struct {
	Dir    string
	Before time.Time    // older entries alone
	Keys   audit.KeySet // that sign the log
	// Step, if not nil, is told of each step before the next one is made. An error
	// ends the run there.
	Step func(Step) error
}

// Step is a step of Run.
type Step string

// The steps of a segment, in their order.
const (
	Written  Step = "written"  // the segment is durable, under a name that does not count
	Verified Step = "verified" // it was read back and holds
	Named    Step = "named"    // it has its name
	Tiled    Step = "tiled"    // its tiles and checkpoint are durable
	Dropped  Step = "dropped"  // the store has dropped its text
)

// Result is what a Run has done.
type Result struct {
	Segments int       // archived by this run, also those that an earlier one had begun
	Entries  int64     // in them
	Size     int64     // how many entries of the log are archived
	Last     time.Time // the newest timestamp among them
}

// Run archives what is older than a time, segment by segment. It refuses a folder
// that does not end where the deployment's archive does, unless it is empty.
func Run(ctx context.Context, from Source, o Options) (Result, error) {
	r := &run{from: from, Options: o}
	if err := r.prepare(); err != nil {
		return r.result, fmt.Errorf("archiving: %w", err)
	}
	err := r.resume(ctx)
	for err == nil {
		var more bool
		if more, err = r.next(ctx); !more {
			break
		}
	}
	if err != nil {
		return r.result, fmt.Errorf("archiving: %w", err)
	}
	return r.result, nil
}

type run struct {
	Options
	from   Source
	result Result
}

func (r *run) prepare() error {
	if err := os.MkdirAll(filepath.Join(r.Dir, segmentsDir), 0o700); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(r.Dir)), syncDir(r.Dir))
}

func (r *run) step(s Step) error {
	if r.Step == nil {
		return nil
	}
	return r.Step(s)
}

// resume ends what an earlier run has begun, and makes sure that the folder ends
// where the archive does.
func (r *run) resume(ctx context.Context) error {
	state, err := r.from.ArchiveState(ctx)
	if err != nil {
		return err
	}
	r.result.Size, r.result.Last = state.Size, state.Last
	list, err := segments(r.Dir)
	if err != nil || len(list) == 0 {
		return err
	}
	last := list[len(list)-1]
	if err := r.sameLog(last); err != nil {
		return err
	}
	switch {
	case last.to == state.Size:
		return nil
	case last.from != state.Size:
		return fmt.Errorf("the folder ends with index %d, and the deployment's archive with %d: "+
			"give the folder that goes on there, or an empty one", last.to-1, state.Size-1)
	}
	report, err := r.check(last.path)
	if err != nil {
		return err
	}
	err = r.finish(ctx, report)
	if errors.Is(err, secret.ErrConflict) { // an entry was redacted since
		return errors.Join(os.Remove(last.path), syncDir(filepath.Dir(last.path)))
	}
	return err
}

// sameLog refuses a folder of another log: also of the same one under its name
// before a restore, whose keys are others.
func (r *run) sameLog(s file) error {
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLine)
	if !lines.Scan() {
		return errors.Join(lines.Err(), io.ErrUnexpectedEOF)
	}
	h, err := audit.ReadSegmentHeader(lines.Bytes())
	if err == nil && h.Origin != r.Keys.Origin {
		err = fmt.Errorf("the folder is of the log %q, and this one is %q: give an empty folder", h.Origin, r.Keys.Origin)
	}
	return err
}

// next archives the next segment; more is false if there is none.
func (r *run) next(ctx context.Context) (more bool, err error) {
	partial := filepath.Join(r.Dir, segmentsDir, partialName)
	err = writeFile(partial, func(w io.Writer) error { return r.from.Segment(ctx, w, r.Before) })
	if err != nil {
		err = errors.Join(err, os.Remove(partial))
		if errors.Is(err, secret.ErrNotFound) {
			return false, nil
		}
		return false, err
	}
	if err := r.step(Written); err != nil {
		return false, err
	}
	report, err := r.check(partial)
	if err == nil && report.FromIndex != r.result.Size {
		err = fmt.Errorf("the segment begins with index %d, and the archive ends with %d", report.FromIndex, r.result.Size-1)
	}
	if err == nil {
		err = r.step(Verified)
	}
	if err != nil {
		return false, err
	}
	path := filepath.Join(r.Dir, segmentsDir, fmt.Sprintf(segmentForm, report.FromIndex, report.ToIndex))
	if err := errors.Join(os.Rename(partial, path), syncDir(filepath.Dir(path))); err != nil {
		return false, err
	}
	if err := r.step(Named); err != nil {
		return false, err
	}
	return true, r.finish(ctx, report)
}

// check reads a segment back and verifies it.
func (r *run) check(path string) (*audit.SegmentReport, error) {
	v, err := audit.NewSegmentVerifier(r.Keys)
	if err != nil {
		return nil, err
	}
	return verifyFile(v, path)
}

func verifyFile(v *audit.SegmentVerifier, path string) (*audit.SegmentReport, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	report, err := v.Verify(f)
	if err != nil {
		return nil, fmt.Errorf("segment %s: %w", filepath.Base(path), err)
	}
	return report, nil
}

// finish makes the tiles of a segment durable, and has its text dropped.
func (r *run) finish(ctx context.Context, s *audit.SegmentReport) error {
	for id, data := range s.Tiles {
		if err := writeTile(r.Dir, id, data); err != nil {
			return err
		}
	}
	if err := replaceFile(filepath.Join(r.Dir, checkpointName), []byte(s.Checkpoint)); err != nil {
		return err
	}
	if err := r.step(Tiled); err != nil {
		return err
	}
	state, err := r.from.Archive(ctx, wire.ArchiveRequest{
		From: s.FromIndex, To: s.ToIndex, Root: s.Root.String(), SHA256: hex.EncodeToString(s.Digest[:]),
	})
	if err != nil {
		return err
	}
	r.result.Segments++
	r.result.Entries += s.ToIndex - s.FromIndex
	r.result.Size, r.result.Last = state.Size, state.Last
	return r.step(Dropped)
}

// Report is what a verified folder, or a single segment, holds.
type Report struct {
	Origin     string    `json:"origin"`
	Segments   int       `json:"segments"`
	Entries    int64     `json:"entries"`
	Redacted   int64     `json:"redacted"`
	FirstIndex int64     `json:"firstIndex"`
	LastIndex  int64     `json:"lastIndex"`
	From       time.Time `json:"from"` // timestamp of the first entry
	To         time.Time `json:"to"`   // timestamp of the last entry
	Tiles      int       `json:"tiles"`
	Size       int64     `json:"size"` // of the newest segment's checkpoint
	Checkpoint string    `json:"checkpoint"`
}

// add adds a segment to the report.
func (r *Report) add(s *audit.SegmentReport) {
	if r.Segments == 0 {
		r.Origin, r.FirstIndex, r.From = s.Origin, s.FromIndex, s.First
	}
	r.Segments++
	r.Entries += s.ToIndex - s.FromIndex
	r.Redacted += s.Redacted
	r.LastIndex, r.To, r.Size, r.Checkpoint = s.ToIndex-1, s.Last, s.Size, s.Checkpoint
}

// errNoSegments is a folder that is no archive.
var errNoSegments = errors.New("the folder has no segments of an audit log")

// Verify verifies a folder: each segment, that each goes on where the one before
// ends, and that the tiles are theirs. What does not hold is an *audit.VerifyError.
func Verify(dir string, keys audit.KeySet) (*Report, error) {
	list, err := segments(dir)
	if err == nil && len(list) == 0 {
		err = errNoSegments
	}
	if err != nil {
		return nil, err
	}
	v, err := audit.NewSegmentVerifier(keys)
	if err != nil {
		return nil, err
	}
	report := &Report{}
	for _, s := range list {
		held, err := verifyFile(v, s.path)
		if err == nil && (held.FromIndex != s.from || held.ToIndex != s.to) {
			err = &audit.VerifyError{Kind: audit.ReorderedPair, Text: fmt.Sprintf("segment %s has the entries of another name", filepath.Base(s.path))}
		}
		if err == nil {
			err = checkTiles(dir, held.Tiles)
		}
		if err != nil {
			return nil, err
		}
		report.Tiles += len(held.Tiles)
		report.add(held)
	}
	return report, checkNote(dir, report.Checkpoint)
}

// VerifySegment verifies one segment.
func VerifySegment(r io.Reader, keys audit.KeySet) (*Report, error) {
	v, err := audit.NewSegmentVerifier(keys)
	if err != nil {
		return nil, err
	}
	held, err := v.Verify(r)
	if err != nil {
		return nil, err
	}
	report := &Report{}
	report.add(held)
	return report, nil
}

func checkTiles(dir string, tiles map[audit.TileID][]byte) error {
	for id, data := range tiles {
		name := tilePath(id, data)
		stored, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err != nil || !bytes.Equal(stored, data) {
			return &audit.VerifyError{Kind: audit.ForkedTree, Text: fmt.Sprintf("%s is not what the entries give", filepath.ToSlash(name))}
		}
	}
	return nil
}

func checkNote(dir, note string) error {
	stored, err := os.ReadFile(filepath.Join(dir, checkpointName))
	if err != nil {
		return err
	}
	if string(stored) != note {
		return &audit.VerifyError{Kind: audit.ForkedTree, Text: "the file checkpoint is not that of the last segment"}
	}
	return nil
}

// file is a segment's.
type file struct {
	path     string
	from, to int64
}

// segments lists the segments of a folder in the order of their entries; none if
// it is not there.
func segments(dir string) ([]file, error) {
	entries, err := os.ReadDir(filepath.Join(dir, segmentsDir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []file
	for _, e := range entries {
		s := file{path: filepath.Join(dir, segmentsDir, e.Name())}
		if n, err := fmt.Sscanf(e.Name(), "%d-%d.jsonl", &s.from, &s.to); err != nil || n != 2 || fmt.Sprintf(segmentForm, s.from, s.to) != e.Name() {
			if e.Name() == partialName {
				continue // of a run that was cut off
			}
			return nil, fmt.Errorf("%s is no segment's name", s.path)
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b file) int { return int(a.from - b.from) })
	return list, nil
}

// Entries reads entries of a folder, by rising index. Close it.
type Entries struct {
	list  []file
	open  *os.File
	lines *bufio.Scanner
	next  int64 // index of the line to come
	end   int64 // of the segment that is open
}

// maxLine bounds a line of a segment.
const maxLine = 256 << 10

// OpenEntries prepares to read entries of a folder. It verifies nothing.
func OpenEntries(dir string) (*Entries, error) {
	list, err := segments(dir)
	if err == nil && len(list) == 0 {
		err = errNoSegments
	}
	return &Entries{list: list}, err
}

// Entry returns the entry with a leaf index, which must not be below the last one
// that was asked for.
func (r *Entries) Entry(index int64) (*audit.LeafEntry, error) {
	if r.open == nil || index >= r.end {
		if err := r.seek(index); err != nil {
			return nil, err
		}
	}
	for r.lines.Scan() {
		if r.next++; r.next-1 < index {
			continue
		}
		l := new(audit.LeafEntry)
		if err := l.UnmarshalJSON(r.lines.Bytes()); err != nil {
			return nil, fmt.Errorf("reading entry %d of the archive: %w", index, err)
		}
		if l.Index != index {
			return nil, fmt.Errorf("reading entry %d of the archive: entry %d is in its place", index, l.Index)
		}
		return l, nil
	}
	return nil, fmt.Errorf("reading entry %d of the archive: %w", index, errors.Join(r.lines.Err(), io.ErrUnexpectedEOF))
}

// seek opens the segment that has an entry.
func (r *Entries) seek(index int64) error {
	i := slices.IndexFunc(r.list, func(s file) bool { return index >= s.from && index < s.to })
	if i < 0 {
		return fmt.Errorf("the archive does not have the entry with index %d", index)
	}
	if err := r.Close(); err != nil {
		return err
	}
	f, err := os.Open(r.list[i].path)
	if err != nil {
		return err
	}
	r.open, r.lines, r.next, r.end = f, bufio.NewScanner(f), r.list[i].from, r.list[i].to
	r.lines.Buffer(nil, maxLine)
	if !r.lines.Scan() { // the header
		return errors.Join(r.lines.Err(), io.ErrUnexpectedEOF)
	}
	return nil
}

// Close closes what is open. A second call does nothing.
func (r *Entries) Close() error {
	if r.open == nil {
		return nil
	}
	err := r.open.Close()
	r.open = nil
	return err
}

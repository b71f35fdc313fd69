package vault

import (
	"context"
	"errors"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

// Wanted is one of several secrets to read: its current version.
type Wanted struct {
	Name  secret.Name
	Guard Guard // asked about this one; nil for none
}

// Got is what became of it: a Reading, which the receiver releases, or why there
// is none.
type Got struct {
	Reading *Reading
	Err     error
}

// GetMany opens the current versions of several secrets. Each has its audit
// entry, as if it had been read alone, and all of them share one commit. The error is
// for a log that could not be written; nothing is then returned.
func (s *Session) GetMany(ctx context.Context, wanted []Wanted) ([]Got, error) {
	got := make([]Got, len(wanted))
	entries := make([]audit.Entry, len(wanted))
	found := make([]found, len(wanted))
	for i, w := range wanted {
		session := s
		if w.Guard != nil {
			session = s.Guarded(w.Guard)
		}
		got[i], entries[i], found[i] = session.open(ctx, w.Name)
	}
	if err := s.recordReads(ctx, entries, found); err != nil {
		for _, g := range got {
			g.release()
		}
		return nil, err
	}
	return got, nil
}

func (g Got) release() {
	if g.Reading != nil {
		g.Reading.Value.Release()
	}
}

// open opens one current version, and makes its entry.
func (s *Session) open(ctx context.Context, name secret.Name) (g Got, e audit.Entry, f found) {
	e = s.entry(audit.Read, name)
	f, err := s.find(ctx, name, store.Selector{})
	defer f.key.release()
	if err == nil {
		e.Version = f.version.Number.String()
		var value *secretbuf.Buffer
		if value, err = f.open(); err == nil {
			g.Reading = f.reading(value)
		}
	}
	g.Err = s.vault.answer(err)
	s.vault.finish(ctx, &e, g.Err)
	if g.Err != nil {
		return g, e, found{} // nothing was read
	}
	return g, e, f
}

// recordReads makes all entries durable at once, with the days of last read
// that are news.
func (s *Session) recordReads(ctx context.Context, entries []audit.Entry, read []found) error {
	records := make([]audit.Record, len(entries))
	for i, e := range entries {
		var err error
		if records[i], err = audit.NewRecord(e); err != nil {
			return s.vault.answer(err)
		}
	}
	today := day(s.vault.now())
	var news []found
	noted := s.caller.credential == "" || s.caller.lastRead >= today
	for _, f := range read {
		if f.version == nil {
			continue
		}
		if f.version.CallerRead < today || !noted {
			news = append(news, f)
		}
	}
	if len(news) == 0 {
		if err := s.vault.store.Record(ctx, records...); err != nil {
			return secret.ErrUnavailable.With(err)
		}
		return nil
	}
	return s.vault.answer(s.vault.store.Update(ctx, func(tx store.Tx) error {
		for _, r := range records {
			tx.Audit(r)
		}
		if err := s.caller.noteRead(tx, today); err != nil {
			return err
		}
		for _, f := range news {
			if f.version.CallerRead >= today {
				continue
			}
			ref := store.VersionRef{Secret: f.secret.ID, Number: f.version.Number}
			err := tx.EditSecrets(f.tenant.ID).Touch(ref, s.caller.principal, today)
			if err != nil && !errors.Is(err, store.ErrAbsent) { // purged meanwhile: the read came first
				return err
			}
		}
		return nil
	}))
}

package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"filippo.io/age"

	"fastness/internal/store"
	"fastness/internal/vault"
)

// Scheduler backs a deployment up at intervals, verifies each backup, and keeps
// the newest ones. Of several nodes one does it, under a lease; when its turn has
// come is told by the store, which knows the newest backup that was verified.
type Scheduler struct {
	Vault      *vault.Vault
	Every      time.Duration
	Dir        string
	Recipients []age.Recipient
	Keep       int // files; older ones are removed
	Logger     *slog.Logger
	Now        func() time.Time // nil: time.Now
	// Look is how often the scheduler looks whether its turn has come; zero: 30 s.
	Look time.Duration
}

const (
	// schedulerLook is how often a node looks whether a backup is due.
	schedulerLook = 30 * time.Second
	// retryAfter is how long a node waits after a backup that failed.
	retryAfter = 10 * time.Minute
	// The names of files: the time is in UTC, so that they sort by it.
	filePrefix, fileSuffix, fileTime = "fastness-", ".age", "20060102T150405Z"
	// unverified ends the name of a file until it has been verified.
	unverified = ".unverified"
)

// Run backs up until ctx ends.
func (s Scheduler) Run(ctx context.Context) {
	if s.Now == nil {
		s.Now = time.Now
	}
	look := s.Look
	if look == 0 {
		look = schedulerLook
	}
	for {
		wait := look
		if err := s.turn(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrFenced) {
			s.Logger.Error("the backup failed", "error", err.Error())
			wait = max(look, min(retryAfter, s.Every))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// turn backs up if that is due and no other node does.
func (s Scheduler) turn(ctx context.Context) error {
	due, err := s.due(ctx)
	if err != nil || !due {
		return err
	}
	fence, err := s.Vault.LeadBackup(ctx)
	if err != nil {
		return err
	}
	defer func() { s.Vault.EndBackup(context.WithoutCancel(ctx), fence) }() // it runs out by itself
	if due, err := s.due(ctx); err != nil || !due {                         // another node may have been faster
		return err
	}
	held, lost := context.WithCancel(ctx)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		s.renew(held, lost)
	}()
	made, err := s.backUp(held)
	lost()
	<-renewed
	if err != nil {
		return err
	}
	if err := s.Vault.NoteBackup(ctx, fence, made.Created); err != nil {
		return err
	}
	s.Logger.Info("backed up and verified", "rows", made.Rows, "opened", made.Opened)
	return s.prune()
}

func (s Scheduler) due(ctx context.Context) (bool, error) {
	last, err := s.Vault.BackupVerified(ctx)
	return err == nil && s.Now().Sub(last) >= s.Every, err
}

// renew keeps the lease; if it is lost the backup ends.
func (s Scheduler) renew(ctx context.Context, lost context.CancelFunc) {
	every := time.NewTicker(vault.BackupLease / 4)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			if _, err := s.Vault.LeadBackup(ctx); err != nil {
				lost()
				return
			}
		}
	}
}

// backUp makes a backup and verifies it, with an identity that nobody else ever
// has: the file is encrypted to it too, and it is dropped afterwards.
func (s Scheduler) backUp(ctx context.Context) (*Verified, error) {
	identity, recipient, err := passing(s.Recipients)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(s.Dir, filePrefix+s.Now().UTC().Format(fileTime)+fileSuffix)
	create := Create{Path: path + unverified, Recipients: append(slices.Clone(s.Recipients), recipient), Logger: s.Logger, Now: s.Now}
	if err := os.Remove(create.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if _, err := create.From(ctx, s.Vault); err != nil {
		return nil, err
	}
	verify := Verify{File: File{Path: create.Path, Identities: []age.Identity{identity}}, Vault: s.Vault, Scratch: s.Dir, Logger: s.Logger}
	got, err := verify.Run(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("verifying: %w", err), os.Remove(create.Path))
	}
	return got, os.Rename(create.Path, path)
}

// passing makes an identity for one file, of the kind that goes with the
// recipients: age refuses to weaken hybrid ones by others.
func passing(recipients []age.Recipient) (age.Identity, age.Recipient, error) {
	for _, r := range recipients {
		if _, hybrid := r.(*age.HybridRecipient); hybrid {
			id, err := age.GenerateHybridIdentity()
			if err != nil {
				return nil, nil, err
			}
			return id, id.Recipient(), nil
		}
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, nil, err
	}
	return id, id.Recipient(), nil
}

// prune removes the oldest backups of those that the scheduler has made.
func (s Scheduler) prune() error {
	files, err := filepath.Glob(filepath.Join(s.Dir, filePrefix+"*"+fileSuffix))
	if err != nil || len(files) <= s.Keep {
		return err
	}
	slices.Sort(files)
	for _, f := range files[:len(files)-s.Keep] {
		err = errors.Join(err, os.Remove(f))
	}
	return err
}

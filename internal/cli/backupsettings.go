package cli

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"filippo.io/age"

	"fastness"
	"fastness/internal/backup"
)

// backupConfig is what the settings say of scheduled backups.
type backupConfig struct {
	every      time.Duration // 0: never
	dir        string
	recipients []age.Recipient
	keep       int
}

func setBackupEvery(c *serverConfig, v string) (err error) {
	if v == "" {
		return nil
	}
	if c.backups.every, err = time.ParseDuration(v); err != nil || c.backups.every < time.Minute {
		return errors.New("a time from 1m on is expected: 24h")
	}
	return nil
}

func setBackupRecipients(c *serverConfig, v string) (err error) {
	if c.backups.recipients, err = backup.ParseRecipients(list(v)); err != nil {
		return errors.New("age recipients are expected: age1pq1…")
	}
	return nil
}

func setBackupKeep(c *serverConfig, v string) (err error) {
	if c.backups.keep, err = strconv.Atoi(v); err != nil || c.backups.keep < 1 {
		return errors.New("a whole number from 1 is expected")
	}
	return nil
}

// start makes scheduled backups until stop is called, which waits for the end of
// one under way. Without a schedule it does nothing.
func (b backupConfig) start(ctx context.Context, v *fastness.Vault, log *slog.Logger) (stop func()) {
	if b.every == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		backup.Scheduler{Vault: v, Every: b.every, Dir: b.dir, Recipients: b.recipients, Keep: b.keep, Logger: log}.Run(ctx)
	}()
	return func() { cancel(); <-done }
}

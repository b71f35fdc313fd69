package postgres_test

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"fastness/internal/store"
	"fastness/internal/testservers"
)

// TestCommitWithoutStandby: a commit that the primary shows, but its synchronous
// standby has not got, is not reported as done: it may be gone with the primary.
func TestCommitWithoutStandby(t *testing.T) {
	primary, standby := testservers.StartPostgresPair(t)
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(primary.Admin, testservers.AdminPassword), Host: primary.Address(),
		Path: "postgres", RawQuery: "sslmode=disable",
	}
	s, c := openCutAt(t, &u)
	canceled := make(chan error, 1)
	err := s.Update(t.Context(), func(tx store.Tx) error {
		tx.Audit(record(t, "cut"))
		err := tx.SetMeta("k", nil, []byte("v"))
		standby.Stop()
		c.cut.Store(allButWord)
		go func() { canceled <- cancelOne(&u) }()
		return err
	})
	if !errors.Is(err, store.ErrUnknownOutcome) {
		t.Errorf("error is %v", err)
	}
	if err := <-canceled; err != nil {
		t.Error(err)
	}
}

// cancelOne ends the first wait for the standby that it sees, as a client's
// request to cancel does, which has the commit stand on the primary alone.
func cancelOne(u *url.URL) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, u.String())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for {
		tag, err := conn.Exec(ctx, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
		if err != nil || tag.RowsAffected() > 0 {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

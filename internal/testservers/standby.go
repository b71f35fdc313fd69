package testservers

import (
	"fmt"
	"path/filepath"
	"testing"
)

// quietPostgres has a server log no statements: those under load would be many.
var quietPostgres = []string{"-c", "log_statement=none", "-c", "log_min_duration_statement=-1"}

// StartPostgresPair starts a PostgreSQL and its synchronous standby: no commit
// on the primary is acknowledged before the standby has it. Both end with the
// test.
func StartPostgresPair(t testing.TB) (primary, standby *Server) {
	t.Helper()
	primary = StartPostgres(t, Options{Args: append([]string{"-c", "synchronous_standby_names=*"}, quietPostgres...)})
	standby, err := startStandby(primary)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { standby.process.remove() })
	return primary, standby
}

// startStandby starts a copy of a server that follows it.
func startStandby(primary *Server) (*Server, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	return launch(primary.Engine, primary.Admin, func(p *process, port int) error {
		from := fmt.Sprintf("host=%s port=%d user=%s password=%s", primary.Host, primary.Port, primary.Admin, AdminPassword)
		if err := p.prepare(filepath.Join(bin, "pg_basebackup"), "--pgdata", p.data(), "--dbname", from,
			"--write-recovery-conf", "--wal-method", "stream", "--checkpoint", "fast", "--no-sync"); err != nil {
			return err
		}
		return p.startPostgres(bin, port, Options{Args: quietPostgres})
	})
}

// Promote makes a standby a primary, which follows nobody and waits for nobody.
// The one that it followed must have been stopped.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	bin, err := postgresPrograms()
	if err == nil {
		err = s.process.prepare(filepath.Join(bin, "pg_ctl"), "promote", "--wait", "--pgdata", s.process.data())
	}
	if err != nil {
		t.Fatal(err)
	}
}

package testservers

import (
	"fmt"
	"path/filepath"
	"syscall"
)

// postgresPlaces is where Debian keeps PostgreSQL's programs.
var postgresPlaces = []string{"/usr/lib/postgresql/*/bin"}

// startPostgres starts PostgreSQL with scram-sha-256 for all. It logs every
// statement and syncs nothing.
func startPostgres(o Options) (*Server, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	return launch("postgres", "postgres", func(p *process, port int) error {
		passwords, err := p.write("password", AdminPassword)
		if err != nil {
			return err
		}
		if err := p.prepare(filepath.Join(bin, "initdb"), "--pgdata", p.data(), "--username", "postgres", "--pwfile", passwords,
			"--auth", "scram-sha-256", "--encoding", "UTF8", "--no-sync", "--no-instructions"); err != nil {
			return err
		}
		return p.startPostgres(bin, port, o)
	})
}

func postgresPrograms() (bin string, err error) {
	program, err := find(postgresPlaces, "postgres")
	return filepath.Dir(program), err
}

// data is where a PostgreSQL keeps what is its own.
func (p *process) data() string { return filepath.Join(p.dir, "data") }

// startPostgres starts the server on data that is there.
func (p *process) startPostgres(bin string, port int, o Options) error {
	p.quit = syscall.SIGQUIT // no checkpoint; its processes and shared memory go with it
	args := []string{"-D", p.data(), "-p", fmt.Sprint(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "log_statement=all", "-c", "log_min_duration_statement=0", "-c", "max_connections=200", "-c", "shared_buffers=32MB"}
	if o.TLS != nil {
		certificate, key, err := o.TLS.write(p)
		if err != nil {
			return err
		}
		args = append(args, "-c", "ssl=on", "-c", "ssl_cert_file="+certificate, "-c", "ssl_key_file="+key)
	}
	ready := func() bool {
		return p.prepare(filepath.Join(bin, "pg_isready"), "--host", "127.0.0.1", "--port", fmt.Sprint(port)) == nil
	}
	return p.start(ready, filepath.Join(bin, "postgres"), append(args, o.Args...)...)
}

package testservers

import (
	"fmt"
	"path/filepath"
)

// startMariaDB starts MariaDB with a general log of every statement. Its Admin
// logs in from anywhere with mysql_native_password.
func startMariaDB(o Options) (*Server, error) {
	program, err := find([]string{"/usr/sbin"}, "mariadbd")
	if err != nil {
		return nil, err
	}
	install, err := find([]string{"/usr/bin"}, "mariadb-install-db")
	if err != nil {
		return nil, err
	}
	return launch("mariadb", "admin", func(p *process, port int) error {
		data := filepath.Join(p.dir, "data")
		if err := p.prepare(install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal",
			"--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=8M"); err != nil {
			return err
		}
		users, err := p.write("init.sql", fmt.Sprintf("CREATE OR REPLACE USER admin@'%%' IDENTIFIED BY '%s';\n"+
			"GRANT ALL ON *.* TO admin@'%%' WITH GRANT OPTION;\nDROP USER IF EXISTS root@localhost;\nFLUSH PRIVILEGES;\n", AdminPassword))
		if err != nil {
			return err
		}
		args := []string{"--no-defaults", "--datadir=" + data, "--bind-address=127.0.0.1", fmt.Sprintf("--port=%d", port), "--socket=" + filepath.Join(p.dir, "socket"),
			"--pid-file=" + filepath.Join(p.dir, "pid"), "--skip-name-resolve", "--init-file=" + users, "--general-log", "--general-log-file=" + p.log,
			"--innodb-log-file-size=8M", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M"}
		if o.TLS != nil {
			certificate, key, err := o.TLS.write(p)
			if err != nil {
				return err
			}
			args = append(args, "--ssl-cert="+certificate, "--ssl-key="+key)
		}
		return p.start(func() bool { return speaks(port, "") }, program, append(args, o.Args...)...)
	})
}

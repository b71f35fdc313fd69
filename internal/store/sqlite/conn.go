package sqlite

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"modernc.org/libc"
	_ "modernc.org/sqlite" // prepares the library below for each platform
	sqlite3 "modernc.org/sqlite/lib"
)

// conn is one connection with its prepared statements. It is not safe for
// concurrent use.
//
// It calls the C interface of the translated library directly, not through
// database/sql: the driver asks SQLite for the name and type of every column
// of every query and boxes every value, which doubles the price of a point
// read; and groups of commits need what the driver does not tell, such as
// whether SQLite has rolled a transaction back by itself. The memory that
// SQLite sees is the library's own, never Go's, so that nothing has to be
// pinned. Addresses in it are handled in conn.go and stmt.go alone.
type conn struct {
	tls   *libc.TLS
	db    uintptr
	stmts map[string]*stmt
	// fault is the first error after which the transaction at hand cannot be
	// trusted, even if the operation that met it went on. Cleared by begin.
	fault error
}

// openConn opens a database file that is there already, and runs the script.
func openConn(path, setup string) (*conn, error) { return openConnAs(path, setup, openReadWrite) }

func openConnAs(path, setup string, access int32) (*conn, error) {
	c := &conn{tls: libc.NewTLS(), stmts: make(map[string]*stmt)}
	name, err := libc.CString(path)
	if err != nil {
		c.tls.Close()
		return nil, err
	}
	defer libc.Xfree(c.tls, name)
	out := c.tls.Alloc(ptrSize)
	defer c.tls.Free(ptrSize)
	// No mutex: a connection has one goroutine at a time.
	flags := access | sqlite3.SQLITE_OPEN_NOMUTEX | sqlite3.SQLITE_OPEN_EXRESCODE
	rc := sqlite3.Xsqlite3_open_v2(c.tls, name, out, flags, 0)
	c.db = pointerAt(out)
	if err := c.check(rc); err != nil {
		c.close()
		return nil, fmt.Errorf("opening database: %w", err)
	}
	if err := c.exec(setup); err != nil {
		c.close()
		return nil, fmt.Errorf("setting up connection: %w", err)
	}
	return c, nil
}

const ptrSize = bits.UintSize / 8

// pointerAt reads the address that a call has left at p.
func pointerAt(p uintptr) uintptr {
	if ptrSize == 4 {
		return uintptr(binary.NativeEndian.Uint32(libc.GoBytes(p, 4)))
	}
	return uintptr(binary.NativeEndian.Uint64(libc.GoBytes(p, 8)))
}

// close frees the connection. It does not fail: what it could report, commits
// and checkpoints have reported before.
func (c *conn) close() {
	for _, s := range c.stmts {
		s.finalize()
	}
	c.stmts = nil
	sqlite3.Xsqlite3_close_v2(c.tls, c.db)
	c.db = 0
	c.tls.Close()
}

// check turns a result code into an error and notes those that spoil the
// transaction.
func (c *conn) check(rc int32) error {
	if rc == sqlite3.SQLITE_OK || rc == sqlite3.SQLITE_ROW || rc == sqlite3.SQLITE_DONE {
		return nil
	}
	msg := libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, rc))
	if c.db != 0 {
		msg = libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db))
	}
	err := translate(rc, msg)
	if spoils(rc) && c.fault == nil {
		c.fault = err
	}
	return err
}

// exec runs a script of statements without parameters and drops their rows.
func (c *conn) exec(script string) error {
	text, err := libc.CString(script)
	if err != nil {
		return err
	}
	defer libc.Xfree(c.tls, text)
	for tail := text; libc.GoBytes(tail, 1)[0] != 0; {
		var p uintptr
		if p, tail, err = c.prepare(tail, 0); err != nil {
			return err
		}
		if p == 0 { // only a comment was left
			continue
		}
		s := &stmt{c: c, p: p}
		_, err = s.run()
		s.finalize()
		if err != nil {
			return err
		}
	}
	return nil
}

// prepare compiles the first statement of a C string and returns what is left.
func (c *conn) prepare(text uintptr, flags uint32) (p, tail uintptr, err error) {
	out := c.tls.Alloc(2 * ptrSize)
	defer c.tls.Free(2 * ptrSize)
	rest := out + uintptr(ptrSize)
	rc := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, text, -1, flags, out, rest)
	if err := c.check(rc); err != nil {
		return 0, 0, err
	}
	return pointerAt(out), pointerAt(rest), nil
}

// query returns a statement of queries.sql, prepared once a connection. What
// goes wrong is kept in the statement and comes out when it is run.
func (c *conn) query(name string) *stmt {
	if s := c.stmts[name]; s != nil {
		return s
	}
	s, err := c.prepareNamed(name)
	if err != nil {
		return &stmt{c: c, err: fmt.Errorf("preparing statement %s: %w", name, err)}
	}
	c.stmts[name] = s
	return s
}

func (c *conn) prepareNamed(name string) (*stmt, error) {
	sql, ok := queries[name]
	if !ok {
		return nil, fmt.Errorf("there is none of this name")
	}
	text, err := libc.CString(sql)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, text)
	p, _, err := c.prepare(text, sqlite3.SQLITE_PREPARE_PERSISTENT)
	if err != nil {
		return nil, err
	}
	return &stmt{c: c, p: p}, nil
}

// run runs a statement that takes no parameters and returns no rows.
func (c *conn) run(name string) error {
	_, err := c.query(name).run()
	return err
}

// integer runs a script's only statement and returns its first column.
func (c *conn) integer(sql string) (int64, error) {
	text, err := libc.CString(sql)
	if err != nil {
		return 0, err
	}
	defer libc.Xfree(c.tls, text)
	p, _, err := c.prepare(text, 0)
	if err != nil {
		return 0, err
	}
	s := &stmt{c: c, p: p}
	defer s.finalize()
	if err := s.one(); err != nil {
		return 0, err
	}
	return s.int64(0), nil
}

// inTransaction reports whether a transaction is open: SQLite ends one by
// itself after some errors.
func (c *conn) inTransaction() bool {
	return sqlite3.Xsqlite3_get_autocommit(c.tls, c.db) == 0
}

// written counts the pages that this connection has written to the log.
func (c *conn) written() int64 {
	out := c.tls.Alloc(2 * ptrSize)
	defer c.tls.Free(2 * ptrSize)
	rc := sqlite3.Xsqlite3_db_status(c.tls, c.db, sqlite3.SQLITE_DBSTATUS_CACHE_WRITE, out, out+uintptr(ptrSize), 0)
	if rc != sqlite3.SQLITE_OK {
		return 0
	}
	return int64(binary.NativeEndian.Uint32(libc.GoBytes(out, 4)))
}

// checkpoint copies the log's pages into the database file. busy tells that a
// reader or the writer kept it from doing all that the mode asks for.
func (c *conn) checkpoint(mode int32) (busy bool, err error) {
	c.fault = nil
	rc := sqlite3.Xsqlite3_wal_checkpoint_v2(c.tls, c.db, 0, mode, 0, 0)
	if rc&0xff == sqlite3.SQLITE_BUSY {
		return true, nil
	}
	return false, c.check(rc)
}

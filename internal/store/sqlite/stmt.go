package sqlite

import (
	"modernc.org/libc"
	libctypes "modernc.org/libc/sys/types"
	sqlite3 "modernc.org/sqlite/lib"

	"fastness/internal/store"
)

// stmt is a prepared statement. Its parameters are set one by one, each with
// the number that stands in the SQL; the first error is kept and comes out of
// step. Every use ends with reset, which run does by itself.
type stmt struct {
	c   *conn
	p   uintptr
	err error

	// Texts and blobs are copied to memory of SQLite's side, where they must
	// stay until reset: small ones into buf, others into one of large each.
	buf   uintptr
	used  int
	large []uintptr
	bound []int32 // parameters that point into large
}

// stmtBuf holds all texts and blobs of most statements.
const stmtBuf = 1 << 10

func (s *stmt) finalize() {
	s.reset()
	sqlite3.Xsqlite3_finalize(s.c.tls, s.p)
	libc.Xfree(s.c.tls, s.buf)
	s.p, s.buf = 0, 0
}

// int sets parameter ?i.
func (s *stmt) int(i int, v int64) *stmt {
	if s.err == nil {
		s.err = s.c.check(sqlite3.Xsqlite3_bind_int64(s.c.tls, s.p, int32(i), v))
	}
	return s
}

// null sets parameter ?i to NULL.
func (s *stmt) null(i int) *stmt {
	if s.err == nil {
		s.err = s.c.check(sqlite3.Xsqlite3_bind_null(s.c.tls, s.p, int32(i)))
	}
	return s
}

// text sets parameter ?i.
func (s *stmt) text(i int, v string) *stmt {
	if s.err == nil {
		p := s.alloc(i, len(v))
		copy(libc.GoBytes(p, len(v)), v)
		s.err = s.c.check(sqlite3.Xsqlite3_bind_text(s.c.tls, s.p, int32(i), p, int32(len(v)), 0))
	}
	return s
}

// blob sets parameter ?i; nil is NULL.
func (s *stmt) blob(i int, v []byte) *stmt {
	if v == nil {
		return s.null(i)
	}
	if s.err == nil {
		p := s.alloc(i, len(v))
		copy(libc.GoBytes(p, len(v)), v)
		s.err = s.c.check(sqlite3.Xsqlite3_bind_blob(s.c.tls, s.p, int32(i), p, int32(len(v)), 0))
	}
	return s
}

// alloc returns n bytes that live until reset, for parameter ?i.
func (s *stmt) alloc(i, n int) uintptr {
	if s.buf == 0 {
		s.buf = malloc(s.c.tls, stmtBuf)
	}
	if n <= stmtBuf-s.used {
		p := s.buf + uintptr(s.used)
		s.used += n
		return p
	}
	p := malloc(s.c.tls, n)
	s.large = append(s.large, p)
	s.bound = append(s.bound, int32(i))
	return p
}

func malloc(tls *libc.TLS, n int) uintptr {
	p := libc.Xmalloc(tls, libctypes.Size_t(n))
	if p == 0 {
		panic("out of memory")
	}
	return p
}

// step goes to the next row and reports whether there is one.
func (s *stmt) step() (bool, error) {
	if s.err != nil {
		return false, s.err
	}
	rc := sqlite3.Xsqlite3_step(s.c.tls, s.p)
	if rc == sqlite3.SQLITE_ROW {
		return true, nil
	}
	s.err = s.c.check(rc)
	return false, s.err
}

// one goes to the first row; ErrAbsent if there is none.
func (s *stmt) one() error {
	ok, err := s.step()
	if err == nil && !ok {
		err = store.ErrAbsent
	}
	return err
}

// exists reports whether the statement returns a row.
func (s *stmt) exists() (bool, error) {
	defer s.reset()
	return s.step()
}

// run runs the statement to its end and returns how many rows it changed.
func (s *stmt) run() (changed int64, err error) {
	defer s.reset()
	for more := true; more; {
		if more, err = s.step(); err != nil {
			return 0, err
		}
	}
	return sqlite3.Xsqlite3_changes64(s.c.tls, s.c.db), nil
}

// reset makes the statement ready for its next use and lets go of the
// snapshot it may hold. The error it could return is the one step has returned.
func (s *stmt) reset() {
	s.err = nil
	if s.p == 0 {
		return
	}
	sqlite3.Xsqlite3_reset(s.c.tls, s.p)
	s.used = 0
	if len(s.large) == 0 {
		return
	}
	for i, p := range s.large {
		sqlite3.Xsqlite3_bind_null(s.c.tls, s.p, s.bound[i])
		libc.Xfree(s.c.tls, p)
	}
	s.large, s.bound = s.large[:0], s.bound[:0]
}

// Columns count from 0. Reading one does not fail; NULL reads as zero.

func (s *stmt) isNull(col int) bool {
	return sqlite3.Xsqlite3_column_type(s.c.tls, s.p, int32(col)) == sqlite3.SQLITE_NULL
}

func (s *stmt) isText(col int) bool {
	return sqlite3.Xsqlite3_column_type(s.c.tls, s.p, int32(col)) == sqlite3.SQLITE_TEXT
}

func (s *stmt) int64(col int) int64 {
	return sqlite3.Xsqlite3_column_int64(s.c.tls, s.p, int32(col))
}

// string returns a copy of a text.
func (s *stmt) string(col int) string { return string(s.view(col)) }

// bytes returns a copy of a blob; nil if it is NULL.
func (s *stmt) bytes(col int) []byte {
	v := s.view(col)
	if v == nil {
		return nil
	}
	return append(make([]byte, 0, len(v)), v...)
}

// view returns a text or blob that is valid until the next step or reset.
func (s *stmt) view(col int) []byte {
	p := sqlite3.Xsqlite3_column_blob(s.c.tls, s.p, int32(col))
	if p == 0 {
		if s.isNull(col) {
			return nil
		}
		return []byte{}
	}
	return libc.GoBytes(p, int(sqlite3.Xsqlite3_column_bytes(s.c.tls, s.p, int32(col))))
}

package sqlite

import (
	"context"
	"errors"

	"fastness/internal/secret"
	"fastness/internal/store"
)

// reader reads within one transaction of its connection.
type reader struct {
	ctx  context.Context
	conn *conn // nil once the View or Update is over
}

var errOver = errors.New("the transaction of this reader is over")

// query returns a statement, which fails if there is a reason not to run it.
func (r *reader) query(name string) *stmt {
	if r.conn == nil {
		return &stmt{err: errOver}
	}
	if err := r.ctx.Err(); err != nil {
		return &stmt{err: err}
	}
	return r.conn.query(name)
}

// Meta implements store.Reader.
func (r *reader) Meta(key string) ([]byte, error) {
	s := r.query("meta").text(1, key)
	defer s.reset()
	if err := s.one(); err != nil {
		return nil, err
	}
	return s.cellAt(0)
}

// Tenants implements store.Reader.
func (r *reader) Tenants() store.TenantReader { return tenants{r} }

// Secrets implements store.Reader.
func (r *reader) Secrets(t secret.TenantID) store.SecretReader { return secrets{r, t} }

// Credentials implements store.Reader.
func (r *reader) Credentials() store.CredentialReader { return credentials{r} }

// Principals implements store.Reader.
func (r *reader) Principals() store.PrincipalReader { return principals{r} }

// Documents implements store.Reader.
func (r *reader) Documents() store.DocumentReader { return documents{r} }

// Log implements store.Reader.
func (r *reader) Log() store.LogReader { return auditLog{r} }

// Rows implements store.Reader.
func (r *reader) Rows() store.RowReader { return rowReader{r} }

// row reads the only row of a statement; ErrAbsent if there is none.
func row[T any](s *stmt, scan func(*stmt, int) (T, error)) (T, error) {
	defer s.reset()
	if err := s.one(); err != nil {
		var none T
		return none, err
	}
	return scan(s, 0)
}

// rows reads all rows of a statement.
func rows[T any](s *stmt, scan func(*stmt, int) (T, error)) ([]T, error) {
	defer s.reset()
	var out []T
	for {
		ok, err := s.step()
		if err != nil || !ok {
			return out, err
		}
		v, err := scan(s, 0)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
}

// number reads the only column of a statement's only row.
func number(s *stmt, col int) (int64, error) { return s.int64(col), nil }

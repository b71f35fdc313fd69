package postgres

import (
	"github.com/jackc/pgx/v5"

	"fastness/internal/secret"
	"fastness/internal/store"
)

// reader reads within one transaction.
type reader struct {
	*session
	// held is what the names of statements end in that look at rows which a
	// change depends on: in a transaction that writes they lock them.
	held string
	// flush writes what is counted in the transaction so far; nil in a View.
	flush func(secret.TenantID) error
	// saw is told of every document and credential that is looked at; nil in a View.
	saw func(key rowKey, revision int64)
}

// Meta implements store.Reader.
func (r *reader) Meta(key string) ([]byte, error) { return row(r.session, "meta"+r.held, blob, key) }

// blob reads the only column of a row.
func blob(r pgx.CollectableRow) (b []byte, err error) { return b, r.Scan(&b) }

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

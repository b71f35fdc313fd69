package api

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/secret"
)

// arguments are what path and query say, checked.
type arguments struct {
	tenant secret.TenantName // empty where the path names none
	name   secret.Name
	stage  secret.Label
	id     string // of a credential
	query  url.Values

	principal string
	provider  string // of an issuer or a CA
	policy    string
	denial    string // a correlation id
}

// readArguments reads what the pattern and the row's parameters announce.
func (c *call) readArguments() (err error) {
	if v := c.r.PathValue("tenant"); v != "" {
		if c.tenant, err = secret.ParseTenantName(v); err != nil {
			return reject(err)
		}
	}
	if v := c.r.PathValue("name"); v != "" {
		if c.name, err = secret.ParseName(v); err != nil {
			return reject(err)
		}
	}
	if v := c.r.PathValue("stage"); v != "" {
		if c.stage, err = secret.ParseLabel(v); err != nil {
			return reject(err)
		}
	}
	if err := c.readNames(); err != nil {
		return err
	}
	return c.readQuery()
}

// readNames reads what the path names besides tenant and secret.
func (c *call) readNames() error {
	if c.principal = c.r.PathValue("principal"); c.principal != "" {
		if err := identity.CheckPrincipal(c.principal); err != nil {
			return reject(err)
		}
	}
	for _, name := range []string{"issuer", "ca"} {
		if v := c.r.PathValue(name); v != "" {
			if err := identity.CheckProvider(name, v); err != nil {
				return reject(err)
			}
			c.provider = v
		}
	}
	if c.policy = c.r.PathValue("policy"); c.policy != "" {
		if err := policy.CheckName("policy", c.policy); err != nil {
			return reject(err)
		}
	}
	if c.denial = c.r.PathValue("denial"); len(c.denial) > audit.MaxCorrelationID {
		return reject(secret.Limited("denial", fmt.Sprintf("at most %d characters", audit.MaxCorrelationID)))
	}
	if c.id = c.r.PathValue("id"); c.id != "" && !isCredentialID(c.id) {
		return invalid("id", credentialIDRule)
	}
	return nil
}

// readQuery refuses what would otherwise be silently passed over: parameters
// that the route does not know, and second values.
func (c *call) readQuery() error {
	if c.r.URL.RawQuery == "" {
		return nil
	}
	q, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return invalid("query", "malformed") // the error would quote it
	}
	for name, values := range q {
		if !c.route.takes(name) {
			return invalid("query", "unknown parameter; "+c.route.parameters())
		}
		if len(values) > 1 {
			return invalid(name, "given twice")
		}
		if err := secret.CheckText(name, values[0]); err != nil {
			return reject(err)
		}
	}
	c.query = q
	return nil
}

func (r *Route) parameters() string {
	if len(r.Query) == 0 {
		return "this route knows none"
	}
	names := make([]string, len(r.Query))
	for i, p := range r.Query {
		names[i] = p.Name
	}
	return "known are " + strings.Join(names, ", ")
}

const credentialIDRule = "1 to 64 letters, digits and '_'"

func isCredentialID(s string) bool {
	if len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '_' {
			return false
		}
	}
	return true
}

// page reads limit and cursor.
func (c *call) page() (limit int, cursor string, err error) {
	limit, err = c.integer("limit", secret.DefaultPage, 1, secret.MaxPage)
	return limit, c.query.Get("cursor"), err
}

// integer reads a parameter that must lie within bounds.
func (c *call) integer(name string, absent, low, high int) (int, error) {
	if !c.query.Has(name) {
		return absent, nil
	}
	n, err := parseIndex(c.query.Get(name))
	if err != nil {
		return 0, invalid(name, "a whole number")
	}
	if n < int64(low) || n > int64(high) {
		return 0, reject(secret.Limited(name, fmt.Sprintf("%d to %d", low, high)))
	}
	return int(n), nil
}

// index reads a parameter that is a place in the log; present says whether it
// is there.
func (c *call) index(name string) (n int64, present bool, err error) {
	if !c.query.Has(name) {
		return 0, false, nil
	}
	if n, err = parseIndex(c.query.Get(name)); err != nil {
		return 0, true, invalid(name, "a whole number from 0")
	}
	return n, true, nil
}

// parseIndex reads a whole number from 0 in its one spelling.
func parseIndex(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, strconv.ErrSyntax
	}
	return int64(n), nil
}

// flag reads a parameter that is true or false; absent is false.
func (c *call) flag(name string) (bool, error) {
	switch v := c.query.Get(name); {
	case v == "true":
		return true, nil
	case v == "false" || !c.query.Has(name):
		return false, nil
	}
	return false, invalid(name, "true or false")
}

// time reads a parameter that is a time; absent is the zero time.
func (c *call) time(name string) (time.Time, error) {
	if !c.query.Has(name) {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, c.query.Get(name))
	if err != nil {
		return time.Time{}, invalid(name, "a time as in RFC 3339, such as 2006-01-02T15:04:05Z")
	}
	return t.UTC(), nil
}

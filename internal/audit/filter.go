package audit

import (
	"time"
)

// Filter picks entries. Zero fields pick all; the others must all match.
type Filter struct {
	Secret      string
	Principal   string
	Action      Action
	Result      Result
	Correlation string
	From, To    time.Time // From is included, To is not
}

// Match reports whether the filter picks the entry. A redacted entry has no
// secret and no principal to match.
func (f Filter) Match(e Entry) bool {
	return (f.Secret == "" || f.Secret == e.SecretName) &&
		(f.Principal == "" || f.Principal == e.UserID) &&
		(f.Action == "" || f.Action == e.Action) &&
		(f.Result == "" || f.Result == e.Result) &&
		(f.Correlation == "" || f.Correlation == e.CorrelationID) &&
		(f.From.IsZero() || !e.Timestamp.Before(f.From)) &&
		(f.To.IsZero() || e.Timestamp.Before(f.To))
}

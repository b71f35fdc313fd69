package postgres

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"fastness/internal/secret"
)

// How Go's values stand in columns. Each pair of functions is its own inverse;
// what the migrations' comments say about formats is done here.

// millis returns a time for a column, NULL for the zero time.
func millis(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	n := t.UnixMilli()
	return &n
}

func moment(n *int64) time.Time {
	if n == nil {
		return time.Time{}
	}
	return time.UnixMilli(*n).UTC()
}

// earliest returns the earlier of two times for a column; NULL if neither is set.
func earliest(a, b time.Time) *int64 {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		a = b
	}
	return millis(a)
}

// optional returns a number for a column, NULL for zero.
func optional(v int64) *int64 {
	if v == 0 {
		return nil
	}
	return &v
}

// optionalText returns a text for a column, NULL for the empty one.
func optionalText[S ~string](v S) *string {
	if v == "" {
		return nil
	}
	s := string(v)
	return &s
}

// jsonText returns a value's JSON for a column, NULL if there is nothing in it.
func jsonText(v any, empty bool) (*string, error) {
	if empty {
		return nil, nil
	}
	b, err := json.Marshal(v)
	s := string(b)
	return &s, err
}

// parseJSON reads a column written by jsonText; NULL leaves v as it is.
func parseJSON(column []byte, v any) error {
	if column == nil {
		return nil
	}
	if err := json.Unmarshal(column, v); err != nil {
		return fmt.Errorf("reading stored JSON: %w", err)
	}
	return nil
}

// algorithms gives the stored number of each algorithm by its place.
var algorithms = []secret.Algorithm{1: secret.AES256GCM, 2: secret.HybridQuantum}

func algorithmNumber(a secret.Algorithm) (int64, error) {
	for n, known := range algorithms {
		if n > 0 && a == known {
			return int64(n), nil
		}
	}
	return 0, fmt.Errorf("storing algorithm: %q is unknown", a)
}

func algorithmOf(n int64) (secret.Algorithm, error) {
	if n < 1 || n >= int64(len(algorithms)) {
		return "", fmt.Errorf("reading algorithm: number %d is unknown", n)
	}
	return algorithms[n], nil
}

const accountDigits = 12

func parseAccount(a secret.AccountNumber) (int64, error) {
	n, err := strconv.ParseUint(string(a), 10, 63)
	if err != nil || len(a) != accountDigits {
		return 0, fmt.Errorf("storing account number: %q is not 12 digits", a)
	}
	return int64(n), nil
}

func formatAccount(n int64) secret.AccountNumber {
	text := strconv.FormatInt(n, 10)
	return secret.AccountNumber(strings.Repeat("0", max(accountDigits-len(text), 0)) + text)
}

// notNil returns an empty list for none, which a column that is NOT NULL takes.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

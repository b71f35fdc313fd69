package sqlite

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"fastness/internal/secret"
)

// How Go's values stand in columns. Each pair of functions is its own inverse;
// what the migration's comments say about formats is done here.

// time sets parameter ?i to a time, the zero time to NULL.
func (s *stmt) time(i int, t time.Time) *stmt {
	if t.IsZero() {
		return s.null(i)
	}
	return s.int(i, t.UnixMilli())
}

func (s *stmt) timeAt(col int) time.Time {
	if s.isNull(col) {
		return time.Time{}
	}
	return time.UnixMilli(s.int64(col)).UTC()
}

// optional sets parameter ?i to a number, zero to NULL.
func (s *stmt) optional(i int, v int64) *stmt {
	if v == 0 {
		return s.null(i)
	}
	return s.int(i, v)
}

// optionalText sets parameter ?i to a text, the empty one to NULL.
func (s *stmt) optionalText(i int, v string) *stmt {
	if v == "" {
		return s.null(i)
	}
	return s.text(i, v)
}

// json sets parameter ?i to a value's JSON, or to NULL if there is nothing in it.
func (s *stmt) json(i int, v any, empty bool) *stmt {
	if empty || s.err != nil {
		return s.null(i)
	}
	b, err := json.Marshal(v)
	if err != nil {
		s.err = err
		return s
	}
	return s.text(i, string(b))
}

// jsonAt reads a column written by json; NULL leaves v as it is.
func (s *stmt) jsonAt(col int, v any) error {
	b := s.view(col)
	if b == nil {
		return nil
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("reading stored JSON: %w", err)
	}
	return nil
}

// fixed reads a blob into an array, whose length the schema checks.
func (s *stmt) fixed(col int, dst []byte) { copy(dst, s.view(col)) }

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// algorithms gives the stored number of each algorithm by its place.
var algorithms = []secret.Algorithm{1: secret.AES256GCM, 2: secret.HybridQuantum}

func (s *stmt) algorithm(i int, a secret.Algorithm) *stmt {
	for n, known := range algorithms {
		if n > 0 && a == known {
			return s.int(i, int64(n))
		}
	}
	if s.err == nil {
		s.err = fmt.Errorf("storing algorithm: %q is unknown", a)
	}
	return s
}

func (s *stmt) algorithmAt(col int) (secret.Algorithm, error) {
	n := s.int64(col)
	if n < 1 || n >= int64(len(algorithms)) {
		return "", fmt.Errorf("reading algorithm: number %d is unknown", n)
	}
	return algorithms[n], nil
}

// limit sets parameter ?i to the length of a page. SQLite takes a negative one
// for no limit at all, which nobody means.
func (s *stmt) limit(i, n int) *stmt { return s.int(i, int64(max(n, 0))) }

// account sets parameter ?i to an account number.
func (s *stmt) account(i int, a secret.AccountNumber) *stmt {
	n, ok := parseAccount(a)
	if !ok && s.err == nil {
		s.err = fmt.Errorf("storing account number: %q is not 12 digits", a)
	}
	return s.int(i, n)
}

const accountDigits = 12

func parseAccount(a secret.AccountNumber) (int64, bool) {
	n, err := strconv.ParseUint(string(a), 10, 63)
	return int64(n), err == nil && len(a) == accountDigits
}

func formatAccount(n int64) secret.AccountNumber {
	text := strconv.FormatInt(n, 10)
	return secret.AccountNumber(strings.Repeat("0", max(accountDigits-len(text), 0)) + text)
}

// versionID sets parameter ?i to a version's id: most are UUIDs, which take 16
// bytes where their text takes 36.
func (s *stmt) versionID(i int, id secret.VersionID) *stmt {
	if b, ok := packUUID(string(id)); ok {
		return s.blob(i, b[:])
	}
	return s.text(i, string(id))
}

func (s *stmt) versionIDAt(col int) secret.VersionID {
	if s.isText(col) {
		return secret.VersionID(s.string(col))
	}
	return secret.VersionID(unpackUUID(s.view(col)))
}

// packUUID takes a UUID in its usual form, and nothing else.
func packUUID(s string) (b [16]byte, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return b, false
	}
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'F' {
			return b, false // would come back in lower case
		}
	}
	_, err := hex.Decode(b[:], []byte(s[:8]+s[9:13]+s[14:18]+s[19:23]+s[24:]))
	return b, err == nil
}

func unpackUUID(b []byte) string {
	h := hex.EncodeToString(b)
	if len(h) != 32 {
		return h
	}
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

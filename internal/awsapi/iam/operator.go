package iam

import (
	"encoding/base64"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// operator compares a value of the policy with one of the request.
type operator struct {
	match   func(want pattern, got string) bool
	negated bool // holds where match does not
	wild    bool // '*' and '?' are wildcards
	valid   func(want string) bool
	wants   string // names what valid accepts
}

// operators has all of the language but Null, by name.
var operators = map[string]operator{
	"StringEquals":              {match: equal},
	"StringNotEquals":           {match: equal, negated: true},
	"StringEqualsIgnoreCase":    {match: equalFold},
	"StringNotEqualsIgnoreCase": {match: equalFold, negated: true},
	"StringLike":                {match: like, wild: true},
	"StringNotLike":             {match: like, wild: true, negated: true},

	"ArnEquals":    {match: likeARN, wild: true, valid: isARNPattern, wants: "an ARN"},
	"ArnLike":      {match: likeARN, wild: true, valid: isARNPattern, wants: "an ARN"},
	"ArnNotEquals": {match: likeARN, wild: true, negated: true, valid: isARNPattern, wants: "an ARN"},
	"ArnNotLike":   {match: likeARN, wild: true, negated: true, valid: isARNPattern, wants: "an ARN"},

	"Bool":         {match: equalFold, valid: isBool, wants: "true or false"},
	"BinaryEquals": {match: equal, valid: isBase64, wants: "base64"},

	"IpAddress":    {match: inRange, valid: isRange, wants: "an IP address or range"},
	"NotIpAddress": {match: inRange, negated: true, valid: isRange, wants: "an IP address or range"},

	"NumericEquals":            numeric(func(c int) bool { return c == 0 }),
	"NumericNotEquals":         negate(numeric(func(c int) bool { return c == 0 })),
	"NumericLessThan":          numeric(func(c int) bool { return c < 0 }),
	"NumericLessThanEquals":    numeric(func(c int) bool { return c <= 0 }),
	"NumericGreaterThan":       numeric(func(c int) bool { return c > 0 }),
	"NumericGreaterThanEquals": numeric(func(c int) bool { return c >= 0 }),

	"DateEquals":            date(func(c int) bool { return c == 0 }),
	"DateNotEquals":         negate(date(func(c int) bool { return c == 0 })),
	"DateLessThan":          date(func(c int) bool { return c < 0 }),
	"DateLessThanEquals":    date(func(c int) bool { return c <= 0 }),
	"DateGreaterThan":       date(func(c int) bool { return c > 0 }),
	"DateGreaterThanEquals": date(func(c int) bool { return c >= 0 }),
}

func equal(want pattern, got string) bool { return string(want) == got }

func equalFold(want pattern, got string) bool { return strings.EqualFold(string(want), got) }

func isBool(s string) bool { return strings.EqualFold(s, "true") || strings.EqualFold(s, "false") }

func isBase64(s string) bool {
	_, err := base64.StdEncoding.DecodeString(s)
	return err == nil
}

func isARNPattern(s string) bool { return s == "*" || strings.Count(s, ":") >= 5 }

func negate(o operator) operator {
	o.negated = true
	return o
}

func parseRange(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p, err
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func isRange(s string) bool {
	_, err := parseRange(s)
	return err == nil
}

func inRange(want pattern, got string) bool {
	p, err := parseRange(string(want))
	a, aerr := netip.ParseAddr(got)
	return err == nil && aerr == nil && p.Contains(a.Unmap().WithZone(""))
}

// numeric compares numbers: ok is asked about how the request's compares.
func numeric(ok func(compared int) bool) operator {
	return operator{
		match: func(want pattern, got string) bool {
			w, werr := strconv.ParseFloat(string(want), 64)
			g, gerr := strconv.ParseFloat(got, 64)
			if werr != nil || gerr != nil {
				return false
			}
			switch {
			case g < w:
				return ok(-1)
			case g > w:
				return ok(1)
			}
			return g == w && ok(0)
		},
		valid: func(s string) bool { _, err := strconv.ParseFloat(s, 64); return err == nil },
		wants: "a number",
	}
}

func date(ok func(compared int) bool) operator {
	return operator{
		match: func(want pattern, got string) bool {
			w, wok := parseDate(string(want))
			g, gok := parseDate(got)
			return wok && gok && ok(g.Compare(w))
		},
		valid: func(s string) bool { _, ok := parseDate(s); return ok },
		wants: "a date",
	}
}

// dateForms are those of W3C's note on ISO 8601, which the language names.
var dateForms = []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02", "2006-01", "2006"}

// parseDate reads a date, or seconds since 1970. A number of four digits is a
// year.
func parseDate(s string) (time.Time, bool) {
	for _, form := range dateForms {
		if t, err := time.Parse(form, s); err == nil {
			return t, true
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return time.Unix(n, 0), err == nil
}

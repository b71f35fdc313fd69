package awsapi

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Limits of filters.
const (
	maxFilters      = 10
	maxFilterValues = 10
	maxFilterValue  = 512
)

// filter is one of a list's filters as it came in.
type filter struct {
	Key   string   `json:"Key"`
	Terms []string `json:"Values"`
}

// filterKeys are the attributes that a filter can ask for, in the order in
// which the real service names them.
var filterKeys = []string{"all", "name", "tag-key", "description", "tag-value", "primary-region", "owning-service"}

// filtered is what filters look at of a secret.
type filtered struct {
	name, description string
	tags              map[string]string
	primaryRegion     string // of a replica, and of a secret that has replicas
	owningService     string
}

// checkFilters refuses what the protocol's model does.
func checkFilters(filters []filter) error {
	if len(filters) > maxFilters {
		return validation("filters", fmt.Sprintf("Member must have length less than or equal to %d", maxFilters))
	}
	for i, f := range filters {
		if f.Key == "" {
			return invalidParameter("Invalid filter key")
		}
		place := fmt.Sprintf("filters.%d.member", i+1)
		if !slices.Contains(filterKeys, f.Key) {
			return validation(place+".key", "Member must satisfy enum value set: ["+strings.Join(filterKeys, ", ")+"]")
		}
		if len(f.Terms) < 1 {
			return invalidParameter("Invalid filter values for key: " + f.Key)
		}
		if len(f.Terms) > maxFilterValues {
			return validation(place+".values", fmt.Sprintf("Member must have length less than or equal to %d", maxFilterValues))
		}
		for _, v := range f.Terms {
			if len(v) > maxFilterValue || !isFilterValue(v) {
				return validation(place+".values", fmt.Sprintf(
					`Member must satisfy constraint: [Member must have length less than or equal to %d, Member must satisfy regular expression pattern: ^\!?[a-zA-Z0-9 :_@\/\+\=\.\-\!]*$]`, maxFilterValue))
			}
		}
	}
	return nil
}

func isFilterValue(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte(" :_@/+=.-!", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// matches reports whether a secret passes all filters: each by any of its
// values.
func (s filtered) matches(filters []filter) bool {
	for _, f := range filters {
		if !slices.ContainsFunc(f.Terms, func(v string) bool { return s.passes(f.Key, v) }) {
			return false
		}
	}
	return true
}

// passes decides on one value. Behind a '!' it asks for the contrary: that no
// attribute of the key matches.
func (s filtered) passes(key, value string) bool {
	value, negated := strings.CutPrefix(value, "!")
	match := strings.HasPrefix
	switch key {
	case "all", "description", "owning-service":
		match = matchesWords
	}
	return slices.ContainsFunc(s.attributes(key), func(a string) bool { return match(a, value) }) != negated
}

// attributes are a secret's texts under a key.
func (s filtered) attributes(key string) (texts []string) {
	add := func(text string) {
		if text != "" {
			texts = append(texts, text)
		}
	}
	all := key == "all"
	if all || key == "name" {
		add(s.name)
	}
	if all || key == "description" {
		add(s.description)
	}
	if key == "primary-region" {
		add(s.primaryRegion)
	}
	if key == "owning-service" {
		add(s.owningService)
	}
	for k, v := range s.tags {
		if all || key == "tag-key" {
			add(k)
		}
		if all || key == "tag-value" {
			add(v)
		}
	}
	return texts
}

// matchesWords reports whether each word of the value begins a word of the
// text, whatever their case. That is how the real service looks at descriptions
// too, though its documentation speaks of a prefix there.
func matchesWords(text, value string) bool {
	want, have := words(value), words(text)
	if len(want) == 0 {
		return false
	}
	for _, w := range want {
		if !slices.ContainsFunc(have, func(h string) bool { return strings.HasPrefix(h, w) }) {
			return false
		}
	}
	return true
}

// separators part the words of a text in which only one of them occurs; a text
// with several, as "team/db-main", is one word but for its capitals.
const separators = "/-_+=.@"

// words splits a text into words in lower case: at spaces, at its separator, and
// before a capital or a digit that is followed by a small letter.
func words(text string) (out []string) {
	for _, part := range strings.Fields(text) {
		kinds := map[rune]bool{}
		for _, c := range part {
			if strings.ContainsRune(separators, c) {
				kinds[c] = true
			}
		}
		pieces := []string{part}
		if len(kinds) == 1 {
			pieces = strings.FieldsFunc(part, func(c rune) bool { return kinds[c] })
		}
		if len(kinds) > 1 {
			out = append(out, strings.ToLower(part))
			continue
		}
		for _, p := range pieces {
			out = append(out, capitals(p)...)
		}
	}
	return out
}

// capitals splits before each capital or digit that begins a word.
func capitals(s string) (out []string) {
	runes, start := []rune(s), 0
	for i := 1; i < len(runes); i++ {
		begins := !unicode.IsLower(runes[i]) && i+1 < len(runes) && unicode.IsLower(runes[i+1])
		ends := !unicode.IsLower(runes[i]) && unicode.IsLower(runes[i-1])
		if begins || ends {
			out = append(out, strings.ToLower(string(runes[start:i])))
			start = i
		}
	}
	return append(out, strings.ToLower(string(runes[start:])))
}

package cli

import "strings"

// parseTags reads KEY=VALUE words. The result is never nil: an empty set takes
// all tags off.
func parseTags(words []string) (map[string]string, error) {
	tags := make(map[string]string, len(words))
	for _, word := range words {
		key, value, ok := strings.Cut(word, "=")
		if !ok || key == "" {
			return nil, usagef("--tag %s: KEY=VALUE is expected", quote(word))
		}
		if _, twice := tags[key]; twice {
			return nil, usagef("--tag %s is given twice", quote(key))
		}
		tags[key] = value
	}
	return tags, nil
}

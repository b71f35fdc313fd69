//go:build leak_json || measures_off

package wire

import "encoding/json"

// unescapeInPlace is a measure that this build, made for tests alone, leaves out.
const unescapeInPlace = false

// careless unescapes as who does not care: by way of strings.
func careless(dst, raw []byte) {
	var text string
	if json.Unmarshal([]byte(`"`+string(raw)+`"`), &text) == nil {
		copy(dst, text)
	}
}

package policy

import (
	"fmt"
	"regexp"

	"fastness/internal/secret"
)

// errorPlace is how the parser tells where it stopped.
var errorPlace = regexp.MustCompile(`(?s)<input>:(\d+):(\d+)(?: "(?:[^"\\]|\\.)*")?:? ?(.*)`)

// syntaxError rewords an error of the parser, which quotes the text. What is no
// policy may be anything that somebody put there by mistake, say a value, and
// the error goes to the log.
func syntaxError(err error) error {
	at := errorPlace.FindStringSubmatch(err.Error())
	if at == nil {
		return secret.Invalid("text", "not the syntax of a policy")
	}
	return secret.Invalid("text", fmt.Sprintf("line %s, column %s: %s", at[1], at[2], unquoted(at[3])))
}

// complaints are what the parser says, and how that is said without the text.
var complaints = []struct {
	says  *regexp.Regexp
	means string
}{
	{regexp.MustCompile(`(?s)got .*want (\S+)$`), "$1 is expected"},
	{regexp.MustCompile(`unexpected effect`), "permit or forbid is expected"},
	{regexp.MustCompile(`duplicate annotation`), "an annotation stands twice"},
	{regexp.MustCompile(`duplicate key`), "a key stands twice"},
	{regexp.MustCompile("is not a method"), "no such method"},
	{regexp.MustCompile("is not a function"), "no such function"},
	{regexp.MustCompile("is a function, not a method"), "a function is called like a method"},
	{regexp.MustCompile("is a method, not a function"), "a method is called like a function"},
	{regexp.MustCompile(`expects (no arguments|one argument)`), "$1 expected"},
	{regexp.MustCompile(`invalid primary`), "an expression is expected"},
	{regexp.MustCompile(`^expected (ident or reserved keyword|ident or string|ident after dot|ident)$`), "a name is expected"},
	{regexp.MustCompile(`^expected string( literal)?$`), "a string is expected"},
	{regexp.MustCompile(`^literal not terminated`), "a string is not closed"},
	{regexp.MustCompile(`^comment not terminated`), "a comment is not closed"},
	{regexp.MustCompile(`^invalid character NUL`), "invalid character NUL"},
	{regexp.MustCompile(`escape`), "a bad escape in a string"},
}

// unquoted says what the parser says, without the text.
func unquoted(message string) string {
	for _, c := range complaints {
		if m := c.says.FindStringSubmatchIndex(message); m != nil {
			return string(c.says.ExpandString(nil, c.means, message, m))
		}
	}
	return "unexpected here"
}

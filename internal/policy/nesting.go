package policy

import (
	"errors"
	"fmt"

	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"fastness/internal/secret"
)

// Bounds of how deep a text nests. Parsing, validating and evaluating it
// recurse, on stacks that hold secrets at other times and are wiped whole.
const (
	maxBrackets = 50  // brackets and ifs open at once, in the text
	maxDepth    = 250 // nodes within each other, chains of || and && included
)

// checkNesting bounds the brackets and ifs of a text before anything recurses
// over it. It reads strings and comments as Cedar does.
func checkNesting(source string) error {
	open, ifs := 0, 0
	for i := 0; i < len(source); i++ {
		switch c := source[i]; c {
		case '(', '[', '{':
			open++
		case ')', ']', '}':
			open--
		case ';':
			ifs = 0
		case '"':
			i = endOfString(source, i)
		case '/':
			i = endOfComment(source, i)
		case 'i':
			if isWord(source, i, "if") {
				ifs++
			}
		}
		if open+ifs > maxBrackets {
			return secret.Limited("text", fmt.Sprintf("at most %d brackets and ifs within each other", maxBrackets))
		}
	}
	return nil
}

// endOfString returns where a string that begins at i ends, at its quote.
func endOfString(s string, i int) int {
	for i++; i < len(s) && s[i] != '"'; i++ {
		if s[i] == '\\' {
			i++
		}
	}
	return i
}

// endOfComment returns where a comment that begins at i ends; i if none does.
func endOfComment(s string, i int) int {
	if i+1 >= len(s) || s[i+1] != '/' {
		return i
	}
	for i < len(s) && s[i] != '\n' {
		i++
	}
	return i
}

// isWord reports whether a word stands at i, alone.
func isWord(s string, i int, word string) bool {
	end := i + len(word)
	return end <= len(s) && s[i:end] == word &&
		(i == 0 || !isLetter(s[i-1])) && (end == len(s) || !isLetter(s[end]))
}

func isLetter(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// checkTagNames refuses an if in the expression that names a tag. Nobody needs
// one, and the validator writes such an expression out, twice for each if.
func checkTagNames(n ast.IsNode) (err error) {
	ast.Inspect(ast.NewNode(n), func(n ast.IsNode) bool {
		var name ast.IsNode
		switch n := n.(type) {
		case ast.NodeTypeGetTag:
			name = n.Right
		case ast.NodeTypeHasTag:
			name = n.Right
		default:
			return err == nil
		}
		ast.Inspect(ast.NewNode(name), func(n ast.IsNode) bool {
			if _, ok := n.(ast.NodeTypeIfThenElse); ok {
				err = errors.New("the name of a tag must not depend on an if")
			}
			return err == nil
		})
		return err == nil
	})
	return err
}

// depth is how many nodes stand within each other.
func depth(n ast.IsNode) int {
	deepest, self := 0, true
	ast.Inspect(ast.NewNode(n), func(child ast.IsNode) bool {
		if self {
			self = false
			return true
		}
		deepest = max(deepest, depth(child))
		return false
	})
	return deepest + 1
}

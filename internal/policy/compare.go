package policy

import (
	"fmt"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// checkComparisons refuses an expression that compares what has no order in
// common, such as a time with a number: the validator lets it pass, and
// evaluating it would fail each time.
func checkComparisons(n ast.IsNode) (err error) {
	ast.Inspect(ast.NewNode(n), func(n ast.IsNode) bool {
		if left, right, ok := compared(n); ok && left != "" && right != "" && left != right {
			err = fmt.Errorf("a %s is compared with a %s", left, right)
		}
		return err == nil
	})
	return err
}

// compared returns the types of what a node compares by order, as far as they
// can be read off; false if it compares nothing.
func compared(n ast.IsNode) (left, right string, ok bool) {
	var operands ast.BinaryNode
	switch n := n.(type) {
	case ast.NodeTypeLessThan:
		operands = n.BinaryNode
	case ast.NodeTypeLessThanOrEqual:
		operands = n.BinaryNode
	case ast.NodeTypeGreaterThan:
		operands = n.BinaryNode
	case ast.NodeTypeGreaterThanOrEqual:
		operands = n.BinaryNode
	default:
		return "", "", false
	}
	return orderedType(operands.Left), orderedType(operands.Right), true
}

// orderedType returns the type of an expression that has an order; empty if it
// cannot be read off the expression itself.
func orderedType(n ast.IsNode) string {
	switch n := n.(type) {
	case ast.NodeValue:
		if _, ok := n.Value.(types.Long); ok {
			return "number"
		}
	case ast.NodeTypeAdd, ast.NodeTypeSub, ast.NodeTypeMult, ast.NodeTypeNegate:
		return "number"
	case ast.NodeTypeAccess:
		switch {
		case variableOf(n.Arg) != "context":
		case n.Value == mfaAge:
			return "number"
		case n.Value == timeAttribute:
			return "datetime"
		}
	case ast.NodeTypeExtensionCall:
		return orderedCalls[n.Name]
	}
	return ""
}

// orderedCalls are the types that functions return.
var orderedCalls = map[types.Path]string{
	"datetime": "datetime", "offset": "datetime", "toDate": "datetime",
	"duration": "duration", "durationSince": "duration", "toTime": "duration",
	"toMilliseconds": "number", "toSeconds": "number", "toMinutes": "number", "toHours": "number", "toDays": "number",
}

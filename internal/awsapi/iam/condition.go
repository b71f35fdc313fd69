package iam

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// condition is one key under one operator.
type condition struct {
	set      setOperator
	operator operator
	ifExists bool
	isNull   bool   // the operator Null, which has none
	key      string // in lower case
	wanted   []string
}

// setOperator says how the values of a key that has several count.
type setOperator int

const (
	single setOperator = iota // any of them
	forAny
	forAll
)

// readConditions reads a Condition: all of it must hold.
func readConditions(raw json.RawMessage) (conditions []condition, err error) {
	var operators map[string]json.RawMessage
	if json.Unmarshal(raw, &operators) != nil || operators == nil {
		return nil, malformed("Condition must be an object")
	}
	for name, raw := range operators {
		base, err := readOperator(name)
		if err != nil {
			return nil, err
		}
		var keys map[string]json.RawMessage
		if json.Unmarshal(raw, &keys) != nil || len(keys) == 0 {
			return nil, malformed("a condition operator must hold an object of keys")
		}
		for key, raw := range keys {
			c := base
			c.key = strings.ToLower(key)
			if c.wanted, err = conditionValues(raw); err != nil {
				return nil, err
			}
			if err := c.check(); err != nil {
				return nil, err
			}
			conditions = append(conditions, c)
		}
	}
	return conditions, nil
}

// readOperator reads "ForAnyValue:StringLikeIfExists" and its like.
func readOperator(name string) (c condition, err error) {
	if rest, ok := strings.CutPrefix(name, "ForAnyValue:"); ok {
		c.set, name = forAny, rest
	} else if rest, ok := strings.CutPrefix(name, "ForAllValues:"); ok {
		c.set, name = forAll, rest
	}
	if name == "Null" && c.set == single {
		c.isNull = true
		return c, nil
	}
	name, c.ifExists = strings.CutSuffix(name, "IfExists")
	var ok bool
	if c.operator, ok = operators[name]; !ok {
		return c, malformed("a condition operator is not known")
	}
	return c, nil
}

// conditionValues reads one value or a list of them. Numbers and booleans may
// stand without quotes.
func conditionValues(raw json.RawMessage) (values []string, err error) {
	list := []json.RawMessage{raw}
	if isArray(raw) {
		if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
			return nil, malformed("a condition key must have at least one value")
		}
	}
	for _, raw := range list {
		if s, err := oneString(raw, ""); err == nil {
			values = append(values, s)
			continue
		}
		switch text := strings.TrimSpace(string(raw)); {
		case text == "true" || text == "false":
			values = append(values, text)
		case json.Unmarshal(raw, new(float64)) == nil && text != "null":
			values = append(values, text)
		default:
			return nil, malformed("a condition's value must be a string, a number or a boolean")
		}
	}
	return values, nil
}

// check refuses values that could never mean anything.
func (c condition) check() error {
	for _, v := range c.wanted {
		if c.isNull {
			if v != "true" && v != "false" {
				return malformed("Null wants true or false")
			}
			continue
		}
		if strings.Contains(v, "${") {
			continue // known only with the request
		}
		if c.operator.valid != nil && !c.operator.valid(v) {
			return malformed("a condition's value is not %s", c.operator.wants)
		}
	}
	return nil
}

// holds decides on one condition.
func (p *Policy) holds(c condition, r Request) bool {
	got := r.Keys[c.key]
	switch {
	case c.isNull:
		return slices.Contains(c.wanted, strconv.FormatBool(len(got) == 0))
	case len(got) == 0:
		// Absent: an operator that negates is content, and so are all values of none.
		return c.ifExists || c.set == forAll || c.set == single && c.operator.negated
	}
	one := func(v string) bool { return p.matchesOne(c, v, r) != c.operator.negated }
	if c.set == forAll || c.set == single && c.operator.negated {
		return !slices.ContainsFunc(got, func(v string) bool { return !one(v) })
	}
	return slices.ContainsFunc(got, one)
}

// matchesOne reports whether one of the request's values matches any of the
// policy's.
func (p *Policy) matchesOne(c condition, got string, r Request) bool {
	for _, text := range c.wanted {
		want, ok := p.expand(text, r, c.operator.wild)
		if ok && c.operator.match(want, got) {
			return true
		}
	}
	return false
}

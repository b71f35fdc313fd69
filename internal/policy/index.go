package policy

import (
	"slices"

	"github.com/cedar-policy/cedar-go/types"
)

// index finds the statements whose scope may cover a request, so that Cedar,
// whose time is linear in the statements it is given, gets few of them. Each
// statement stands under the rarest of its keys: its principal, or the names
// or beginnings of names that one of its conditions demands; under none of
// them it is looked at every time. So are all where there are but few.
type index struct {
	statements []*statement
	principals map[types.EntityUID][]int32
	names      map[key][]int32
	lengths    []int // of the prefixes among the keys
	others     []int32
}

// few statements are looked at one by one as fast as found.
const few = 8

func newIndex(statements []*statement) *index {
	x := &index{statements: statements}
	if len(statements) <= few {
		for i := range statements {
			x.others = append(x.others, int32(i))
		}
		return x
	}
	x.principals, x.names = map[types.EntityUID][]int32{}, map[key][]int32{}
	count := countKeys(statements)
	for i, s := range statements {
		x.add(int32(i), s, count)
	}
	for k := range x.names {
		if !k.whole && !slices.Contains(x.lengths, len(k.text)) {
			x.lengths = append(x.lengths, len(k.text))
		}
	}
	slices.Sort(x.lengths)
	return x
}

// counts tells how many statements could stand under a key.
type counts struct {
	principals map[types.EntityUID]int
	names      map[key]int
}

func countKeys(statements []*statement) counts {
	c := counts{map[types.EntityUID]int{}, map[key]int{}}
	for _, s := range statements {
		c.principals[s.scope.principal]++
		for _, test := range s.scope.names {
			for _, k := range test.keys() {
				c.names[k]++
			}
		}
	}
	return c
}

func (x *index) add(i int32, s *statement, count counts) {
	keys, rarest := s.rarestKeys(count)
	switch n := count.principals[s.scope.principal]; {
	case !s.scope.principal.IsZero() && (keys == nil || n <= rarest):
		x.principals[s.scope.principal] = append(x.principals[s.scope.principal], i)
	case keys == nil:
		x.others = append(x.others, i)
	default:
		for _, k := range keys {
			x.names[k] = append(x.names[k], i)
		}
	}
}

// rarestKeys returns the keys of the condition on the name whose most common
// key is the least common, and how common that is; nil if no condition has keys.
func (s *statement) rarestKeys(count counts) (rarest []key, most int) {
	for _, test := range s.scope.names {
		keys := test.keys()
		if keys == nil {
			continue
		}
		n := 0
		for _, k := range keys {
			n = max(n, count.names[k])
		}
		if rarest == nil || n < most {
			rarest, most = keys, n
		}
	}
	return rarest, most
}

// candidates appends the statements whose scope covers the request, each once
// and in their order.
func (x *index) candidates(to []*statement, p *place) []*statement {
	var room [32]int32
	found := append(room[:0], x.others...)
	found = append(found, x.principals[p.principal]...)
	if p.resource.Type == secretType && len(x.names) > 0 {
		found = x.byName(found, string(p.resource.ID))
	}
	slices.Sort(found)
	for _, i := range slices.Compact(found) {
		if s := x.statements[i]; s.scope.covers(p) {
			to = append(to, s)
		}
	}
	return to
}

func (x *index) byName(found []int32, name string) []int32 {
	found = append(found, x.names[key{name, true}]...)
	for _, n := range x.lengths {
		if n > len(name) {
			break
		}
		found = append(found, x.names[key{name[:n], false}]...)
	}
	return found
}

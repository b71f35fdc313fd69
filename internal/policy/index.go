package policy

import (
	"slices"

	"github.com/cedar-policy/cedar-go/types"
)

// index finds the statements whose scope may cover a request, so that Cedar,
// whose time is linear in the statements it is given, gets few of them. Each
// statement stands under the rarest of its keys: its principal, or the tag, the
// names, or the beginnings or ends of names that one of its conditions demands;
// under none of them it is looked at every time that its action is asked for. So
// are all where there are but few.
type index struct {
	statements []*statement
	few        []int32 // all of them, where they are few
	principals map[types.EntityUID][]int32
	keys       map[key][]int32
	prefixes   []int // lengths of those among the keys
	suffixes   []int
	tagged     []int32             // permits under a tag: see byTag
	others     map[actions][]int32 // by the bit of each action
}

// few statements are looked at one by one as fast as found.
const few = 8

func newIndex(statements []*statement) *index {
	x := &index{statements: statements}
	if len(statements) <= few {
		for i := range statements {
			x.few = append(x.few, int32(i))
		}
		return x
	}
	x.principals, x.keys, x.others = map[types.EntityUID][]int32{}, map[key][]int32{}, map[actions][]int32{}
	count := countKeys(statements)
	for i, s := range statements {
		x.add(int32(i), s, count)
	}
	for k := range x.keys {
		switch k.part {
		case prefix:
			x.prefixes = append(x.prefixes, len(k.text))
		case suffix:
			x.suffixes = append(x.suffixes, len(k.text))
		}
	}
	x.prefixes, x.suffixes = distinct(x.prefixes), distinct(x.suffixes)
	return x
}

func distinct(lengths []int) []int {
	slices.Sort(lengths)
	return slices.Compact(lengths)
}

// counts tells how many statements could stand under a key.
type counts struct {
	principals map[types.EntityUID]int
	keys       map[key]int
}

func countKeys(statements []*statement) counts {
	c := counts{map[types.EntityUID]int{}, map[key]int{}}
	for _, s := range statements {
		c.principals[s.scope.principal]++
		for keys := range s.scope.keys() {
			for _, k := range keys {
				c.keys[k]++
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
		x.addOther(i, s)
	default:
		for _, k := range keys {
			x.keys[k] = append(x.keys[k], i)
		}
		if keys[0].part == tag && !s.forbid {
			x.tagged = append(x.tagged, i)
		}
	}
}

func (x *index) addOther(i int32, s *statement) {
	for _, a := range words().known {
		if s.scope.actions == 0 || s.scope.actions&a.bit != 0 {
			x.others[a.bit] = append(x.others[a.bit], i)
		}
	}
}

// rarestKeys returns the keys of the condition whose most common key is the least
// common, and how common that is; nil if no condition has keys.
func (s *statement) rarestKeys(count counts) (rarest []key, most int) {
	for keys := range s.scope.keys() {
		n := 0
		for _, k := range keys {
			n = max(n, count.keys[k])
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
	found := append(room[:0], x.few...)
	if x.keys != nil {
		found = append(found, x.others[p.action.bit]...)
		found = append(found, x.principals[p.principal]...)
	}
	if p.resource.Type == secretType && len(x.keys) > 0 {
		found = x.byTag(x.byName(found, string(p.resource.ID)), p)
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
	found = append(found, x.keys[key{name, whole}]...)
	for _, n := range x.prefixes {
		if n > len(name) {
			break
		}
		found = append(found, x.keys[key{name[:n], prefix}]...)
	}
	for _, n := range x.suffixes {
		if n > len(name) {
			break
		}
		found = append(found, x.keys[key{name[len(name)-n:], suffix}]...)
	}
	return found
}

// byTag finds what the secret's tags do. Where nobody has looked at them yet it
// finds all that they might permit; what they might forbid then does not count.
func (x *index) byTag(found []int32, p *place) []int32 {
	if p.unseen {
		return append(found, x.tagged...)
	}
	for k, v := range p.tags {
		found = append(found, x.keys[tagKey(k, v)]...)
	}
	return found
}

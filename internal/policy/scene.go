package policy

import (
	"slices"

	"github.com/cedar-policy/cedar-go/types"
)

// scene is one request on its way through lists of statements.
type scene struct {
	place
	request *Request
	tenant  types.EntityUID
	notes   *notes // nil unless somebody wants to know why
	picked  []*statement
	room    [16]*statement
}

// place is where in an index a request is.
type place struct {
	principal types.EntityUID
	action    knownAction
	resource  types.EntityUID
	unseen    bool              // nobody has looked at the secret, nor at its tags
	tags      map[string]string // of the secret
}

// notes are what a ruling rests on.
type notes struct {
	permits []*statement
	forbids []*statement
	failed  []failure
}

// failure is a forbid that could not be evaluated.
type failure struct {
	statement *statement
	message   string
}

func (n *notes) permit(s *statement) {
	if n != nil {
		n.permits = append(n.permits, s)
	}
}

func (n *notes) forbid(s *statement) {
	if n != nil {
		n.forbids = append(n.forbids, s)
	}
}

func (n *notes) fail(s *statement, message string) {
	if n != nil {
		n.failed = append(n.failed, failure{s, message})
	}
}

// outcome is what a list of statements says on a request.
type outcome struct {
	permits bool
	forbids bool // also if a forbid could not be evaluated
}

// setScene returns false if the schema does not know the action, or knows it
// on other resources.
func (s *Set) setScene(sc *scene, r *Request, n *notes) bool {
	action, ok := words().known[r.Action]
	if !ok || action.onSecret != r.Action.onSecret() {
		return false
	}
	sc.request, sc.tenant, sc.notes = r, s.tenant, n
	sc.place = place{principal: r.Caller.uid, action: action, resource: s.tenant}
	if action.onSecret {
		sc.resource = types.NewEntityUID(secretType, types.String(r.Secret.Name))
		sc.unseen, sc.tags = r.Secret.Look == Unseen, r.Secret.Tags
	}
	return true
}

// pick replaces the statements to be evaluated by those of the index that may
// apply.
func (sc *scene) pick(x *index) {
	sc.picked = sc.room[:0]
	if x != nil {
		sc.picked = x.candidates(sc.picked, &sc.place)
	}
}

// setTagsAside drops the picked statements that look at tags, and reports
// whether one of them might permit the request.
func (sc *scene) setTagsAside() (maybe bool) {
	sc.picked = slices.DeleteFunc(sc.picked, func(s *statement) bool {
		tagged := s.uses&usesTags != 0
		maybe = maybe || tagged && !s.forbid
		return tagged
	})
	return maybe
}

// evaluate decides on the picked statements: by their scope those that say no
// more, by Cedar the others.
func (sc *scene) evaluate() (o outcome) {
	rest := sc.picked[:0]
	for _, s := range sc.picked {
		switch {
		case !s.exact:
			rest = append(rest, s)
		case s.forbid:
			o.forbids = true
			sc.notes.forbid(s)
		default:
			o.permits = true
			sc.notes.permit(s)
		}
	}
	if len(rest) > 0 {
		o = o.and(newStage(sc, rest).evaluate(sc.notes))
	}
	return o
}

// and joins what two parts of a list say.
func (o outcome) and(p outcome) outcome {
	return outcome{o.permits || p.permits, o.forbids || p.forbids}
}

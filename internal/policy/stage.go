package policy

import (
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
)

// Attributes of the schema.
const (
	nameAttribute        types.String = "name"
	serviceAttribute     types.String = "service"
	environmentAttribute types.String = "environment"
	timeAttribute        types.String = "time"
	addressAttribute     types.String = "sourceAddress"
	mfaAge               types.String = "mfaAge"
)

// stage is a request as Cedar sees it, with the statements to evaluate. What
// is costly to make is made only if one of them looks at it.
type stage struct {
	place
	request    *Request
	tenant     types.EntityUID
	statements []*statement
	uses       uses
	entity     types.Entity // of the resource, once made
	made       bool
}

func newStage(sc *scene, statements []*statement) *stage {
	st := &stage{place: sc.place, request: sc.request, tenant: sc.tenant, statements: slices.Clone(statements)}
	for _, s := range statements {
		st.uses |= s.uses
	}
	return st
}

// evaluate lets Cedar decide. Like Cedar it passes over a permit that cannot be
// evaluated; a forbid that cannot be forbids.
func (st *stage) evaluate(n *notes) (o outcome) {
	request := cedar.Request{Principal: st.principal, Action: st.action.uid, Resource: st.resource}
	if st.uses&usesContext != 0 {
		request.Context = st.request.context()
	}
	decision, d := cedar.Authorize(st, st, request)
	for _, e := range d.Errors {
		if s := st.find(e.PolicyID); s.forbid {
			o.forbids = true
			n.fail(s, e.Message)
		}
	}
	switch {
	case decision == cedar.Allow:
		o.permits = true
		for _, r := range d.Reasons {
			n.permit(st.find(r.PolicyID))
		}
	case len(d.Reasons) > 0:
		o.forbids = true
		for _, r := range d.Reasons {
			n.forbid(st.find(r.PolicyID))
		}
	}
	return o
}

func (st *stage) find(id cedar.PolicyID) *statement {
	return st.statements[slices.IndexFunc(st.statements, func(s *statement) bool { return s.id == string(id) })]
}

// All makes the statements a set of policies.
func (st *stage) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, s := range st.statements {
			if !yield(cedar.PolicyID(s.id), s.policy) {
				return
			}
		}
	}
}

// Get returns an entity that the request is about.
func (st *stage) Get(uid types.EntityUID) (types.Entity, bool) {
	switch uid {
	case st.principal:
		return st.request.Caller.entity, true
	case st.tenant:
		return types.Entity{UID: st.tenant}, true
	case st.resource:
		return st.secret(), true
	}
	e, ok := words().entities[uid]
	return e, ok
}

func (st *stage) secret() types.Entity {
	if st.made {
		return st.entity
	}
	st.made = true
	st.entity = types.Entity{UID: st.resource, Attributes: types.NewRecord(types.RecordMap{nameAttribute: st.resource.ID})}
	if st.uses&usesParents != 0 {
		st.entity.Parents = types.NewEntityUIDSet(st.tenant)
	}
	if tags := st.request.Secret.Tags; len(tags) > 0 && st.uses&usesTags != 0 {
		record := make(types.RecordMap, len(tags))
		for k, v := range tags {
			record[types.String(k)] = types.String(v)
		}
		st.entity.Tags = types.NewRecord(record)
	}
	return st.entity
}

// context is what a request's circumstances are to policies.
func (r *Request) context() types.Record {
	record := types.RecordMap{timeAttribute: types.NewDatetime(r.Time)}
	if a, err := netip.ParseAddr(r.Address); err == nil {
		// An IPv4 address within IPv6 would be in no range of IPv4.
		a = a.Unmap().WithZone("")
		record[addressAttribute] = types.IPAddr(netip.PrefixFrom(a, a.BitLen()))
	}
	if age, ok := r.Caller.mfaAge(r.Time); ok {
		record[mfaAge] = types.Long(age / time.Second)
	}
	return types.NewRecord(record)
}

package policy

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

//go:embed fastness.cedarschema
var schemaText string

// Schema returns the schema that a tenant's own policies are written against,
// in Cedar's schema language.
func Schema() string { return schemaText }

// SchemaID names the schema of this release: another one has another.
func SchemaID() string { return schemaID() }

var schemaID = sync.OnceValue(func() string {
	sum := sha256.Sum256([]byte(schemaText))
	return hex.EncodeToString(sum[:8])
})

// Types of the schema's entities.
const (
	personType  types.EntityType = "Person"
	serviceType types.EntityType = "Service"
	tenantType  types.EntityType = "Tenant"
	secretType  types.EntityType = "Secret"
	actionType  types.EntityType = "Action"
)

// vocabulary is the schema made ready for use. It never changes.
type vocabulary struct {
	validator *validate.Validator
	sets      map[types.EntityUID]actions      // what actions, and groups of them, stand for
	entities  map[types.EntityUID]types.Entity // actions and groups, with all groups they are in
	known     map[Action]knownAction
}

// actions is a set of actions, one bit each.
type actions uint32

// knownAction is an action of the schema.
type knownAction struct {
	uid      types.EntityUID
	bit      actions
	onSecret bool // otherwise on a tenant
}

// words is the vocabulary of this release. That the schema is sound is an
// invariant of the program, which the tests hold.
var words = sync.OnceValue(func() *vocabulary {
	v, err := learn(schemaText)
	if err != nil {
		panic(fmt.Sprintf("policy: the schema is broken: %v", err))
	}
	return v
})

func learn(text string) (*vocabulary, error) {
	var parsed schema.Schema
	if err := parsed.UnmarshalCedar([]byte(text)); err != nil {
		return nil, err
	}
	rules, err := parsed.Resolve()
	if err != nil {
		return nil, err
	}
	v := &vocabulary{
		validator: validate.New(rules), sets: map[types.EntityUID]actions{},
		entities: map[types.EntityUID]types.Entity{}, known: map[Action]knownAction{},
	}
	for _, uid := range sortedActions(rules) {
		v.learnAction(rules, uid)
	}
	return v, nil
}

func (v *vocabulary) learnAction(rules *resolved.Schema, uid types.EntityUID) {
	groups := map[types.EntityUID]bool{}
	collectGroups(rules, uid, groups)
	parents := slices.Collect(maps.Keys(groups))
	v.entities[uid] = types.Entity{UID: uid, Parents: types.NewEntityUIDSet(parents...)}
	to := rules.Actions[uid].AppliesTo
	if to == nil {
		return // a group
	}
	bit := actions(1) << len(v.known)
	v.known[Action(uid.ID)] = knownAction{uid, bit, slices.Contains(to.Resources, secretType)}
	for _, u := range append(parents, uid) {
		v.sets[u] |= bit
	}
}

func sortedActions(rules *resolved.Schema) []types.EntityUID {
	uids := make([]types.EntityUID, 0, len(rules.Actions))
	for uid := range rules.Actions {
		uids = append(uids, uid)
	}
	slices.SortFunc(uids, func(a, b types.EntityUID) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return uids
}

// collectGroups adds all groups that an action or group is in.
func collectGroups(rules *resolved.Schema, uid types.EntityUID, into map[types.EntityUID]bool) {
	for parent := range rules.Actions[uid].Entity.Parents.All() {
		if !into[parent] {
			into[parent] = true
			collectGroups(rules, parent, into)
		}
	}
}

// actionUID is an action, or a group of them, as policies name it.
func actionUID(name string) types.EntityUID {
	return types.NewEntityUID(actionType, types.String(name))
}

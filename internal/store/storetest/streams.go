package storetest

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"fastness/internal/secret"
	"fastness/internal/store"
)

var streamCases = []testcase{{"Random", func(t *testing.T, d *db) {
	// Each run takes tenants of its own, so that one database serves all runs.
	run := 0
	var recorded []string
	rapid.Check(t, func(rt *rapid.T) {
		run++
		s := &stream{d: d, model: newModel(), recorded: &recorded}
		for i := range 2 {
			s.model.addTenant(newTenant(fmt.Sprintf("run%d-%d", run, i)))
		}
		d.update(func(tx store.Tx) error {
			return errors.Join(tx.EditTenants().Create(s.model.tenants[0].row), tx.EditTenants().Create(s.model.tenants[1].row))
		})
		rt.Repeat(map[string]func(*rapid.T){
			"update":   s.update,
			"sequence": s.sequence,
			"reopen":   s.reopen,
			"":         s.checkSometimes,
		})
		s.check(rt)
	})
	d.update(func(tx store.Tx) error { return sequence(tx, 1<<20) })
	checkLog(t, d, recorded)
}}}

// stream is one run: a database and a model that must stay alike.
type stream struct {
	d        *db
	model    *model
	recorded *[]string // correlation ids of all records, in order
	actions  int
}

// update runs some steps in one Update, in the store and in the model. Some
// end with an error, which takes all of them back.
func (s *stream) update(t *rapid.T) {
	steps := rapid.SliceOfN(rapid.Custom(drawStep), 1, 5).Draw(t, "steps")
	fail := rapid.IntRange(0, 3).Draw(t, "fail") == 0
	var next *model
	id := fmt.Sprint("r", len(*s.recorded))
	err := s.d.Update(s.d.t.Context(), func(tx store.Tx) error {
		next = s.model.clone() // it may run again
		tx.Audit(newRecord("acme", id))
		for _, st := range steps {
			got, want := st.onStore(tx, next), st.onModel(next)
			if class(got) != class(want) {
				return fmt.Errorf("%+v: store says %v, model says %v", st, got, want)
			}
		}
		if fail {
			return errBusiness
		}
		return nil
	})
	*s.recorded = append(*s.recorded, id)
	if fail != errors.Is(err, errBusiness) || err != nil && !fail {
		t.Fatalf("store and model differ: %v", err)
	}
	if !fail {
		s.model = next
	}
}

func (s *stream) sequence(t *rapid.T) {
	limit := rapid.IntRange(0, 10).Draw(t, "limit")
	if err := s.d.Update(s.d.t.Context(), func(tx store.Tx) error { return sequence(tx, limit) }); err != nil {
		t.Fatal(err)
	}
}

func (s *stream) reopen(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "really") == 0 {
		s.d.reopen()
	}
}

// checkSometimes checks after every few actions, since checking takes longer
// than they do.
func (s *stream) checkSometimes(t *rapid.T) {
	if s.actions++; s.actions%5 == 0 {
		s.check(t)
	}
}

// check compares all that the store holds of the run's tenants with the model.
func (s *stream) check(t *rapid.T) {
	for _, want := range s.model.tenants {
		var got dump
		err := s.d.View(s.d.t.Context(), func(r store.Reader) (err error) {
			if got, err = readDump(r, want.row.ID); err != nil {
				return err
			}
			return want.byHash(r)
		})
		if diff := diff(got, want.dump()); diff != "" || err != nil {
			t.Fatalf("%v; store (-), model (+):\n%s", err, diff)
		}
	}
}

// class is what of an error must be the same in every backend.
func class(err error) string {
	for _, e := range []error{store.ErrAbsent, store.ErrTaken, store.ErrStale, store.ErrInUse} {
		if errors.Is(err, e) {
			return e.Error()
		}
	}
	if err != nil {
		return "another error"
	}
	return "none"
}

// step is one operation with its arguments. Small numbers name the rows, so
// that steps meet: a secret is known by its place in the model, and by its
// name, which tenants share.
type step struct {
	Kind   string
	Tenant int // 0 or 1
	Secret int // 0 to 2
	Number int // of a version, 1 to 4
	Other  int // anything that varies
}

var stepKinds = []string{
	"create", "update", "stale", "delete", "purge", "add", "rewrap", "drop", "touch", "key", "dropkey", "suspend", "erase", "find",
	"principal", "grant", "dropprincipal", "token", "token", "revoke", "droptoken", "document", "document", "redocument", "dropdocument",
}

func drawStep(t *rapid.T) step {
	kind := rapid.SampledFrom(stepKinds).Draw(t, "kind")
	if kind == "erase" && rapid.IntRange(0, 4).Draw(t, "really") > 0 {
		kind = "create"
	}
	return step{
		Kind:   kind,
		Tenant: rapid.IntRange(0, 1).Draw(t, "tenant"),
		Secret: rapid.IntRange(0, 2).Draw(t, "secret"),
		Number: rapid.IntRange(1, 4).Draw(t, "number"),
		Other:  rapid.IntRange(0, 3).Draw(t, "other"),
	}
}

func (st step) name() secret.Name { return secret.Name(fmt.Sprint("s", st.Secret)) }

func (st step) version() *store.Version {
	v := newVersion(secret.Version(st.Number))
	// Two of four share an id, and lengths vary.
	v.ID = secret.VersionID(fmt.Sprintf("version-id-%d", min(st.Number, 3)))
	v.Ciphertext = append(v.Ciphertext, make([]byte, 3000*st.Other)...)
	return v
}

func (st step) consumer() string { return fmt.Sprint("p", st.Other) }

// onStore runs the step in the store. It looks rows up in the model, which
// runs the step afterwards.
func (st step) onStore(tx store.Tx, m *model) error {
	t := m.tenants[st.Tenant]
	w := tx.EditSecrets(t.row.ID)
	s := t.current(st.name())
	switch st.Kind {
	case "create":
		return w.Create(st.fresh(t))
	case "update", "stale", "delete":
		return w.Update(st.changed(s))
	case "purge":
		return w.Purge(s.ID)
	case "add":
		return w.AddVersion(s.ID, st.version())
	case "rewrap":
		return w.Rewrap(s.ID, st.rewrapped(), st.version().Envelope)
	case "drop":
		return w.DeleteVersion(s.ID, secret.Version(st.Number))
	case "touch":
		return w.Touch(store.VersionRef{Secret: s.ID, Number: secret.Version(st.Number)}, st.consumer(), int32(st.Number+st.Other))
	case "find":
		return st.find(tx, t)
	case "key", "dropkey", "suspend", "erase":
		return st.onStoreTenant(tx, t)
	}
	return st.onStoreIdentity(tx, t)
}

func (st step) onStoreTenant(tx store.Tx, t *tenantModel) error {
	w := tx.EditTenants()
	switch st.Kind {
	case "key":
		return w.PutKey(t.row.ID, st.key())
	case "dropkey":
		return w.DeleteKey(t.row.ID, uint32(st.Number))
	case "suspend":
		row := *t.row
		row.State = store.TenantState(st.Other % 2)
		row.Revision -= int64(st.Number / 4)
		return w.Update(&row)
	case "erase":
		return w.Erase(t.row.ID)
	}
	panic("unknown step " + st.Kind)
}

// find compares a read within the transaction with the model.
func (st step) find(tx store.Tx, t *tenantModel) error {
	sel := []store.Selector{{}, {Number: secret.Version(st.Number)}, {ID: st.version().ID}, {Label: secret.Previous}}[st.Other]
	s, v, err := tx.Secrets(t.row.ID).Find(st.name(), sel, st.consumer())
	wantSecret, wantVersion, want := t.find(st.name(), sel, st.consumer())
	if diff := diff(s, wantSecret) + diff(v, wantVersion) + diff(class(err), class(want)); diff != "" {
		return fmt.Errorf("found (-), want (+):\n%s", diff)
	}
	return nil
}

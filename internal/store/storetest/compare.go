package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"fastness/internal/secret"
	"fastness/internal/store"
)

// Compare runs streams of random operations on two backends, which must answer
// alike and hold the same rows and the same log at the end. A stream after which
// they differ is kept under testdata/rapid and run first the next time.
func Compare(t *testing.T, one, other Fresh) {
	c := &comparison{t: t, dbs: [2]*db{newDB(t, one), newDB(t, other)}}
	rapid.Check(t, func(rt *rapid.T) {
		c.begin()
		rt.Repeat(map[string]func(*rapid.T){"update": c.update, "sequence": c.sequence, "": c.checkSometimes})
		c.check(rt)
	})
}

// comparison is two databases that go through the same.
type comparison struct {
	t       *testing.T
	dbs     [2]*db
	model   *model // knows the rows that steps name
	runs    int
	updates int
}

// begin makes tenants for one run. Ids of secrets are drawn here, so that both
// databases are given the same.
func (c *comparison) begin() {
	c.t.Helper()
	c.runs++
	c.model = newModel()
	for i := range 2 {
		c.model.addTenant(newTenant(fmt.Sprintf("run%d-%d", c.runs, i)))
		for n := range 3 {
			c.model.tenants[i].id(step{Secret: n}.name())
		}
	}
	for _, d := range c.dbs {
		d.update(func(tx store.Tx) error {
			return errors.Join(tx.EditTenants().Create(c.model.tenants[0].row), tx.EditTenants().Create(c.model.tenants[1].row))
		})
	}
}

// update runs some steps in one Update of each database, and compares what
// each step was answered.
func (c *comparison) update(t *rapid.T) {
	steps := rapid.SliceOfN(rapid.Custom(drawStep), 1, 5).Draw(t, "steps")
	fail := rapid.IntRange(0, 3).Draw(t, "fail") == 0
	c.updates++
	record := newRecord(secret.TenantName(fmt.Sprint("t", c.updates%3)), fmt.Sprint("r", c.updates))
	var answers [2][]string
	var next *model
	for i, d := range c.dbs {
		err := d.Update(d.t.Context(), func(tx store.Tx) error {
			next, answers[i] = c.model.clone(), nil
			tx.Audit(record)
			for _, st := range steps {
				answers[i] = append(answers[i], class(st.onStore(tx, next)))
				st.onModel(next)
			}
			if fail {
				return errBusiness
			}
			return nil
		})
		answers[i] = append(answers[i], fmt.Sprint(err))
	}
	if !slices.Equal(answers[0], answers[1]) {
		t.Fatalf("%+v: one store answers %q, the other %q", steps, answers[0], answers[1])
	}
	if !fail {
		c.model = next
	}
}

func (c *comparison) sequence(t *rapid.T) {
	limit := rapid.IntRange(0, 10).Draw(t, "limit")
	for _, d := range c.dbs {
		if err := d.Update(d.t.Context(), func(tx store.Tx) error { return sequence(tx, limit) }); err != nil {
			t.Fatal(err)
		}
	}
}

// checkSometimes checks after every few updates, since checking takes longer
// than they do.
func (c *comparison) checkSometimes(t *rapid.T) {
	if c.updates%5 == 0 {
		c.check(t)
	}
}

// content is all that a database holds of one run's tenants, and its log.
type content struct {
	Tenants []dump
	State   store.TreeState
	Hashes  []tlog.Hash
	Waiting int
}

func (c *comparison) check(t *rapid.T) {
	var contents [2]content
	for i, d := range c.dbs {
		err := d.View(d.t.Context(), func(r store.Reader) (err error) {
			contents[i], err = c.read(r)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := diff(contents[0], contents[1]); diff != "" {
		t.Fatalf("one store (-) and the other (+) differ:\n%s", diff)
	}
}

func (c *comparison) read(r store.Reader) (out content, err error) {
	for _, t := range c.model.tenants {
		d, err := readDump(r, t.row.ID)
		if err != nil {
			return out, err
		}
		out.Tenants = append(out.Tenants, d)
	}
	if out.State, err = r.Log().State(); err != nil {
		return out, err
	}
	heads, err := r.Log().Heads([]secret.TenantName{"t0", "t1", "t2"})
	if err != nil {
		return out, err
	}
	for _, name := range []secret.TenantName{"t0", "t1", "t2"} {
		out.Hashes = append(out.Hashes, heads[name].Hash)
	}
	pending, err := r.Log().Pending(1 << 30)
	out.Waiting = count(pending)
	return out, err
}

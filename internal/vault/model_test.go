package vault_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fastness/fastnesstest"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// modelSecret is what a secret should be.
type modelSecret struct {
	values   map[secret.Version]string
	tokens   map[secret.VersionID]secret.Version
	labels   map[secret.Label]secret.Version
	last     secret.Version
	note     string
	deletion time.Time
}

func (m *modelSecret) current(to secret.Version) {
	if from := m.labels[secret.Current]; from != 0 && from != to {
		m.labels[secret.Previous] = from
	}
	m.labels[secret.Current] = to
}

// model holds the secrets of two tenants, as a reader of the documents would.
type model struct {
	f        *fastnesstest.Fixture
	sessions [2]*vault.Session
	secrets  [2]map[secret.Name]*modelSecret
}

var (
	modelNames  = []secret.Name{"a", "a/b", "b"}
	modelLabels = []secret.Label{secret.Current, secret.Previous, secret.Pending, "blue"}
	modelTokens = []secret.VersionID{"", "", "", "11111111111111111111111111111111", "22222222222222222222222222222222"}
)

// pick draws a tenant and a name, and tells what is known of them.
func (m *model) pick(t *rapid.T) (i int, s *vault.Session, name secret.Name, known *modelSecret) {
	i = rapid.IntRange(0, 1).Draw(t, "tenant")
	name = rapid.SampledFrom(modelNames).Draw(t, "name")
	return i, m.sessions[i], name, m.secrets[i][name]
}

func wantCode(t *rapid.T, err error, sentinel *secret.Error) {
	t.Helper()
	if sentinel == nil && err != nil || sentinel != nil && !errors.Is(err, sentinel) {
		t.Fatalf("error %v, want %v", err, sentinel)
	}
}

// refusal is the error of anything but administration of the deletion itself.
func (m *modelSecret) refusal() *secret.Error {
	switch {
	case m == nil:
		return secret.ErrNotFound
	case !m.deletion.IsZero():
		return secret.ErrDeleted
	}
	return nil
}

func (m *model) put(t *rapid.T) {
	i, s, name, known := m.pick(t)
	text := rapid.SampledFrom([]string{"x", "y", "a longer value"}).Draw(t, "value")
	token := rapid.SampledFrom(modelTokens).Draw(t, "token")
	rotate, ifAbsent := rapid.Bool().Draw(t, "rotate"), rapid.IntRange(0, 3).Draw(t, "ifAbsent") == 0
	b := secretbuf.Take([]byte(text))
	defer b.Release()
	do := s.Put
	if rotate {
		do = s.Rotate
	}
	w, err := do(ctx, name, vault.Put{Value: b, Token: token, IfAbsent: ifAbsent})
	if known == nil && !rotate {
		known = &modelSecret{values: map[secret.Version]string{}, tokens: map[secret.VersionID]secret.Version{}, labels: map[secret.Label]secret.Version{}}
		m.secrets[i][name] = known
	}
	refused := known.refusal()
	if refused == nil && token != "" && known.tokens[token] != 0 {
		n := known.tokens[token]
		if known.values[n] != text {
			refused = secret.ErrConflict
		} else if err == nil && w.Version == n && !w.Created {
			return
		}
	} else if refused == nil && ifAbsent && known.last > 0 {
		refused = secret.ErrExists
	}
	wantCode(t, err, refused)
	if err != nil {
		return
	}
	known.last++
	known.values[known.last] = text
	if token != "" {
		known.tokens[token] = known.last
	}
	known.current(known.last)
	if w.Version != known.last || w.Created != (known.last == 1) {
		t.Fatalf("wrote %+v, want version %d", w, known.last)
	}
}

func (m *model) get(t *rapid.T) {
	_, s, name, known := m.pick(t)
	sel := store.Selector{Number: secret.Version(rapid.IntRange(0, 5).Draw(t, "number"))}
	if rapid.Bool().Draw(t, "by label") {
		sel.Label = rapid.SampledFrom(modelLabels).Draw(t, "label")
	}
	got, err := get(s, name, sel)
	refused := known.refusal()
	n := sel.Number
	if refused == nil {
		if sel.Label != "" {
			n = known.labels[sel.Label]
		} else if n == 0 {
			n = known.labels[secret.Current]
		}
		if n == 0 || known.values[n] == "" || sel.Number != 0 && sel.Number != n {
			refused = secret.ErrNotFound
		}
	}
	wantCode(t, err, refused)
	if err == nil && got != known.values[n] {
		t.Fatalf("%s %+v reads %q, want %q", name, sel, got, known.values[n])
	}
}

func (m *model) label(t *rapid.T) {
	_, s, name, known := m.pick(t)
	move := vault.Move{Label: rapid.SampledFrom(modelLabels).Draw(t, "label"), To: secret.Version(rapid.IntRange(0, 4).Draw(t, "to"))}
	if rapid.Bool().Draw(t, "expecting") {
		move.From = ptr(secret.Version(rapid.IntRange(0, 3).Draw(t, "from")))
	}
	_, err := s.MoveLabel(ctx, name, move)
	refused := known.refusal()
	if refused == nil {
		switch {
		case move.From != nil && *move.From != known.labels[move.Label]:
			refused = secret.ErrConflict
		case move.To == 0 && move.Label == secret.Current:
			refused = secret.ErrInvalid
		case move.To != 0 && known.values[move.To] == "":
			refused = secret.ErrNotFound
		}
	}
	wantCode(t, err, refused)
	switch {
	case err != nil:
	case move.To == 0:
		delete(known.labels, move.Label)
	case move.Label == secret.Current:
		known.current(move.To)
	default:
		known.labels[move.Label] = move.To
	}
}

func (m *model) update(t *rapid.T) {
	_, s, name, known := m.pick(t)
	p := secret.Patch{}
	if rapid.Bool().Draw(t, "description") {
		p.Description = ptr(rapid.StringMatching(`[a-z]{0,5}`).Draw(t, "text"))
	}
	if rapid.Bool().Draw(t, "algorithm") {
		p.Algorithm = ptr(rapid.SampledFrom([]secret.Algorithm{secret.AES256GCM, secret.HybridQuantum}).Draw(t, "which"))
	}
	_, err := s.Update(ctx, name, p)
	wantCode(t, err, known.refusal())
	if err == nil && p.Description != nil {
		known.note = *p.Description
	}
}

func (m *model) remove(t *rapid.T) {
	i, s, name, known := m.pick(t)
	var absent *secret.Error
	if known == nil {
		absent = secret.ErrNotFound
	}
	switch rapid.IntRange(0, 3).Draw(t, "how") {
	case 0:
		_, err := s.Delete(ctx, name, secret.MinRecovery)
		wantCode(t, err, absent)
		if known != nil {
			known.deletion = m.f.Clock.Now().Add(secret.MinRecovery)
		}
	case 1, 2:
		_, err := s.Restore(ctx, name)
		if known != nil && known.deletion.IsZero() {
			absent = secret.ErrConflict
		}
		wantCode(t, err, absent)
		if known != nil {
			known.deletion = time.Time{}
		}
	case 3:
		wantCode(t, s.Purge(ctx, name), absent)
		delete(m.secrets[i], name)
	}
}

func (m *model) pass(t *rapid.T) {
	m.f.Clock.Advance(time.Duration(rapid.IntRange(1, 5).Draw(t, "days")) * aDay)
	if _, err := m.f.PurgeExpired(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range m.secrets {
		maps.DeleteFunc(m.secrets[i], func(_ secret.Name, s *modelSecret) bool {
			return !s.deletion.IsZero() && !m.f.Clock.Now().Before(s.deletion)
		})
	}
}

func (m *model) rotateKey(t *rapid.T) {
	if _, err := m.sessions[rapid.IntRange(0, 1).Draw(t, "tenant")].RotateKey(ctx, nil); err != nil {
		t.Fatal(describe(err))
	}
}

// check compares all that a caller can see.
func (m *model) check(t *rapid.T) {
	for i, s := range m.sessions {
		for _, deleted := range []bool{false, true} {
			page, err := s.List(ctx, vault.ListQuery{Deleted: deleted})
			wantCode(t, err, nil)
			var want []secret.Name
			for name, known := range m.secrets[i] {
				if known.deletion.IsZero() != deleted {
					want = append(want, name)
				}
			}
			slices.Sort(want)
			var got []secret.Name
			for _, info := range page.Items {
				got = append(got, info.Name)
				m.compare(t, m.secrets[i][info.Name], s, info)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("tenant %d, deleted %v: %v, want %v", i, deleted, got, want)
			}
		}
	}
}

func (m *model) compare(t *rapid.T, known *modelSecret, s *vault.Session, info secret.Info) {
	t.Helper()
	if known == nil {
		t.Fatalf("%s is listed and should not be", info.Name)
	}
	if !maps.Equal(info.Labels, known.labels) || info.Metadata.Description != known.note || !info.Deletion.Equal(known.deletion) ||
		info.Version != known.labels[secret.Current] {
		t.Fatalf("%+v, want %+v", info, known)
	}
	page, err := s.Versions(ctx, info.Name, 0, "")
	wantCode(t, err, nil)
	for _, v := range page.Items {
		if known.values[v.Version] == "" || v.Algorithm != info.Metadata.Algorithm {
			t.Fatalf("version %+v of %+v", v, info)
		}
	}
	if len(page.Items) != len(known.values) {
		t.Fatalf("%d versions, want %d", len(page.Items), len(known.values))
	}
}

// TestModel runs random streams of operations on two tenants beside a model
// that is a page of maps, and compares all that can be seen.
func TestModel(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		check(t, f.Value.Set("30")) // streams; each operation waits for the disk
	}
	f := fastnesstest.Open(t, nil)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{f: f}
		run++
		for i := range m.sessions {
			m.sessions[i] = f.Tenant(t, secret.TenantName(fmt.Sprintf("t%d-%d", run, i)))
			m.secrets[i] = map[secret.Name]*modelSecret{}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"put": m.put, "put again": m.put, "get": m.get, "get again": m.get, "label": m.label, "update": m.update,
			"remove": m.remove, "pass": m.pass, "rotate key": m.rotateKey, "compare": m.check,
		})
		m.check(rt)
	})
}

package storetest

import (
	"maps"
	"slices"
	"strings"
	"time"

	"fastness/internal/secret"
	"fastness/internal/store"
)

// model is what a database should hold, in plain maps. It does one step at a
// time and knows no transactions: whoever runs steps clones it before.
type model struct{ tenants []*tenantModel }

type tenantModel struct {
	row         *store.Tenant
	keys        map[uint32]*store.TenantKey
	secrets     map[secret.Name]*secretModel
	principals  map[string]*store.Principal
	credentials map[string]*store.Credential
	documents   map[string]*store.Document // by id; all are of one kind
	ids         map[secret.Name]secret.ID  // of each name, whether or not it is there
}

type secretModel struct {
	row      *store.Secret
	versions map[secret.Version]*store.Version
	reads    map[store.Consumer]int32 // by principal and version, with day 0
}

func newModel() *model { return &model{} }

func (m *model) addTenant(t *store.Tenant) {
	m.tenants = append(m.tenants, &tenantModel{
		row: t, keys: make(map[uint32]*store.TenantKey), secrets: make(map[secret.Name]*secretModel),
		principals: make(map[string]*store.Principal), credentials: make(map[string]*store.Credential),
		documents: make(map[string]*store.Document), ids: make(map[secret.Name]secret.ID),
	})
}

// clone copies the maps. Rows are replaced and never changed, so they are shared.
func (m *model) clone() *model {
	out := newModel()
	for _, t := range m.tenants {
		c := &tenantModel{
			row: t.row, keys: maps.Clone(t.keys), secrets: make(map[secret.Name]*secretModel),
			principals: maps.Clone(t.principals), credentials: maps.Clone(t.credentials),
			documents: maps.Clone(t.documents), ids: maps.Clone(t.ids),
		}
		for n, s := range t.secrets {
			c.secrets[n] = &secretModel{row: s.row, versions: maps.Clone(s.versions), reads: maps.Clone(s.reads)}
		}
		out.tenants = append(out.tenants, c)
	}
	return out
}

// current returns the secret's row, or one that was never stored.
func (t *tenantModel) current(name secret.Name) *store.Secret {
	if s := t.secrets[name]; s != nil {
		return s.row
	}
	s := newSecret(string(name))
	s.ID = t.id(name)
	return s
}

// id returns the id that a name has in this run, so that the store and the
// model create the same row.
func (t *tenantModel) id(name secret.Name) secret.ID {
	if _, ok := t.ids[name]; !ok {
		t.ids[name] = secret.NewID()
	}
	return t.ids[name]
}

func (st step) fresh(t *tenantModel) *store.Secret {
	s := newSecret(string(st.name()))
	s.ID = t.id(st.name())
	s.Labels[secret.Label("other")] = secret.Version(st.Other + 1)
	return s
}

// changed returns the row with other contents; for "stale" from an old revision.
func (st step) changed(s *store.Secret) *store.Secret {
	c := *s
	c.Labels = map[secret.Label]secret.Version{secret.Current: secret.Version(st.Number), secret.Previous: secret.Version(st.Other)}
	if st.Other == 0 {
		delete(c.Labels, secret.Previous)
	}
	c.Metadata.Description = strings.Repeat("x", 500*st.Other)
	switch st.Kind {
	case "stale":
		c.Revision--
	case "delete":
		c.Deletion = epoch.Add(days(st.Other))
	default:
		c.Deletion = time.Time{}
	}
	return &c
}

func (st step) rewrapped() *store.Version {
	return &store.Version{
		Number: secret.Version(st.Number), Algorithm: secret.HybridQuantum, Key: uint32(st.Other + 1),
		Envelope: append([]byte("rewrapped"), make([]byte, 100*st.Other)...),
	}
}

func (st step) key() *store.TenantKey {
	return &store.TenantKey{Number: uint32(st.Number), KEK: []byte{byte(st.Other)}, Created: epoch}
}

// onModel runs the step in the model.
func (st step) onModel(m *model) error {
	t := m.tenants[st.Tenant]
	s := t.secrets[st.name()]
	switch st.Kind {
	case "create":
		if s != nil {
			return store.ErrTaken
		}
		t.secrets[st.name()] = &secretModel{
			row: st.fresh(t), versions: make(map[secret.Version]*store.Version), reads: make(map[store.Consumer]int32),
		}
		return nil
	case "key", "dropkey", "suspend", "erase":
		return st.onModelTenant(t)
	case "principal", "grant", "dropprincipal", "token", "revoke", "droptoken", "document", "redocument", "dropdocument":
		return st.onModelIdentity(t)
	case "find":
		return nil // compared by onStore
	}
	if s == nil {
		return store.ErrAbsent
	}
	return st.onModelSecret(t, s)
}

func (st step) onModelSecret(t *tenantModel, s *secretModel) error {
	number := secret.Version(st.Number)
	v := s.versions[number]
	switch st.Kind {
	case "stale":
		return store.ErrStale
	case "update", "delete":
		s.row = st.changed(s.row)
		s.row.Revision++
	case "purge":
		delete(t.secrets, st.name())
	case "add":
		added := st.version()
		for _, x := range s.versions {
			if x.Number == added.Number || x.ID == added.ID {
				return store.ErrTaken
			}
		}
		s.versions[number] = added
	case "rewrap":
		return st.rewrapModel(s, v)
	case "drop":
		if v == nil {
			return store.ErrAbsent
		}
		delete(s.versions, number)
		maps.DeleteFunc(s.reads, func(c store.Consumer, _ int32) bool { return c.Version == number })
	case "touch":
		if v == nil {
			return store.ErrAbsent
		}
		key := store.Consumer{Principal: st.consumer(), Version: number}
		s.reads[key] = max(s.reads[key], int32(st.Number+st.Other))
	}
	return nil
}

func (st step) rewrapModel(s *secretModel, v *store.Version) error {
	if v == nil {
		return store.ErrAbsent
	}
	if string(v.Envelope) != string(st.version().Envelope) {
		return store.ErrStale
	}
	c, to := *v, st.rewrapped()
	c.Envelope, c.Algorithm, c.Key = to.Envelope, to.Algorithm, to.Key
	s.versions[v.Number] = &c
	return nil
}

func (st step) onModelTenant(t *tenantModel) error {
	switch st.Kind {
	case "key":
		t.keys[uint32(st.Number)] = st.key()
	case "dropkey":
		if t.keys[uint32(st.Number)] == nil {
			return store.ErrAbsent
		}
		delete(t.keys, uint32(st.Number))
	case "suspend":
		if st.Number == 4 {
			return store.ErrStale
		}
		row := *t.row
		row.State = store.TenantState(st.Other % 2)
		row.Revision++
		t.row = &row
	case "erase":
		clear(t.keys)
		clear(t.secrets)
		clear(t.principals)
		clear(t.credentials)
		clear(t.documents)
	}
	return nil
}

// find is what SecretReader.Find should answer.
func (t *tenantModel) find(name secret.Name, sel store.Selector, principal string) (*store.Secret, *store.Version, error) {
	s := t.secrets[name]
	if s == nil {
		return nil, nil, store.ErrAbsent
	}
	number := sel.Number
	for _, v := range s.versions {
		if sel.ID != "" && v.ID == sel.ID {
			number = v.Number
		}
	}
	if sel.ID == "" && number == 0 {
		label := sel.Label
		if label == "" {
			label = secret.Current
		}
		number = s.row.Labels[label]
	}
	v := s.version(number)
	if v == nil {
		return s.row, nil, store.ErrAbsent
	}
	v.CallerRead = s.reads[store.Consumer{Principal: principal, Version: number}]
	return s.row, v, nil
}

// version returns a copy with the day of the last read.
func (s *secretModel) version(number secret.Version) *store.Version {
	if s.versions[number] == nil {
		return nil
	}
	v := *s.versions[number]
	for c, day := range s.reads {
		if c.Version == number {
			v.LastRead = max(v.LastRead, day)
		}
	}
	return &v
}

// usage is what SecretReader.Usage should answer.
func (t *tenantModel) usage() store.Usage {
	u := store.Usage{Secrets: int64(len(t.secrets))}
	for _, s := range t.secrets {
		u.Versions += int64(len(s.versions))
		for _, v := range s.versions {
			u.Bytes += int64(len(v.Envelope) + len(v.Ciphertext))
		}
	}
	return u
}

// sorted returns the values in the order of their keys.
func sorted[V any](m map[string]V) (out []V) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}

// dump is what readDump should find.
func (t *tenantModel) dump() dump {
	out := dump{Tenant: t.row, Versions: make(map[secret.ID][]*store.Version), Consumers: make(map[secret.ID][]store.Consumer)}
	for _, n := range slices.Sorted(maps.Keys(t.keys)) {
		out.Keys = append(out.Keys, t.keys[n])
	}
	out.Principals, out.Credentials, out.Documents = sorted(t.principals), sorted(t.credentials), sorted(t.documents)
	out.Usage = t.usage()
	for _, name := range slices.Sorted(maps.Keys(t.secrets)) {
		s := t.secrets[name]
		if s.row.Deletion.IsZero() {
			out.Secrets = append(out.Secrets, s.row)
		} else {
			out.Deleted = append(out.Deleted, s.row)
		}
		for _, n := range slices.Sorted(maps.Keys(s.versions)) {
			out.Versions[s.row.ID] = append(out.Versions[s.row.ID], s.version(n))
		}
		for c, day := range s.reads {
			c.Day = day
			out.Consumers[s.row.ID] = append(out.Consumers[s.row.ID], c)
		}
		slices.SortFunc(out.Consumers[s.row.ID], func(x, y store.Consumer) int {
			if x.Version != y.Version {
				return int(x.Version) - int(y.Version)
			}
			return strings.Compare(x.Principal, y.Principal)
		})
	}
	return out
}

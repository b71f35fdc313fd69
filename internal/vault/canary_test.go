package vault_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"fastness/fastnesstest"
	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// canaries are values that no output may hold, in any of their forms.
type canaries struct {
	tb    testing.TB
	forms [][]byte
}

func (c *canaries) add(b []byte) {
	b = bytes.Clone(b)
	escaped, _ := json.Marshal(string(b))
	c.forms = append(c.forms, b, escaped[1:len(escaped)-1], []byte(hex.EncodeToString(b)), []byte(fmt.Sprintf("%v", b)))
	// base64 of the bytes wherever they begin in a group of three
	for shift := range 3 {
		encoded := base64.StdEncoding.EncodeToString(append(make([]byte, shift), b...))
		c.forms = append(c.forms, []byte(encoded[4:len(encoded)-4]))
	}
}

func (c *canaries) search(where string, text []byte) {
	c.tb.Helper()
	for _, form := range c.forms {
		if i := bytes.Index(text, form); i >= 0 {
			c.tb.Errorf("%s holds %q: …%q…", where, form, text[max(0, i-40):min(len(text), i+len(form)+20)])
		}
	}
}

// show searches all that a value prints as.
func (c *canaries) show(where string, v any) {
	c.tb.Helper()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		c.search(where+" as "+verb, []byte(fmt.Sprintf(verb, v)))
	}
	if b, err := json.Marshal(v); err == nil {
		c.search(where+" as JSON", b)
	}
}

func (c *canaries) err(where string, err error) {
	c.tb.Helper()
	if err == nil {
		c.tb.Errorf("%s succeeds", where)
		return
	}
	c.show(where, err)
	for ; err != nil; err = unwrap(err) {
		c.search(where, []byte(err.Error()))
	}
}

func unwrap(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return nil
}

// TestCanary stores and reads known values, goes wrong with them in every way
// there is, and then looks for them in results, errors, log, audit log,
// bundles and files.
func TestCanary(t *testing.T) {
	m := open(t)
	f, c := m.Fixture, &canaries{tb: t}
	made := must(f.Operator().CreateTenant(ctx, "acme", ""))(t)
	defer made.Release()
	c.add(made.Token.Bytes())
	c.add(made.SecretAccessKey.Bytes())
	c.show("new tenant", made)
	s := f.Session(local(f), "acme")
	name := func(i int) secret.Name { return secret.Name(fmt.Sprintf("s%d", i)) }
	texts := []string{"canary-text-7f3a91c2d4e5", "canary \"quoted\" \\ 99aa77bb", "\x00\x01\xfe\xff-canary-binary-\x80\x81\x82\x83"}
	for i, text := range texts {
		c.add([]byte(text))
		token := secret.NewVersionID()
		p := vault.Put{Kind: secret.Kind(boolInt(i == 2)), Token: token, Patch: secret.Patch{Algorithm: ptr([]secret.Algorithm{secret.AES256GCM, secret.HybridQuantum}[i%2])}}
		w := must(put(t, s, name(i), text, p))(t)
		c.show("written", w)
		r := must(s.Get(ctx, name(i), store.Selector{}))(t)
		c.show("reading", r)
		c.show("reading", *r)
		c.show("value", r.Value)
		r.Value.Release()
		must(put(t, s, name(i), text, p))(t)
		buffer := value(t, text)
		c.show("put", vault.Put{Value: buffer})
		_, err := put(t, s, name(i), texts[(i+1)%3], p)
		c.err("another value under the token", err)
		_, err = put(t, s, name(i), text, vault.Put{IfAbsent: true})
		c.err("taken name", err)
		_, err = put(t, s, secret.Name("bad name"), text, vault.Put{})
		c.err("bad name", err)
		_, err = s.Put(ctx, name(i), vault.Put{Value: value(t, string(bytes.Repeat([]byte(text), 10_000)))})
		c.err("too long", err)
		_, err = put(t, f.Session(caller(t, f, "acme", policy.Reader), ""), name(i), text, vault.Put{})
		c.err("denied", err)
		gone, cancel := context.WithCancel(ctx)
		cancel()
		_, err = s.Put(gone, name(i), vault.Put{Value: buffer})
		c.err("cancelled", err)
		_, err = f.Authenticate(ctx, vault.Origin{}, []byte(text))
		c.err("a value as token", err)
	}
	_, err := f.Authenticate(ctx, vault.Origin{}, append(bytes.Clone(made.Token.Bytes()), 'x'))
	c.err("wrong token", err)
	token := must(s.Credentials().Create(ctx, vault.TokenSpec{Principal: "p", Grants: []policy.Grant{{Role: policy.Admin}}}))(t)
	defer token.Token.Release()
	c.add(token.Token.Bytes())
	c.show("new token", token)
	c.show("tokens", must(s.Credentials().List(ctx, vault.CredentialQuery{}))(t))
	c.show("caller", must(f.Authenticate(ctx, vault.Origin{}, token.Token.Bytes()))(t))
	must(s.RotateKey(ctx, nil))(t)
	must(f.Operator().DevTenant(ctx, "acme"))(t).Release()

	for _, v := range versionsOf(t, m.store, "acme") {
		v.Ciphertext[len(v.Ciphertext)-1] ^= 1
		edit(t, m.store, func(tx store.Tx) error { return replace(tx, v.tenant, v.secret, *v.Version) })
	}
	for i := range texts {
		_, err := s.Get(ctx, name(i), store.Selector{})
		c.err("broken", err)
		c.show("info", must(s.Describe(ctx, name(i)))(t))
	}
	c.show("list", must(s.List(ctx, vault.ListQuery{}))(t))
	c.show("vault", f.Vault)
	c.show("session", s)
	c.search("entries", must(json.Marshal(entries(t, f, "", audit.Filter{})))(t))
	for _, tenant := range []secret.TenantName{"", "acme"} {
		c.search("bundle", export(t, f.Audit(local(f), tenant), vault.ExportOptions{}))
	}
	proof := must(f.Audit(local(f), "").Inclusion(ctx, 5, -1))(t)
	c.search("proof", must(proof.Encode())(t))
	master := fastnesstest.MasterKey()
	defer master.Release()
	c.add(master.Bytes())
	c.searchFiles(f.Dir)
	f.Close(t)
	c.searchFiles(f.Dir)
	c.search("log", f.Log.Bytes())
	if len(f.Log.Bytes()) == 0 {
		t.Error("nothing was logged, and nothing searched")
	}
	c.selfTest()
}

func (c *canaries) searchFiles(dir string) {
	c.tb.Helper()
	for _, entry := range must(os.ReadDir(dir))(c.tb) {
		c.search(entry.Name(), must(os.ReadFile(filepath.Join(dir, entry.Name())))(c.tb))
	}
}

// selfTest makes sure that the search finds what it is to find.
func (c *canaries) selfTest() {
	c.tb.Helper()
	quiet := &canaries{tb: &testing.T{}, forms: c.forms}
	for _, text := range []string{"xcanary-text-7f3a91c2d4e5x", base64.StdEncoding.EncodeToString([]byte("..canary-text-7f3a91c2d4e5..")),
		hex.EncodeToString([]byte("canary-text-7f3a91c2d4e5"))} {
		quiet.tb = &testing.T{}
		quiet.search("self test", []byte(text))
		if !quiet.tb.Failed() {
			c.tb.Errorf("the search does not find %q", text)
		}
	}
	b := secretbuf.Take([]byte("canary-text-7f3a91c2d4e5"))
	defer b.Release()
	c.show("buffer", b)
}

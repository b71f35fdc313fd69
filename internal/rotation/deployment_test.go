package rotation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fastness"
	"fastness/fastnesstest"
	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/testservers"
	"fastness/internal/teststore"
	"fastness/internal/vault"
)

// ground is what a deployment stands on, and outlasts its processes.
type ground struct {
	Dir   string // of what is kept beside the store
	Store teststore.Place
	Now   time.Time // a clock that stands still
}

// rotated is the secret of a ground that is rotated, and acme whose it is.
const (
	rotated = secret.Name("db")
	acme    = secret.TenantName("acme")
)

// inbox is the file that says where the process is that has the store open.
const inbox = "manager"

// newGround makes one where tests keep their stores, or on a server if it is told one.
func newGround(t testing.TB, server *testservers.Server) ground {
	t.Helper()
	g := ground{Dir: t.TempDir(), Now: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)}
	place, err := teststore.At(filepath.Join(g.Dir, "store"))
	if server != nil {
		place, err = teststore.In(server.URL(), g.Dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	if g.Store = place; place.URL != "" {
		g.Store.URL += "&pool_max_conns=6"
	}
	return g
}

// deployment is one process of a deployment.
type deployment struct {
	*vault.Vault
	*rotation.Worker
	s *vault.Session

	listener net.Listener // for the targets that ask
}

// start starts a process, or what counts as one. Its worker works when it is told to.
func (g ground) start(ctx context.Context, log io.Writer) (*deployment, error) {
	logger := slog.New(slog.NewJSONHandler(log, nil))
	rows, err := g.rows(ctx, logger)
	if err != nil {
		return nil, err
	}
	master := fastnesstest.MasterKey()
	defer master.Release()
	now := func() time.Time { return g.Now }
	v, err := vault.Open(ctx, vault.Config{Store: hookStore(rows), Master: master, Now: now, NoBackground: true, Logger: logger})
	if err != nil {
		return nil, errors.Join(err, rows.Close())
	}
	d := &deployment{Vault: v, Worker: rotation.NewWorker(v, rotation.Network{PrivateWebhooks: true}, logger, now)}
	d.s = v.Session(v.Local(vault.Origin{}), acme)
	if d.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	go http.Serve(d.listener, http.HandlerFunc(d.serve))
	return d, os.WriteFile(filepath.Join(g.Dir, inbox), []byte("http://"+d.listener.Addr().String()+"/"), 0o600)
}

// rows opens the store. A process that another test is just starting holds the
// lock of the embedded one until it runs its program.
func (g ground) rows(ctx context.Context, logger *slog.Logger) (store.Store, error) {
	for try := 0; ; try++ {
		rows, err := g.Store.Open(ctx, logger)
		if !errors.Is(err, store.ErrLocked) || try == 100 {
			return rows, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (d *deployment) close() error { return errors.Join(d.listener.Close(), d.Vault.Close()) }

// serve reads or stores a version of the secret, as programs of the tenant may.
func (d *deployment) serve(w http.ResponseWriter, r *http.Request) {
	id := secret.VersionID(strings.TrimPrefix(r.URL.Path, "/"))
	if r.Method == http.MethodPut {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			_, err = d.s.Put(r.Context(), rotated, vault.Put{Value: secretbuf.Take(body), Token: id, Labels: []secret.Label{secret.Pending}})
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
		return
	}
	reading, err := d.s.Get(r.Context(), rotated, fastness.Selector{ID: id})
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	defer reading.Value.Release()
	w.Write(reading.Value.Bytes())
}

// ask sends a request to the process that has the store open now; nil if it
// cannot be done.
func (g ground) ask(method string, id secret.VersionID, body []byte) []byte {
	address, err := os.ReadFile(filepath.Join(g.Dir, inbox))
	if err != nil {
		return nil
	}
	request, err := http.NewRequest(method, string(address)+string(id), bytes.NewReader(body))
	if err != nil {
		return nil
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return nil
	}
	return answer
}

// furnish makes the tenant and the secret, with its rotation.
func (d *deployment) furnish(ctx context.Context, s *specimen) error {
	made, err := d.Operator(d.Local(vault.Origin{})).CreateTenant(ctx, acme, "")
	if err != nil {
		return err
	}
	made.Release()
	put := func(name secret.Name, value []byte) error {
		_, err := d.s.Put(ctx, name, vault.Put{Value: secretbuf.Take(bytes.Clone(value))})
		return err
	}
	value, p := s.value, vault.RotationPolicy{Rotator: s.kind, Config: json.RawMessage(s.config)}
	for other, content := range s.others {
		name := secret.Name(strings.TrimPrefix(other, "arn:"))
		if err := put(name, content.Bytes()); err != nil {
			return err
		}
		p.Uses = append(p.Uses, name)
		value = bytes.ReplaceAll(value, []byte(`"`+other+`"`), []byte(`"`+string(name)+`"`))
	}
	if err := put(rotated, value); err != nil {
		return err
	}
	_, err = d.s.SetRotation(ctx, rotated, p)
	return err
}

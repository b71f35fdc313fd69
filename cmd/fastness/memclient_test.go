package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"fastness"
	"fastness/client"
)

func init() {
	roles["client"] = useClient
	roles["library"] = useLibrary
}

// usage tells a program what to store and read. Secrets in it are masked.
type usage struct {
	Address, Tenant string
	Authority       []byte // PEM; nil for plain HTTP
	Token           []byte
	Dir             string
	Master          []byte
	Values          [][]byte
	Times           int // that each value is read
}

// session is what client and library have in common.
type session interface {
	Put(context.Context, fastness.Name, fastness.Put) (client.Written, error)
	Get(context.Context, fastness.Name, fastness.Selector) (*fastness.Reading, error)
}

// use stores and reads all values, by several callers at once, runs into
// errors, says so and waits until stdin closes.
func (u usage) use(s session) error {
	ctx := context.Background()
	const callers = 4
	errs := make([]error, callers)
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for i := c; i < len(u.Values) && errs[c] == nil; i += callers {
				errs[c] = u.useValue(ctx, s, i)
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Println("idle")
	_, err := os.Stdin.Read(make([]byte, 1))
	if err != nil {
		return nil // stdin has closed
	}
	return errors.New("more on stdin")
}

func (u usage) useValue(ctx context.Context, s session, i int) error {
	name := fastness.Name(fmt.Sprintf("used/%d", i))
	value := fastness.NewValue(slices.Clone(u.Values[i])) // still masked
	for k := range value.Bytes() {
		value.Bytes()[k] ^= masking
	}
	put := fastness.Put{Value: value}
	if i%4 == 1 {
		hybrid := fastness.HybridQuantum
		put.Patch.Algorithm = &hybrid
	}
	_, err := s.Put(ctx, name, put)
	put.IfAbsent = true
	if _, exists := s.Put(ctx, name, put); err == nil && !errors.Is(exists, fastness.ErrExists) {
		err = fmt.Errorf("storing twice: %w", exists)
	}
	value.Release()
	for range u.Times {
		if err != nil {
			return err
		}
		var r *fastness.Reading
		if r, err = s.Get(ctx, name, fastness.Selector{}); err == nil {
			r.Value.Release()
		}
	}
	return err
}

func readUsage() (u usage, err error) {
	err = json.NewDecoder(os.Stdin).Decode(&u)
	return u, err
}

// unmasked moves a masked secret into a value.
func unmasked(b []byte) *fastness.Value {
	v := fastness.NewValue(b)
	for i := range v.Bytes() {
		v.Bytes()[i] ^= masking
	}
	return v
}

func useClient() error {
	u, err := readUsage()
	if err != nil {
		return err
	}
	token := unmasked(u.Token)
	c, err := client.New(client.Config{Address: u.Address, Tenant: client.TenantName(u.Tenant), Token: token, RootCAs: u.Authority})
	if err != nil {
		return err
	}
	token.Release()
	defer c.Close()
	return u.use(c.Session(""))
}

func useLibrary() error {
	u, err := readUsage()
	if err != nil {
		return err
	}
	ctx, master := context.Background(), unmasked(u.Master)
	v, err := fastness.Open(ctx, fastness.Config{Dir: u.Dir, MasterKey: master})
	if err != nil {
		return err
	}
	defer v.Close()
	master.Release()
	caller := v.Local(fastness.Origin{})
	made, err := v.Operator(caller).CreateTenant(ctx, fastness.TenantName(u.Tenant), fastness.AES256GCM)
	if err != nil {
		return err
	}
	made.Release()
	return u.use(v.Session(caller, fastness.TenantName(u.Tenant)))
}

// valuesFor plants values for a program, and masks them.
func (s *suite) valuesFor(u *usage, n int) {
	for i := range n {
		u.Values = append(u.Values, xored([]byte(s.value(fmt.Sprintf("used/%d", i))), masking))
	}
}

// lookAtUser runs a program in a role, leaves it idle, and searches it.
func lookAtUser(t *testing.T, role string, u usage, load scale, plants func() []plant) {
	t.Helper()
	cmd, said := startRole(t, role, u)
	if said != "idle" {
		t.Fatalf("the program says %q", said)
	}
	time.Sleep(load.idle)
	s := newScanner(plants())
	r := lookAtIdle(t, s, cmd.Process.Pid, false)[0]
	t.Logf("%s", table("a program with the "+role, r))
	if n := r.hits(); n > 0 {
		t.Errorf("%d pieces of plaintext:\n%s", n, s.examples(r))
	}
}

// checkClient searches a program that uses the Go client. It keeps its token,
// as it must, and nothing else.
func checkClient(t *testing.T, encrypted bool, load scale) {
	t.Helper()
	needRoot(t)
	subject := startSubject(t, program, encrypted, nil)
	suite := newSuite(t, &target{}, 5)
	u := usage{Address: subject.url, Tenant: subject.tenant, Token: xored([]byte(subject.tokens[0]), masking), Times: load.reads}
	if encrypted {
		var err error
		if u.Authority, err = os.ReadFile(subject.authority); err != nil {
			t.Fatal(err)
		}
	}
	suite.valuesFor(&u, load.values)
	lookAtUser(t, "client", u, load, suite.all)
}

// checkLibrary searches a program that has the whole manager in it.
func checkLibrary(t *testing.T, load scale) {
	t.Helper()
	needRoot(t)
	suite := newSuite(t, &target{}, 6)
	master := randomText(suite.random, 64)
	suite.learned("root key", "master key", master)
	u := usage{Tenant: "shop", Dir: t.TempDir(), Master: xored(master, masking), Times: load.reads}
	suite.valuesFor(&u, load.values)
	lookAtUser(t, "library", u, load, func() []plant { return append(suite.all(), storeKeys(t, u.Dir, string(master))...) })
}

package fastness_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"fastness"
)

// open opens a vault in a folder of its own. A program takes the root key's
// material from its operator, and keeps it: without it nothing opens.
func open(ctx context.Context) (v *fastness.Vault, remove func()) {
	dir, err := os.MkdirTemp("", "fastness-example-")
	if err != nil {
		log.Fatal(err)
	}
	key := fastness.NewValue([]byte("at least sixty-four characters of the operator's own random choosing"))
	defer key.Release()
	v, err = fastness.Open(ctx, fastness.Config{Dir: dir, MasterKey: key})
	if err != nil {
		log.Fatal(err)
	}
	return v, func() {
		if err := errors.Join(v.Close(), os.RemoveAll(dir)); err != nil {
			log.Print(err)
		}
	}
}

func Example() {
	ctx := context.Background()
	v, remove := open(ctx)
	defer remove()

	// The program itself is an operator. A request from outside comes with a
	// token, and v.Authenticate says whose it is.
	me := v.Local(fastness.Origin{UserAgent: "example"})
	tenant, err := v.Operator(me).CreateTenant(ctx, "acme", fastness.HybridQuantum)
	if err != nil {
		log.Fatal(err)
	}
	tenant.Release() // its administrator's credentials, not needed here

	s := v.Session(me, "acme")
	value := fastness.NewValue([]byte("sk_live_42"))
	defer value.Release()
	written, err := s.Put(ctx, "stripe/api-key", fastness.Put{Value: value})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("version", written.Version, written.Labels)

	reading, err := s.Get(ctx, "stripe/api-key", fastness.Selector{})
	if err != nil {
		log.Fatal(err)
	}
	defer reading.Value.Release()
	fmt.Println(reading.Value, reading.Value.Len(), "bytes")

	_, err = s.Get(ctx, "paypal/api-key", fastness.Selector{})
	fmt.Println(errors.Is(err, fastness.ErrNotFound))
	// Output:
	// version 1 [AWSCURRENT]
	// [secret] 10 bytes
	// true
}

// A service gets a token that reads some names and nothing else.
func ExampleCredentials_Create() {
	ctx := context.Background()
	v, remove := open(ctx)
	defer remove()
	me := v.Local(fastness.Origin{})
	tenant, err := v.Operator(me).CreateTenant(ctx, "acme", "")
	if err != nil {
		log.Fatal(err)
	}
	tenant.Release()

	token, err := v.Session(me, "acme").Credentials().Create(ctx, fastness.TokenSpec{
		Principal: "billing-app",
		Grants:    []fastness.Grant{{Role: fastness.Reader, Patterns: []string{"stripe/*"}}},
		TTL:       30 * 24 * time.Hour,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer token.Token.Release()

	caller, err := v.Authenticate(ctx, fastness.Origin{Address: "192.0.2.7"}, token.Token.Bytes())
	if err != nil {
		log.Fatal(err)
	}
	s := v.Session(caller, "") // the token's own tenant
	value := fastness.NewValue([]byte("x"))
	defer value.Release()
	_, err = s.Put(ctx, "stripe/api-key", fastness.Put{Value: value})
	fmt.Println(caller.Principal(), errors.Is(err, fastness.ErrAccessDenied))
	// Output: billing-app true
}

// The audit log, with proofs, for somebody who trusts only its keys.
func ExampleAudit_Export() {
	ctx := context.Background()
	v, remove := open(ctx)
	defer remove()
	a := v.Audit(v.Local(fastness.Origin{}), "")
	keys, err := a.Keys(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if err := a.Export(ctx, io.Discard, fastness.ExportOptions{Nonce: "auditor's choice"}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(keys.Ranges), "pair of keys")
	// Output: 1 pair of keys
}

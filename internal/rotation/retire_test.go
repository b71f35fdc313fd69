package rotation_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"fastness"
	"fastness/fastnesstest"
	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/vault"
)

// retiring is a house with a credential of a real server that was rotated, and
// a consumer that has read the old one.
type retiring struct {
	*house
	specimen *specimen
	old      []byte
	consumer *fastness.Session
}

func newRetiring(t *testing.T, kind func(testing.TB, *proxy) *specimen) *retiring {
	t.Helper()
	ctx := context.Background()
	r := &retiring{house: newHouse(t), specimen: kind(t, nil)}
	if len(r.specimen.others) > 0 {
		r.specimen.value = with(r.specimen.value, map[string]any{"masterarn": "master"})
	}
	r.house.specimen(t, "db", r.specimen)
	p, err := r.s.Rotation(ctx, "db")
	if err != nil {
		t.Fatal(err)
	}
	p.Policy.RetireAfter = "7d"
	r.policy(t, "db", p.Policy)
	r.consumer = r.Session(r.Caller(t, "acme", fastness.TokenSpec{Principal: "app", Grants: []fastness.Grant{{Role: fastness.Reader}}}), "")
	r.old = []byte(fastnesstest.Get(t, r.consumer, "db", fastness.Selector{}))
	if _, err := r.s.AskRotation(ctx, "db"); err != nil {
		t.Fatal(err)
	}
	r.once(t)
	if !r.specimen.logsIn(r.old) || !r.specimen.logsIn([]byte(r.value(t, "db", ""))) {
		t.Fatal("after the rotation not both log in")
	}
	return r
}

// check expects the old credential to be valid, or not, after the worker has looked.
func (r *retiring) check(t *testing.T, when string, valid bool) {
	t.Helper()
	r.once(t)
	if r.specimen.logsIn(r.old) != valid {
		t.Fatalf("%s the old credential logs in: %v", when, !valid)
	}
	if !r.specimen.logsIn([]byte(r.value(t, "db", ""))) {
		t.Fatalf("%s the new credential does not log in", when)
	}
	s, err := rotation.StatusOf(r.s.Rotation(context.Background(), "db"))
	if err != nil || (s.Retiring != nil) != valid {
		t.Fatalf("%s: %+v, %v\n%s", when, s.Retiring, err, r.Log.Bytes())
	}
	if last := s.Past[0].Passed; !valid && last[len(last)-1].State != rotation.StateRetired {
		t.Errorf("%s the journal does not say so: %+v", when, last)
	}
}

var overlapping = map[string]func(testing.TB, *proxy) *specimen{
	"postgres": postgresUser(`{"tls":"disable","strategy":"alternating"}`, true),
	"mariadb":  mariaUser("mysql_native_password", `{"tls":"disable","strategy":"alternating"}`, true),
	"redis":    redisUser(`{"tls":"disable"}`, false),
}

// An old credential is valid until its last consumer has read the new one.
func TestRetiresWhenNobodyHoldsTheOldOne(t *testing.T) {
	for name, kind := range overlapping {
		t.Run(name, func(t *testing.T) {
			r := newRetiring(t, kind)
			r.Clock.Advance(2 * time.Hour)
			r.check(t, "while a consumer holds it", true)
			page, err := r.s.Consumers(context.Background(), "db", 0, "")
			if err != nil || len(page.Items) != 2 || page.Items[0].Principal != "app" || !page.Items[0].Behind || page.Items[1].Behind {
				t.Errorf("consumers are %+v, %v", page.Items, err)
			}
			fastnesstest.Get(t, r.consumer, "db", fastness.Selector{})
			r.Clock.Advance(2 * time.Hour)
			r.check(t, "when nobody holds it", false)
		})
	}
}

// Nor does it stay valid for longer than the policy says, nor for a principal
// that is no more.
func TestRetiresInTheEnd(t *testing.T) {
	r := newRetiring(t, overlapping["redis"])
	r.Clock.Advance(7*24*time.Hour - time.Minute)
	r.check(t, "before its time", true)
	r.Clock.Advance(time.Minute)
	r.check(t, "after its time", false)

	r = newRetiring(t, overlapping["redis"])
	if _, err := r.s.Principals().Disable(context.Background(), "app"); err != nil {
		t.Fatal(err)
	}
	r.Clock.Advance(2 * time.Hour)
	r.check(t, "when its consumer is disabled", false)
}

// Who puts the old value back needs it: nothing is revoked.
func TestRetiresNothingThatIsCurrent(t *testing.T) {
	ctx := context.Background()
	r := newRetiring(t, overlapping["redis"])
	if _, err := r.s.MoveLabel(ctx, "db", fastness.Move{Label: secret.Current, To: 1}); err != nil {
		t.Fatal(err)
	}
	r.Clock.Advance(30 * 24 * time.Hour)
	r.once(t)
	if got, err := r.s.Rotation(ctx, "db"); err != nil || got.Retiring != nil || !r.specimen.logsIn(r.old) {
		t.Errorf("%+v, %v", got.Retiring, err)
	}
	// What cannot be revoked is told so when it is asked for.
	fastnesstest.Put(t, r.s, "app/password", "x")
	policy := vault.RotationPolicy{Rotator: "password", RetireAfter: "7d"}
	if _, err := rotation.Set(ctx, r.s, rotation.Network{}, "app/password", policy); secret.Of(err).Field != "retireAfter" {
		t.Errorf("a password alone is retired: %v", err)
	}
	policy = vault.RotationPolicy{Rotator: "redis", RetireAfter: "1 week", Config: json.RawMessage(r.specimen.config)}
	if _, err := rotation.Set(ctx, r.s, rotation.Network{}, "db", policy); secret.Of(err).Field != "retireAfter" {
		t.Errorf("a time that is none: %v", err)
	}
}

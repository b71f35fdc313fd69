package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"fastness/internal/policy"
)

// BenchmarkDecide measures a read that a grant allows, in tenants with more and
// more policies: such as the index tells apart, and such as it cannot.
func BenchmarkDecide(b *testing.B) {
	for _, kind := range []struct{ name, format string }{
		{"names", `permit(principal == Service::"s%[1]d", action in Action::"reader", resource is Secret) when { resource.name like "team-%[1]d/*" };`},
		{"suffixes", `forbid(principal, action, resource is Secret) when { resource.name like "*-%[1]d" };`},
		{"tags", `forbid(principal, action, resource is Secret) when { resource.hasTag("team") && resource.getTag("team") == "%[1]d" };`},
		{"addresses", `forbid(principal, action, resource) when { context has sourceAddress && context.sourceAddress.isInRange(ip("192.0.2.%[1]d")) };`},
		{"times", `forbid(principal, action, resource) when { context.time < datetime("2020-01-01") && context.time.toTime() > duration("%[1]dms") };`},
	} {
		for _, n := range []int{1, 100, 1000} {
			b.Run(fmt.Sprintf("%s-%d", kind.name, n), func(b *testing.B) { benchmarkDecide(b, kind.format, n) })
		}
	}
}

func benchmarkDecide(b *testing.B, format string, n int) {
	var texts []*policy.Text
	for start := 0; start < n; start += 50 {
		var source strings.Builder
		for i := start; i < min(start+50, n); i++ {
			fmt.Fprintf(&source, format+"\n", i%250)
		}
		text, err := policy.ParseText(fmt.Sprint("p", start), source.String())
		if err != nil {
			b.Fatal(err)
		}
		texts = append(texts, text)
	}
	set, err := policy.NewSet("shop", policy.Settings{}, texts...)
	if err != nil {
		b.Fatal(err)
	}
	r := request(policy.Subject{Name: "web", Bound: []policy.Grant{{Role: policy.Reader, Patterns: []string{"app/*"}}}}, policy.Read, "app/db", map[string]string{"team": "red"})
	if set.Decide(r) != policy.Allow {
		b.Fatal("refused")
	}
	b.ReportAllocs()
	for b.Loop() {
		set.Decide(r)
	}
}

// BenchmarkParseText measures what a change of a policy takes, a hundred
// statements at a time.
func BenchmarkParseText(b *testing.B) {
	source := strings.Repeat(`permit(principal == Service::"web", action in Action::"reader", resource is Secret) when { resource.name like "team/*" };`+"\n", 100)
	for b.Loop() {
		if _, err := policy.ParseText("p", source); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoadText measures what the first request after a change takes.
func BenchmarkLoadText(b *testing.B) {
	source := strings.Repeat(`permit(principal == Service::"web", action in Action::"reader", resource is Secret) when { resource.name like "team/*" };`+"\n", 100)
	for b.Loop() {
		text, err := policy.LoadText("p", source)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := policy.NewSet("shop", policy.Settings{}, text); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNewCaller measures what compiling a caller's grants takes.
func BenchmarkNewCaller(b *testing.B) {
	s := policy.Subject{Name: "web", Bound: []policy.Grant{{Role: policy.Reader, Patterns: []string{"app/*", "lib/*"}}, {Role: policy.Auditor}}}
	for b.Loop() {
		policy.NewCaller(s)
	}
}

package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/wire"
)

// maxCaseFile bounds a file of cases: as much as the API takes.
const maxCaseFile = 512 << 10

// caseFile is what `policy test` reads.
type caseFile struct {
	Cases []testCase `json:"cases"`
}

// testCase is a request, and what is expected to be decided on it.
type testCase struct {
	wire.PolicyCase
	Name   string `json:"name,omitzero"`
	Expect string `json:"expect"`
	By     string `json:"by,omitzero"` // the part, policy or statement that must have settled it
}

// Expectations, as a file of cases writes them. A refusal is deny whether or
// not it hides the secret.
var expectations = []string{"allow", "deny", "hide", "mfa"}

func readCases(path string, stdin io.Reader) (cases []testCase, err error) {
	in, err := openInput(path, stdin)
	if err != nil {
		return nil, fmt.Errorf("reading the cases: %w", err)
	}
	defer in.Close()
	text, err := secretbuf.ReadAll(in, maxCaseFile)
	if err != nil {
		return nil, fmt.Errorf("reading the cases: %w", err)
	}
	defer text.Release()
	var file caseFile
	if err := wire.Decode(text, &file); err != nil {
		return nil, usagef("%s: %v", quote(path), err)
	}
	for i, c := range file.Cases {
		if !slices.Contains(expectations, c.Expect) {
			return nil, usagef("%s: cases[%d].expect: one of %s", quote(path), i, strings.Join(expectations, ", "))
		}
	}
	return file.Cases, nil
}

// request is the case as the client takes it.
func (c testCase) request(at string) (client.PolicyCase, error) {
	p := client.PolicyCase{
		Principal: c.Principal, Service: c.Service, Action: client.Action(c.Action), Secret: c.Secret, Tags: c.Tags, Address: c.Address, Time: c.Time,
	}
	for _, g := range c.Grants {
		p.Grants = append(p.Grants, client.Grant{Role: policy.Role(g.Role), Patterns: g.Patterns})
	}
	switch c.Kind {
	case "":
	case store.Service.String(), store.Person.String():
		p.Kind = new(store.PrincipalKind)
		if c.Kind == store.Person.String() {
			*p.Kind = store.Person
		}
	default:
		return p, usagef("%s.kind: person or service", at)
	}
	if c.MFAAge != nil {
		if *c.MFAAge < 0 || *c.MFAAge > int64(365*oneDay/time.Second) {
			return p, usagef("%s.mfaAge: seconds, at most a year", at)
		}
		age := time.Duration(*c.MFAAge) * time.Second
		p.MFAAge = &age
	}
	var err error
	if p.Environment, err = secret.ParseEnvironment(c.Environment); err != nil {
		return p, usagef("%s.%v", at, err)
	}
	return p, nil
}

// holds reports whether a decision is what the case expects.
func (c testCase) holds(d client.Decision) bool {
	same := d.Effect.String() == c.Expect || c.Expect == "deny" && d.Effect == client.Hide
	return same && (c.By == "" || c.By == string(d.Part) || slices.ContainsFunc(d.Statements, func(s client.Statement) bool {
		return s.ID == c.By || strings.HasPrefix(s.ID, c.By+"/")
	}))
}

// title is how the case is called in answers.
func (c testCase) title() string {
	if c.Name != "" {
		return c.Name
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", c.Principal, c.Action, c.Secret))
}

// readDrafts reads policies that are not stored from words FILE or NAME=FILE.
func (a *app) readDrafts(ctx context.Context, words, without []string) (drafts []client.PolicyDraft, err error) {
	for _, word := range words {
		name, path, ok := strings.Cut(word, "=")
		if !ok {
			path, name = word, strings.TrimSuffix(filepath.Base(word), filepath.Ext(word))
		}
		if err := checkPolicy(name); err != nil {
			return nil, fmt.Errorf("--policy: %w; NAME=FILE gives it one", err)
		}
		text, err := a.readText(ctx, path, policy.MaxText)
		if err != nil {
			return nil, fmt.Errorf("reading --policy: %w", err)
		}
		drafts = append(drafts, client.PolicyDraft{Name: name, Text: text})
	}
	for _, name := range without {
		if err := checkPolicy(name); err != nil {
			return nil, err
		}
		drafts = append(drafts, client.PolicyDraft{Name: name})
	}
	return drafts, nil
}

func (a *app) policyTestCommand() *cobra.Command {
	var drafts, without []string
	cmd := a.command("test FILE", "Test what would be decided, before a policy is stored", func(ctx context.Context, args []string) error {
		cases, err := readCases(args[0], a.env.Stdin)
		if err != nil {
			return err
		}
		var test client.PolicyTest
		if test.Drafts, err = a.readDrafts(ctx, drafts, without); err != nil {
			return err
		}
		for i, c := range cases {
			request, err := c.request(fmt.Sprintf("cases[%d]", i))
			if err != nil {
				return err
			}
			test.Cases = append(test.Cases, request)
		}
		policies, err := a.policies(ctx)
		if err != nil {
			return err
		}
		decisions, err := policies.Test(ctx, test)
		if err != nil {
			return err
		}
		if len(decisions) != len(cases) {
			return fmt.Errorf("the server decided on %d of %d cases", len(decisions), len(cases))
		}
		return a.tellTest(cases, decisions)
	})
	cmd.Long = `Decide on the requests in a JSON file (- for stdin) as the server would, by the
policies in force, with those of --policy in the place of stored ones of their
name. Nothing is changed. Exits with 1 if a case is not decided as expected.

Each case names a principal, an action and, of an action on a secret, a secret:

  {"cases": [
    {"name": "web reads its own", "principal": "web", "action": "read", "secret": "web/db", "expect": "allow"},
    {"name": "nobody deletes at night", "principal": "eve", "kind": "person", "grants": [{"role": "writer"}],
     "action": "delete", "secret": "web/db", "tags": {"team": "web"}, "time": "2026-11-24T23:30:00Z",
     "address": "10.1.2.3", "mfaAge": 40, "expect": "deny", "by": "night"}
  ]}

With kind (person or service) the principal is made up, without it is the
tenant's; grants, service and environment take the place of its own. With tags
the secret is made up. mfaAge is how many seconds ago a second factor was given;
time is now unless it is said.

expect is allow, deny (refused, openly or as if the secret were not there), hide
or mfa (refused until a second factor is given). by, if it is there, is what must have settled
it: a policy, one of its statements, or a part such as grants or
accessPolicy.allowedServices.`
	cmd.Example = `fastness policy test cases.json
fastness policy test cases.json --policy freeze.cedar
fastness policy test cases.json --policy night=drafts/night-2.cedar --without freeze`
	cmd.Flags().StringArrayVar(&drafts, "policy", nil, "a policy that is not stored, called as the file is if no name is given (`[NAME=]FILE`)")
	completeFiles(cmd)
	cmd.Flags().StringArrayVar(&without, "without", nil, "leave out the stored policy of this `NAME`")
	return cmd
}

// testOutcome is what --json tells of a case.
type testOutcome struct {
	Name     string        `json:"name"`
	Expect   string        `json:"expect"`
	Holds    bool          `json:"holds"`
	Decision wire.Decision `json:"decision"`
}

// tellTest tells of each case what settled it, and fails if one is not as
// expected.
func (a *app) tellTest(cases []testCase, decisions []client.Decision) error {
	outcomes := make([]testOutcome, len(cases))
	failed := 0
	for i, c := range cases {
		outcomes[i] = testOutcome{c.title(), c.Expect, c.holds(decisions[i]), wireDecision(decisions[i])}
		if !outcomes[i].Holds {
			failed++
		}
	}
	if a.global.json {
		if err := a.printJSON(struct {
			Cases  []testOutcome `json:"cases"`
			Failed int           `json:"failed"`
		}{outcomes, failed}); err != nil {
			return err
		}
	} else {
		for i, c := range cases {
			tellCase(a.env.Stdout, i+1, c, decisions[i])
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %s not decided as expected", failed, plural(len(cases), "case"))
	}
	a.note("%s decided as expected", plural(len(cases), "case"))
	return nil
}

func tellCase(w io.Writer, number int, c testCase, d client.Decision) {
	if c.holds(d) {
		fmt.Fprintf(w, "ok    %d  %s: %s\n", number, clean(c.title()), clean(ruling(d)))
		return
	}
	expected := c.Expect
	if c.By != "" {
		expected += " by " + c.By
	}
	fmt.Fprintf(w, "FAIL  %d  %s: %s, but expected is %s\n", number, clean(c.title()), clean(ruling(d)), clean(expected))
	writeReasons(w, d, "          ")
}

// wireDecision is a decision as --json tells it.
func wireDecision(d client.Decision) wire.Decision {
	w := wire.Decision{Effect: d.Effect.String(), By: string(d.Part), Reason: d.Reason, Statements: []wire.Statement{}, Wants: d.Wants}
	for _, s := range d.Statements {
		w.Statements = append(w.Statements, wire.Statement(s))
	}
	return w
}

// completeFiles lets the shell complete names of files.
func completeFiles(cmd *cobra.Command) {
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveDefault
	}
}

package cli

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/policy"
	"fastness/internal/secret"
)

func (a *app) accessCommand() *cobra.Command {
	g := group("access", "See who may do what, and why not", a.accessExplainCommand(), a.accessWhoCommand(), a.accessReviewCommand())
	g.Long = "See who may do what, and why not: for administrators, auditors and operators."
	return g
}

// access is the handle to who may do what in the tenant that is named.
func (a *app) access(ctx context.Context) (*client.Access, error) {
	s, err := a.session(ctx)
	if err != nil {
		return nil, err
	}
	return s.Access(), nil
}

// addressFlag is where a request would come from.
type addressFlag struct{ address string }

func (f *addressFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.address, "address", "", "where the request would come from (`IP`); default not known")
}

func (f *addressFlag) check() error {
	if _, err := netip.ParseAddr(f.address); f.address != "" && err != nil {
		return usagef("--address: an IPv4 or IPv6 address is expected")
	}
	return nil
}

// completes lets the shell complete a flag by words.
func completes(cmd *cobra.Command, flag string, words ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // there is no such flag
	}
}

func actionNames() []string {
	var names []string
	for _, action := range append(policy.OnSecrets(), policy.OnTenants()...) {
		names = append(names, string(action))
	}
	return names
}

// explainFlags say what is asked: about a denial, or about a request.
type explainFlags struct {
	denial, principal, action, name, credentialID string
	address                                       addressFlag
}

func (f *explainFlags) query() (q client.ExplainQuery, err error) {
	q = client.ExplainQuery{Principal: f.principal, Action: client.Action(f.action), CredentialID: f.credentialID, Address: f.address.address}
	switch {
	case f.principal == "" || f.action == "":
		return q, usagef("say either --denial ID, or --principal and --action")
	case !slices.Contains(actionNames(), f.action):
		return q, usagef("--action: one of %s", strings.Join(actionNames(), ", "))
	case q.Action.OnSecret() && f.name == "":
		return q, usagef("--action %s is one on a secret: say which with --secret", f.action)
	case !q.Action.OnSecret() && f.name != "":
		return q, usagef("--action %s is one on the tenant: without --secret", f.action)
	}
	if err := checkPrincipal(f.principal); err != nil {
		return q, err
	}
	if f.name != "" {
		if q.Secret, err = parseName(f.name); err != nil {
			return q, err
		}
	}
	return q, f.address.check()
}

func (a *app) accessExplainCommand() *cobra.Command {
	var f explainFlags
	cmd := a.command("explain", "Explain why a request was refused, or whether one would be", func(ctx context.Context, _ []string) error {
		if f.denial != "" {
			return a.explainDenial(ctx, f.denial)
		}
		q, err := f.query()
		if err != nil {
			return err
		}
		access, err := a.access(ctx)
		if err != nil {
			return err
		}
		all, err := access.Explain(ctx, q)
		if err != nil {
			return err
		}
		return a.answer(func(w io.Writer) error { return writeExplanations(w, all) })
	})
	cmd.Long = `Explain why a request was refused: --denial takes the id that its caller was
told (of the command line, the API, or the audit log's correlationId), and tells
what refused it then and what would be decided on the same request now. Or
explain what would be decided on a principal's request now, with each of its
credentials.

The answer names the statement that settled it, a grant or one of a policy, or
the part of the secret's access policy, and what would have to hold. A secret
that is hidden from its caller was refused too, though the answer was "not found".`
	cmd.Example = `fastness access explain --denial 6f1d0a52-6a0b-4a0e-9d6d-0c6d4c7a3f51
fastness access explain --principal ci --action read --secret db/password
fastness access explain --principal alice@example.com --action policies --address 10.1.2.3`
	flags := cmd.Flags()
	flags.StringVar(&f.denial, "denial", "", "the `ID` that a refused caller was told")
	flags.StringVar(&f.principal, "principal", "", "who would ask (`NAME`)")
	flags.StringVar(&f.action, "action", "", "what it would do (`ACTION`): read, update, rotate, tokens, …")
	flags.StringVar(&f.name, "secret", "", "the secret of an action on one (`NAME`)")
	flags.StringVar(&f.credentialID, "credential", "", "the credential that it would use (`ID`); default each that is live")
	f.address.add(cmd)
	for _, other := range []string{"principal", "action", "secret", "credential", "address"} {
		cmd.MarkFlagsMutuallyExclusive("denial", other)
	}
	completes(cmd, "action", actionNames()...)
	return cmd
}

func (a *app) explainDenial(ctx context.Context, id string) error {
	access, err := a.access(ctx)
	if err != nil {
		return err
	}
	d, err := access.Denial(ctx, id)
	if err != nil {
		return fmt.Errorf("denial %s: %w", quote(id), err)
	}
	return a.answer(func(w io.Writer) error { return writeDenial(w, d) })
}

func writeDenial(w io.Writer, d client.Denial) error {
	var s sheet
	s.add("denial", d.ID)
	s.add("time", when(d.Time))
	s.add("principal", firstOf(d.Principal, "(redacted)"))
	s.add("credential", d.CredentialID)
	s.add("action", string(d.Action))
	s.add("secret", string(d.Secret))
	s.add("answer", d.Answer)
	s.add("refused by", d.Reason)
	if d.Now == nil {
		s.add("now", "cannot be told: the principal or its credential is no more, or it was not refused by a decision")
		return s.write(w)
	}
	s.add("now", ruling(*d.Now))
	if err := s.write(w); err != nil {
		return err
	}
	writeReasons(w, *d.Now, "  ")
	return nil
}

func writeExplanations(w io.Writer, all []client.Explanation) error {
	for _, e := range all {
		var s sheet
		s.add("decision", ruling(e.Decision))
		s.add("credentials", credentialWords(e.CredentialIDs))
		if err := s.write(w); err != nil {
			return err
		}
		writeReasons(w, e.Decision, "  ")
	}
	return nil
}

func credentialWords(ids []string) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = firstOf(id, "one without grants of its own, as after a login")
	}
	return strings.Join(words, ", ")
}

// effectWords are decisions as people read them.
var effectWords = map[client.Effect]string{
	client.Allow: "allowed", client.Deny: "refused", client.Hide: "refused as if it were not there", client.NeedMFA: "refused until a second factor is given",
}

// ruling is a decision on one line, with what settled it.
func ruling(d client.Decision) string {
	if d.Effect != client.Allow {
		return effectWords[d.Effect] + ": " + d.Reason
	}
	var ids []string
	for _, s := range d.Statements {
		ids = append(ids, s.ID)
	}
	return effectWords[d.Effect] + " by " + firstOf(strings.Join(ids, ", "), string(d.Part))
}

// writeReasons writes the statements that settled a decision, and what would
// have to hold.
func writeReasons(w io.Writer, d client.Decision, indent string) {
	for _, s := range d.Statements {
		at := ""
		if s.Line > 0 && d.Part == policy.ByPolicy {
			at = fmt.Sprintf(", line %d", s.Line)
		}
		fmt.Fprintf(w, "%s%s %s%s:\n", indent, s.Effect, clean(s.ID), at)
		for line := range strings.Lines(s.Text) {
			fmt.Fprintf(w, "%s    %s\n", indent, clean(strings.TrimRight(line, "\n")))
		}
	}
	for _, want := range d.Wants {
		fmt.Fprintf(w, "%swanted: %s\n", indent, clean(want))
	}
}

func (a *app) accessWhoCommand() *cobra.Command {
	var name string
	var address addressFlag
	var pages pageFlags
	cmd := a.command("who", "List who may do what with a secret", func(ctx context.Context, _ []string) error {
		q := client.WhoQuery{Address: address.address}
		if err := address.check(); err != nil {
			return err
		}
		if name != "" {
			var err error
			if q.Secret, err = parseName(name); err != nil {
				return err
			}
		}
		access, err := a.access(ctx)
		if err != nil {
			return err
		}
		return printList(ctx, a, listing[client.WhoInfo]{
			flags: pages, none: "nobody, but operators", head: []string{"PRINCIPAL", "KIND", "MAY", "AND WITH A SECOND FACTOR"},
			fetch: func(limit int, cursor string) (client.Page[client.WhoInfo], error) {
				q.Limit, q.Cursor = limit, cursor
				return access.Who(ctx, q)
			},
			row: func(i client.WhoInfo) []string {
				return []string{i.Principal, i.Kind.String(), orDash(actionWords(i.Actions)), orDash(actionWords(i.WithMFA))}
			},
		})
	})
	cmd.Long = `List the principals that may do anything with a secret, or with the tenant
itself if none is named, and what: by grants, policies and the secret's access
policy, with one of their credentials at least, if they asked now. A policy that looks at the
address a request comes from sees the one of --address, or none.

Operators, whom neither grants nor policies bind, are not listed.`
	cmd.Example = `fastness access who --secret db/password
fastness access who --secret db/password --json | jq -r '.items[] | select(.actions | index("read")) | .principal'
fastness access who`
	cmd.Flags().StringVar(&name, "secret", "", "the secret's `NAME`; default the tenant itself")
	address.add(cmd)
	pages.add(cmd)
	return cmd
}

func actionWords(actions []client.Action) string {
	words := make([]string, len(actions))
	for i, action := range actions {
		words[i] = string(action)
	}
	return strings.Join(words, " ")
}

func (a *app) accessReviewCommand() *cobra.Command {
	var format string
	var pages pageFlags
	cmd := a.command("review", "List every principal with credentials, grants and last uses", func(ctx context.Context, _ []string) error {
		access, err := a.access(ctx)
		if err != nil {
			return err
		}
		switch {
		case format == "csv" && (a.global.json || pages.single()):
			return usagef("--format csv is the whole review, without --json, --limit and --cursor")
		case format == "csv":
			return access.ReviewTable(ctx, a.env.Stdout)
		case format == "json":
			a.global.json = true
		case format != "":
			return usagef("--format is csv or json")
		}
		return a.review(ctx, access, pages)
	})
	cmd.Long = `List every principal of the tenant with its grants, second factors, credentials,
and the days of last use and last read of a value; ended credentials too. --format json
and csv are for auditors: everything, with the grants of each credential. The
table has a line for each credential, and one for a principal without any; what
a spreadsheet would take for a formula has an apostrophe before it.`
	cmd.Example = `fastness access review
fastness access review --format csv > review.csv
fastness access review --format json | jq -r '.items[] | select(.factors == []) | .principal'`
	cmd.Flags().StringVar(&format, "format", "", "csv or json; default a table for people")
	pages.add(cmd)
	completes(cmd, "format", "csv", "json")
	return cmd
}

// reviewPage is how many principals a page of a review has: with all their
// credentials these are long.
const reviewPage = 100

func (a *app) review(ctx context.Context, access *client.Access, pages pageFlags) error {
	now := time.Now()
	return printList(ctx, a, listing[client.ReviewInfo]{
		flags: pages, none: "no principals",
		head: []string{"PRINCIPAL", "KIND", "GRANTS", "STATE", "FACTORS", "CREDENTIALS", "LAST USED", "LAST READ"},
		fetch: func(limit int, cursor string) (client.Page[client.ReviewInfo], error) {
			if limit == secret.MaxPage && !pages.single() {
				limit = reviewPage
			}
			return access.Review(ctx, client.ReviewQuery{Limit: limit, Cursor: cursor})
		},
		row: func(r client.ReviewInfo) []string {
			state := "enabled"
			if !r.Disabled.IsZero() {
				state = "disabled"
			}
			live := 0
			for _, c := range r.Credentials {
				if c.Revoked.IsZero() && (c.Expires.IsZero() || c.Expires.After(now)) {
					live++
				}
			}
			return []string{r.Principal, r.Kind.String(), orDash(grants(r.Grants)), state, orDash(strings.Join(r.Factors, " ")),
				fmt.Sprintf("%d of %d", live, len(r.Credentials)), orDash(day(r.LastUsed)), orDash(day(r.LastRead))}
		},
	})
}

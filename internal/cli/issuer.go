package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/identity"
)

func (a *app) issuerCommand() *cobra.Command {
	return group("issuer", "Trust issuers of tokens, and bind whom they vouch for",
		a.issuerPutCommand(), a.issuerListCommand(), a.issuerShowCommand(), a.issuerDeleteCommand())
}

// bindingFlags are one binding, or a file with several.
type bindingFlags struct {
	file                 string
	match                []string
	principal, kind      string
	service, environment string
	create               bool
	grants               grantFlags
}

func (f *bindingFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.file, "bindings", "", "JSON `FILE` with a list of bindings, instead of the flags for one")
	flags.StringArrayVar(&f.match, "match", nil, "a claim and what it must be (`CLAIM=VALUE`); * stands for any text; the same claim again: or that")
	flags.StringVar(&f.principal, "principal", "", "the principal that whoever matches is; may hold one {claim} (`NAME`)")
	flags.StringVar(&f.kind, "kind", "", "person or service; default service")
	flags.BoolVar(&f.create, "create", false, "make the principal if there is none")
	flags.StringVar(&f.service, "service", "", "the service that it is, or {claim} (`NAME`)")
	flags.StringVar(&f.environment, "environment", "", "dev, staging or prod, or {claim} (`NAME`)")
	f.grants.add(cmd)
	for _, one := range []string{"match", "principal", "kind", "create", "service", "environment", "grant"} {
		cmd.MarkFlagsMutuallyExclusive("bindings", one)
	}
}

// parse reads the bindings; nil for none.
func (f *bindingFlags) parse() ([]identity.Binding, error) {
	if f.file != "" {
		return readBindings(f.file)
	}
	if len(f.match) == 0 && f.principal == "" {
		return nil, nil
	}
	b := identity.Binding{
		Match: map[string][]string{}, Principal: f.principal, Kind: f.kind, Create: f.create, Service: f.service, Environment: f.environment,
	}
	for _, word := range f.match {
		claim, value, ok := strings.Cut(word, "=")
		if !ok {
			return nil, usagef("--match %s: CLAIM=VALUE is expected", quote(word))
		}
		b.Match[claim] = append(b.Match[claim], value)
	}
	grants, err := f.grants.parse()
	for _, g := range grants {
		b.Grants = append(b.Grants, identity.BoundGrant{Role: string(g.Role), Patterns: g.Patterns})
	}
	return []identity.Binding{b}, err
}

func readBindings(path string) (bindings []identity.Binding, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading --bindings: %w", err)
	}
	defer f.Close()
	d := json.NewDecoder(f)
	d.DisallowUnknownFields()
	if err := d.Decode(&bindings); err != nil {
		return nil, usagef("--bindings: %v", err)
	}
	return bindings, nil
}

// issuerFlags describe an issuer.
type issuerFlags struct {
	preset, url      string
	audiences        []string
	keySet, keySetAt string
	ca               string
	algorithms       []string
	maxAge, session  string
	reusable         bool
	clientID         string
	scopes           []string
	bindings         bindingFlags
}

func (f *issuerFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.preset, "preset", "", "kubernetes, github-actions or gitlab")
	flags.StringVar(&f.url, "url", "", "the issuer as its tokens name it, to the letter (`URL`)")
	flags.StringArrayVar(&f.audiences, "audience", nil, "`TEXT` that a token must be made for; several: one of them")
	flags.StringVar(&f.keySet, "key-set-file", "", "`FILE` with the issuer's JWK set, if it cannot be asked")
	flags.StringVar(&f.keySetAt, "key-set-url", "", "where its JWK set is, instead of discovery (`URL`)")
	flags.StringVar(&f.ca, "issuer-ca-file", "", "PEM `FILE` with the authority of the issuer's server; default the system's")
	flags.StringSliceVar(&f.algorithms, "algorithms", nil, "signatures that are accepted (`A,B`); default RS256,ES256")
	flags.StringVar(&f.maxAge, "max-age", "", "how long after it was issued a token is accepted: 15m, 12h, 30d (`TIME`)")
	flags.StringVar(&f.session, "session", "", "how long what is given in exchange lives: 1m to 12h; default 15m (`TIME`)")
	flags.BoolVar(&f.reusable, "reusable", false, "let a token be exchanged more than once")
	flags.StringVar(&f.clientID, "client-id", "", "people log in by this issuer, as this client (`ID`)")
	flags.StringSliceVar(&f.scopes, "scopes", nil, "what a login asks for besides openid (`A,B`)")
	f.bindings.add(cmd)
}

// issuer makes an issuer of the flags that were given, over the preset.
func (f *issuerFlags) issuer(name string, given func(string) bool) (issuer identity.Issuer, err error) {
	if f.preset != "" {
		if issuer, err = identity.Preset(f.preset); err != nil {
			return issuer, usagef("--%v", err)
		}
	}
	issuer.Name, issuer.Audiences, issuer.KeySetURL, issuer.ClientID, issuer.Scopes = name, f.audiences, f.keySetAt, f.clientID, f.scopes
	if f.url != "" {
		issuer.URL = f.url
	}
	if f.algorithms != nil {
		issuer.Algorithms = f.algorithms
	}
	if given("reusable") {
		issuer.Reusable = f.reusable
	}
	if f.clientID != "" && len(issuer.Audiences) == 0 {
		issuer.Audiences = []string{f.clientID}
	}
	for flag, to := range map[string]*time.Duration{"max-age": &issuer.MaxAge, "session": &issuer.Session} {
		if err := f.span(flag, given, to); err != nil {
			return issuer, err
		}
	}
	if err := errors.Join(readInto(f.keySet, &issuer.KeySet), readInto(f.ca, &issuer.CA)); err != nil {
		return issuer, err
	}
	if issuer.Bindings, err = f.bindings.parse(); err != nil {
		return issuer, err
	}
	if err := issuer.Validate(); err != nil {
		return issuer, usagef("%v", err)
	}
	return issuer, nil
}

// span reads a flag that is a span of time, if it was given.
func (f *issuerFlags) span(flag string, given func(string) bool, to *time.Duration) error {
	if !given(flag) {
		return nil
	}
	text := map[string]string{"max-age": f.maxAge, "session": f.session}[flag]
	d, err := identity.ParseDuration(text)
	if err != nil {
		return usagef("--%s: 15m, 12h or 30d is expected", flag)
	}
	*to = d
	return nil
}

// readInto reads a file, if one is named.
func readInto(path string, to *string) error {
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	*to = string(text)
	return nil
}

func (a *app) issuerPutCommand() *cobra.Command {
	var f issuerFlags
	var cmd *cobra.Command
	cmd = a.command("put NAME", "Trust an issuer of tokens, or change for what", func(ctx context.Context, args []string) error {
		issuer, err := f.issuer(args[0], cmd.Flags().Changed)
		if err != nil {
			return err
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		return a.answerIssuer(s.Issuers().Put(ctx, issuer, nil))
	})
	cmd.Long = `Trust an issuer of tokens (JWT, OpenID Connect): whoever shows one that it made,
for one of the audiences, is the principal that the first matching binding names,
and gets a token of the tenant's that ends soon. The issuer of that name is
replaced as a whole.

A binding asks for claims: all of those given must be there, each with one of its
values, in which * stands for any text. The path of a claim has dots between
names; a dot within a name is written "\.", as in kubernetes\.io.namespace.
--grant bounds what the token may do, beside the principal's own grants.

--preset brings what is alike in all issuers of a kind. With --client-id people log
in by this issuer: see "fastness login".`
	cmd.Example = `fastness issuer put gh --preset github-actions --audience https://vault.example \
  --match repository=acme/app --match ref=refs/heads/main --principal deployer --environment prod
fastness issuer put k8s --preset kubernetes --url https://kubernetes.default.svc --key-set-file jwks.json \
  --audience vault --match 'kubernetes\.io.namespace=shop' --principal '{sub}' --create --grant reader=shop/*
fastness issuer put corp --url https://login.example.com --client-id fastness --scopes email --session 12h \
  --match email=*@example.com --match email_verified=true --principal '{email}' --kind person --create --grant writer`
	f.add(cmd)
	return cmd
}

func (a *app) answerIssuer(p client.Provided[client.Issuer], err error) error {
	if err != nil {
		return err
	}
	return a.answer(func(w io.Writer) error {
		i := p.Provider
		var s sheet
		s.add("issuer", i.Name)
		s.add("url", i.URL)
		s.add("audiences", strings.Join(i.Audiences, ", "))
		s.add("keys", keysOf(i))
		s.add("algorithms", strings.Join(i.Algorithms, ", "))
		s.add("client", i.ClientID)
		s.add("a token", map[bool]string{true: "may be exchanged while it is valid", false: "may be exchanged once"}[i.Reusable])
		s.add("session", i.Lifetime().String())
		addBindings(&s, i.Bindings)
		s.add("changed", when(p.Changed))
		return s.write(w)
	})
}

func keysOf(i client.Issuer) string {
	switch {
	case i.KeySet != "":
		return "given"
	case i.KeySetURL != "":
		return i.KeySetURL
	}
	return "by discovery"
}

func addBindings(s *sheet, bindings []identity.Binding) {
	for _, b := range bindings {
		var claims []string
		for claim, values := range b.Match {
			claims = append(claims, claim+"="+strings.Join(values, "|"))
		}
		s.add("binding", fmt.Sprintf("%s is %s", strings.Join(sorted(claims), ", "), b.Principal))
	}
}

func (a *app) issuerListCommand() *cobra.Command {
	cmd := a.command("list", "List the issuers that a tenant trusts", func(ctx context.Context, _ []string) error {
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		all, err := s.Issuers().List(ctx)
		if err != nil {
			return err
		}
		return a.answer(func(w io.Writer) error {
			if len(all) == 0 {
				a.note("no issuers")
				return nil
			}
			t := newTable("NAME", "URL", "PEOPLE", "BINDINGS", "CHANGED")
			for _, p := range all {
				t.add(p.Provider.Name, p.Provider.URL, orDash(p.Provider.ClientID), fmt.Sprint(len(p.Provider.Bindings)), when(p.Changed))
			}
			return t.flush(w)
		})
	})
	cmd.Long = "List the issuers of tokens that a tenant trusts."
	cmd.Example = "fastness issuer list"
	return cmd
}

func (a *app) issuerShowCommand() *cobra.Command {
	cmd := a.command("show NAME", "Show an issuer", func(ctx context.Context, args []string) error {
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		return a.answerIssuer(s.Issuers().Get(ctx, args[0]))
	})
	cmd.Long = "Show an issuer, and whom it vouches for. --json prints what \"--bindings\" takes under .bindings."
	cmd.Example = "fastness issuer show gh --json | jq .bindings"
	return cmd
}

func (a *app) issuerDeleteCommand() *cobra.Command {
	var yes bool
	cmd := a.command("delete NAME", "Trust an issuer no more", func(ctx context.Context, args []string) error {
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		if err := a.confirm(ctx, yes, fmt.Sprintf("Trust %s no more, and end all that it vouched for?", quote(args[0]))); err != nil {
			return err
		}
		if err := s.Issuers().Delete(ctx, args[0]); err != nil {
			return err
		}
		return a.done("deleted %s", args[0])
	})
	cmd.Long = "Trust an issuer no more. The tokens that were given in exchange for its own end at once."
	cmd.Example = "fastness issuer delete gh --yes"
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/policy"
)

func (a *app) policyCommand() *cobra.Command {
	return group("policy", "Write, test and store a tenant's own policies",
		a.policyPutCommand(), a.policyGetCommand(), a.policyShowCommand(), a.policyListCommand(), a.policyDeleteCommand(),
		a.policyTestCommand(), a.policySchemaCommand())
}

func checkPolicy(name string) error {
	if err := policy.CheckName("name", name); err != nil {
		return usagef("%s is no name of a policy: %v", quote(name), err)
	}
	return nil
}

// policies is the handle to the policies of the tenant that is named.
func (a *app) policies(ctx context.Context) (*client.Policies, error) {
	s, err := a.session(ctx)
	if err != nil {
		return nil, err
	}
	return s.Policies(), nil
}

// expectedFlag is the version that must be in force for a change.
type expectedFlag struct {
	cmd     *cobra.Command
	version int64
}

func (f *expectedFlag) add(cmd *cobra.Command, what string) {
	f.cmd = cmd
	cmd.Flags().Int64Var(&f.version, "if-version", 0, "only if "+what+" this version `N` now; 0: none")
}

// expected is nil if the flag was not given.
func (f *expectedFlag) expected() *int64 {
	if !f.cmd.Flags().Changed("if-version") {
		return nil
	}
	return &f.version
}

// readText reads a text that is not secret from a file, or stdin for "-". One
// that is longer than most is an error, and not read to its end.
func (a *app) readText(ctx context.Context, path string, most int) (string, error) {
	in, err := openInput(path, a.env.Stdin)
	if err != nil {
		return "", err
	}
	defer in.Close()
	text, err := await(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(in, int64(most)+1)) })
	switch {
	case err != nil:
		return "", err
	case len(text) > most:
		return "", fmt.Errorf("%s has more than %d bytes", quote(path), most)
	}
	return string(text), nil
}

func (a *app) policyPutCommand() *cobra.Command {
	var file string
	var version expectedFlag
	cmd := a.command("put NAME", "Put a policy in force, or another version of it", func(ctx context.Context, args []string) error {
		if err := checkPolicy(args[0]); err != nil {
			return err
		}
		text, err := a.readText(ctx, firstOf(file, "-"), policy.MaxText)
		if err != nil {
			return fmt.Errorf("reading the policy: %w", err)
		}
		policies, err := a.policies(ctx)
		if err != nil {
			return err
		}
		made, err := policies.Put(ctx, client.PolicyPut{Name: args[0], Text: text, Expected: version.expected()})
		if err != nil {
			return err
		}
		return a.say("policy %s is in force in version %d: %s", made.Name, made.Version, plural(len(made.Statements), "statement"))
	})
	cmd.Long = `Put a policy of the tenant's own in force: Cedar statements over the schema that
"fastness policy schema" prints, read from --file or stdin. The next request is
decided by it. It is validated first; an error says where, by line and column.

A request is allowed if a grant or a policy permits it, no policy forbids it, and
the secret's access policy and second factors agree. A credential's own grants bound
it whatever policies permit. Operators are not bound by policies.

A policy by which you could change no policy any more is refused. The ten newest
versions are kept: see "fastness policy show" and "fastness policy get --version".`
	cmd.Example = `fastness policy put freeze --file freeze.cedar
echo 'forbid(principal, action == Action::"delete", resource) unless { context has mfaAge };' | fastness policy put careful
fastness policy put freeze --file freeze.cedar --if-version 3`
	cmd.Flags().StringVarP(&file, "file", "f", "", "read the policy from `FILE` (- for stdin)")
	version.add(cmd, "the policy has")
	return cmd
}

func (a *app) policyGetCommand() *cobra.Command {
	var version int64
	cmd := a.command("get NAME", "Print a policy's text", func(ctx context.Context, args []string) error {
		p, err := a.policyAt(ctx, args[0], version)
		if err != nil {
			return err
		}
		return a.answer(func(w io.Writer) error {
			a.note("version %d of %s", p.Version, when(p.Created))
			return a.writeText(w, p.Text)
		})
	})
	cmd.Long = "Print the text of a policy as it was put: of the version in force, or of one of the ten newest."
	cmd.Example = `fastness policy get freeze > freeze.cedar
fastness policy get freeze --version 2 | fastness policy put freeze`
	cmd.Flags().Int64Var(&version, "version", 0, "the version `N`; default the one in force")
	return cmd
}

func (a *app) policyAt(ctx context.Context, name string, version int64) (client.Policy, error) {
	if err := checkPolicy(name); err != nil {
		return client.Policy{}, err
	}
	if version < 0 {
		return client.Policy{}, usagef("--version: a number from 1")
	}
	policies, err := a.policies(ctx)
	if err != nil {
		return client.Policy{}, err
	}
	return policies.Get(ctx, name, version)
}

// writeText writes a text of several lines as it is; fit for the terminal if
// that is where it goes.
func (a *app) writeText(w io.Writer, text string) error {
	if !a.env.IsTerminal(a.env.Stdout) {
		_, err := io.WriteString(w, text)
		return err
	}
	for line := range strings.Lines(text) {
		line = strings.ReplaceAll(strings.TrimRight(line, "\r\n"), "\t", "    ")
		if _, err := fmt.Fprintln(w, clean(line)); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) policyShowCommand() *cobra.Command {
	cmd := a.command("show NAME", "Show a policy's statements and versions", func(ctx context.Context, args []string) error {
		p, err := a.policyAt(ctx, args[0], 0)
		if err != nil {
			return err
		}
		return a.answer(func(w io.Writer) error {
			var s sheet
			s.add("policy", p.Name)
			s.add("version", fmt.Sprint(p.Version))
			s.add("since", when(p.Created))
			s.add("sha256", p.SHA256)
			for _, statement := range p.Statements {
				s.add(statement.Effect, fmt.Sprintf("%s (line %d)", statement.ID, statement.Line))
			}
			for _, v := range p.Versions {
				s.add("kept", fmt.Sprintf("version %d of %s, %s, sha256 %s", v.Version, when(v.Created), plural(v.Bytes, "byte"), v.SHA256))
			}
			return s.write(w)
		})
	})
	cmd.Long = `Show a policy: the ids of its statements, by which refusals name them, and the
versions that are kept.`
	cmd.Example = "fastness policy show freeze"
	return cmd
}

func (a *app) policyListCommand() *cobra.Command {
	var pages pageFlags
	cmd := a.command("list", "List a tenant's own policies", func(ctx context.Context, _ []string) error {
		policies, err := a.policies(ctx)
		if err != nil {
			return err
		}
		return printList(ctx, a, listing[client.PolicyInfo]{
			flags: pages, none: "no policies",
			head: []string{"NAME", "VERSION", "BYTES", "SINCE", "SHA256"},
			fetch: func(limit int, cursor string) (client.Page[client.PolicyInfo], error) {
				return policies.List(ctx, limit, cursor)
			},
			row: func(p client.PolicyInfo) []string {
				return []string{p.Name, fmt.Sprint(p.Version), fmt.Sprint(p.Bytes), when(p.Created), p.SHA256}
			},
		})
	})
	cmd.Long = "List the policies of the tenant's own that are in force."
	cmd.Example = "fastness policy list"
	pages.add(cmd)
	return cmd
}

func (a *app) policyDeleteCommand() *cobra.Command {
	var yes bool
	var version expectedFlag
	cmd := a.command("delete NAME", "End a policy", func(ctx context.Context, args []string) error {
		if err := checkPolicy(args[0]); err != nil {
			return err
		}
		policies, err := a.policies(ctx)
		if err != nil {
			return err
		}
		if err := a.confirm(ctx, yes, fmt.Sprintf("End the policy %s, and delete its versions?", quote(args[0]))); err != nil {
			return err
		}
		if err := policies.Delete(ctx, args[0], version.expected()); err != nil {
			return err
		}
		return a.done("deleted %s", args[0])
	})
	cmd.Long = "End a policy from the next request on. Its versions are deleted too."
	cmd.Example = "fastness policy delete freeze --yes"
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	version.add(cmd, "the policy has")
	return cmd
}

func (a *app) policySchemaCommand() *cobra.Command {
	cmd := a.command("schema", "Print what policies are written against", func(ctx context.Context, _ []string) error {
		schema, err := a.policySchema(ctx)
		if err != nil {
			return err
		}
		if a.global.json {
			return a.printJSON(struct {
				Schema string `json:"schema"`
			}{string(schema)})
		}
		return a.writeText(a.env.Stdout, string(schema))
	})
	cmd.Long = `Print the schema that policies are written and validated against, in Cedar's
schema language: the server's, or that of this program if no server is there.`
	cmd.Example = "fastness policy schema > fastness.cedarschema"
	return cmd
}

// policySchema asks the server, whose schema is the one that counts; without a
// token or a server it is this program's.
func (a *app) policySchema(ctx context.Context) ([]byte, error) {
	policies, err := a.policies(ctx)
	if err == nil {
		var schema []byte
		if schema, err = policies.Schema(ctx); err == nil {
			return schema, nil
		}
	}
	var answered *client.Error
	if errors.As(err, &answered) || ctx.Err() != nil {
		return nil, err
	}
	a.note("the schema of this program, version %s: %s", version, clean(describe(err)))
	return []byte(policy.Schema()), nil
}

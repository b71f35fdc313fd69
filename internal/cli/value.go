package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// valueFlags say where a value comes from and what it is. There is no flag
// for a value itself: arguments are seen by every user of the machine and
// stay in the shell's history.
type valueFlags struct {
	file   string
	text   bool
	binary bool
	token  string
}

func (f *valueFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.file, "file", "f", "", "read the value from `FILE` (- for stdin)")
	cmd.Flags().BoolVar(&f.text, "text", false, "refuse a value that is not UTF-8 text")
	cmd.Flags().BoolVar(&f.binary, "binary", false, "store the value as binary even if it is UTF-8 text")
	cmd.Flags().StringVar(&f.token, "request-token", "", "32 to 64 characters that make the write idempotent; they become the version's `ID`")
	cmd.MarkFlagsMutuallyExclusive("text", "binary")
}

// requestToken checks the flag.
func (f *valueFlags) requestToken() (secret.VersionID, error) {
	if f.token == "" {
		return "", nil
	}
	t, err := secret.ParseVersionID(f.token)
	if err != nil {
		return "", usagef("--request-token: %v", err)
	}
	return t, nil
}

// read reads the value from where the flags say, else from stdin, else from
// the person at the terminal.
func (f *valueFlags) read(ctx context.Context, a *app, name secret.Name) (*secretbuf.Buffer, error) {
	if f.file == "" && a.env.IsTerminal(a.env.Stdin) {
		return a.promptValue(ctx, string(name))
	}
	in, err := openInput(firstOf(f.file, "-"), a.env.Stdin)
	if err != nil {
		return nil, fmt.Errorf("reading the value: %w", err)
	}
	defer in.Close()
	value, err := await(ctx, func() (*secretbuf.Buffer, error) { return secretbuf.ReadAll(in, secret.MaxValue) })
	if errors.Is(err, secretbuf.ErrTooLong) {
		return nil, secret.Limited("value", fmt.Sprintf("1 to %d bytes", secret.MaxValue))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the value: %w", err)
	}
	return value, nil
}

// put makes the new version that a value is.
func (f *valueFlags) put(value *secretbuf.Buffer) (client.Put, error) {
	p := client.Put{Value: value}
	var err error
	if p.Token, err = f.requestToken(); err != nil {
		return p, err
	}
	isText := utf8.Valid(value.Bytes())
	switch {
	case value.Len() == 0:
		return p, secret.Invalid("value", "it is empty; nothing was stored")
	case f.text && !isText:
		return p, secret.Invalid("value", "it is not UTF-8 text; nothing was stored")
	case f.binary || !isText:
		p.Kind = secret.Binary
	}
	return p, nil
}

// hasInput reports whether stdin can have been meant to bring a value: a pipe
// or a file, but not a terminal, a closed stream or /dev/null.
func (a *app) hasInput() bool {
	switch in := a.env.Stdin.(type) {
	case eofReader:
		return false
	case *os.File:
		info, err := in.Stat()
		return err == nil && (info.Mode().IsRegular() || info.Mode()&fs.ModeNamedPipe != 0)
	}
	return true
}

// metadataFlags set a secret's metadata; those not given leave it as it is.
type metadataFlags struct {
	description   string
	tags          []string
	noTags        bool
	algorithm     string
	required      bool
	interval      string
	services      []string
	environments  []string
	mfa           bool
	noRestriction bool
}

func (f *metadataFlags) add(cmd *cobra.Command, update bool) {
	flags := cmd.Flags()
	flags.StringVar(&f.description, "description", "", "what the secret is for (`TEXT`)")
	flags.StringArrayVar(&f.tags, "tag", nil, "a `KEY=VALUE`; give it several times; together they replace all tags")
	flags.StringVar(&f.algorithm, "algorithm", "", "aes-256-gcm or hybrid-quantum; default the tenant's")
	flags.BoolVar(&f.required, "rotation-required", false, "list the secret as due when its rotation interval has passed")
	flags.StringVar(&f.interval, "rotation-interval", "", "7d, 30d, 90d, 180d or 365d; default 90d")
	flags.StringSliceVar(&f.services, "allowed-services", nil, "only these services may use the secret (`A,B`; \"\" for none)")
	flags.StringSliceVar(&f.environments, "allowed-environments", nil, "only services of these environments: dev, staging, prod (`A,B`; \"\" for none)")
	flags.BoolVar(&f.mfa, "requires-mfa", false, "every action but reading the value wants a second factor")
	if update {
		flags.BoolVar(&f.noTags, "no-tags", false, "take all tags off")
		flags.BoolVar(&f.noRestriction, "no-access-policy", false, "take the access policy off")
		cmd.MarkFlagsMutuallyExclusive("tag", "no-tags")
		for _, part := range []string{"allowed-services", "allowed-environments", "requires-mfa"} {
			cmd.MarkFlagsMutuallyExclusive(part, "no-access-policy")
		}
	}
}

// patch turns the flags that were given into a patch.
func (f *metadataFlags) patch(cmd *cobra.Command) (p secret.Patch, err error) {
	given := cmd.Flags().Changed
	if given("description") {
		p.Description = &f.description
	}
	if len(f.tags) > 0 || f.noTags {
		if p.Tags, err = parseTags(f.tags); err != nil {
			return p, err
		}
	}
	if given("algorithm") {
		alg, err := secret.ParseAlgorithm(f.algorithm)
		if err != nil {
			return p, usagef("--algorithm: %v", err)
		}
		p.Algorithm = &alg
	}
	if given("rotation-required") {
		p.RotationRequired = &f.required
	}
	if given("rotation-interval") {
		interval := client.Interval(f.interval)
		if !interval.Valid() {
			return p, usagef("--rotation-interval is 7d, 30d, 90d, 180d or 365d")
		}
		p.RotationInterval = &interval
	}
	p.AccessPolicy, err = f.accessPolicy(given)
	return p, err
}

// accessPolicy is nil if no flag is about it.
func (f *metadataFlags) accessPolicy(given func(string) bool) (*secret.AccessPolicy, error) {
	if f.noRestriction {
		return &secret.AccessPolicy{}, nil
	}
	if !given("allowed-services") && !given("allowed-environments") && !given("requires-mfa") {
		return nil, nil
	}
	p := &secret.AccessPolicy{RequiresMFA: f.mfa}
	if given("allowed-services") {
		p.AllowedServices = append([]string{}, f.services...)
	}
	if given("allowed-environments") {
		p.AllowedEnvironments = []secret.Environment{}
		for _, e := range f.environments {
			p.AllowedEnvironments = append(p.AllowedEnvironments, secret.Environment(e))
		}
	}
	if err := p.Validate(); err != nil {
		return nil, usagef("%v", err)
	}
	return p, nil
}

package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"fastness/internal/policy"
	"fastness/internal/secret"
)

// grantFlags say what somebody may do.
type grantFlags struct{ words []string }

func (f *grantFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.words, "grant", nil, "a role and its names (`ROLE[=PATTERN,…]`); give it several times")
}

// parse reads the grants; nil for none.
func (f *grantFlags) parse() (grants []policy.Grant, err error) {
	for _, word := range f.words {
		role, patterns, named := strings.Cut(word, "=")
		g := policy.Grant{Role: policy.Role(role)}
		if named {
			g.Patterns = strings.Split(patterns, ",")
		}
		grants = append(grants, g)
	}
	if grants == nil {
		return nil, nil
	}
	if err := policy.ValidateGrants(grants); err != nil {
		return nil, usagef("--grant: %v", err)
	}
	return grants, nil
}

// attributeFlags are those of a service, which access policies ask for.
type attributeFlags struct{ service, environment string }

func (f *attributeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.service, "service", "", "the service that it is, for access policies (`NAME`)")
	cmd.Flags().StringVar(&f.environment, "environment", "", "where it runs: dev, staging or prod")
}

func (f *attributeFlags) parse() (service string, e secret.Environment, err error) {
	if f.service != "" {
		if err := secret.CheckService("service", f.service); err != nil {
			return "", "", usagef("--%v", err)
		}
	}
	if e, err = secret.ParseEnvironment(f.environment); err != nil {
		return "", "", usagef("--environment: %v", err)
	}
	return f.service, e, nil
}

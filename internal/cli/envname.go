package cli

import (
	"fmt"
	"slices"
	"strings"

	"fastness/internal/secret"
)

// envName is the environment variable that a secret's name becomes: upper
// case, with "_" for whatever is not a letter or digit, and before a digit at
// the start. So db/password is DB_PASSWORD.
func envName(name string) string {
	var b strings.Builder
	for i, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z':
			b.WriteByte(c - 'a' + 'A')
		case c >= 'A' && c <= 'Z' || c >= '0' && c <= '9':
			if i == 0 && c <= '9' {
				b.WriteByte('_')
			}
			b.WriteByte(c)
		default:
			b.WriteByte('_')
		}
	}
	return b.String()
}

// validEnv reports whether a variable given on the command line is one that
// shells and programs can use.
func validEnv(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// steering variables decide what a program loads or runs. A secret's name
// never turns into one by itself: whoever may write secrets would otherwise
// run code as whoever reads them.
var steering = []string{
	"PATH", "HOME", "SHELL", "IFS", "ENV", "BASH_ENV", "SHELLOPTS", "BASHOPTS", "PS4", "PROMPT_COMMAND", "TMPDIR",
	"EDITOR", "VISUAL", "PAGER", "BROWSER", "GCONV_PATH", "LOCPATH", "NLSPATH", "HOSTALIASES", "SSLKEYLOGFILE",
	"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "GODEBUG",
	"PERL5LIB", "PERL5OPT", "PERLLIB", "RUBYLIB", "RUBYOPT", "NODE_OPTIONS", "NODE_PATH",
	"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONINSPECT", "PYTHONBREAKPOINT",
	"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH",
	"GIT_SSH", "GIT_SSH_COMMAND", "GIT_EXEC_PATH", "GIT_ASKPASS", "GIT_EDITOR", "GIT_PAGER", "GIT_EXTERNAL_DIFF",
	"GIT_PROXY_COMMAND", "SSH_ASKPASS",
	envAddr, envToken, envTenant,
}

var steeringPrefixes = []string{"LD_", "DYLD_", "BASH_FUNC_", "GIT_CONFIG"}

func steers(variable string) bool {
	return slices.Contains(steering, variable) ||
		slices.ContainsFunc(steeringPrefixes, func(p string) bool { return strings.HasPrefix(variable, p) })
}

// binding is a secret and the variable it goes into.
type binding struct {
	name     secret.Name
	variable string
}

// bindings are built one secret at a time; a variable that two secrets want is
// an error, because one of the values would silently be lost.
type bindings struct {
	list []binding
	by   map[string]secret.Name
}

func (b *bindings) add(name secret.Name, variable string) error {
	if other, taken := b.by[variable]; taken && other != name {
		return fmt.Errorf("%s and %s both become %s; name one of them with --secret NAME=VARIABLE",
			clean(string(other)), clean(string(name)), variable)
	} else if taken {
		return nil
	}
	if b.by == nil {
		b.by = make(map[string]secret.Name)
	}
	b.by[variable] = name
	b.list = append(b.list, binding{name, variable})
	return nil
}

// addMapped adds a secret under the variable that its name becomes.
func (b *bindings) addMapped(name secret.Name, text string) error {
	variable := envName(text)
	if variable == "" || steers(variable) {
		return fmt.Errorf("%s would become %s, which decides what programs do; if you mean it, say --secret %s=%s",
			clean(string(name)), orDash(variable), clean(string(name)), orDash(variable))
	}
	return b.add(name, variable)
}

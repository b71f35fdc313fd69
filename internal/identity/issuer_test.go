package identity_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"fastness/internal/identity"
	"fastness/internal/secret"
)

func marshal(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestValidateIssuer(t *testing.T) {
	good := func() identity.Issuer {
		return identity.Issuer{
			Name: "corp", URL: "https://login.example.com/tenant", Audiences: []string{"fastness"},
			Bindings: []identity.Binding{{Match: map[string][]string{"sub": {"a"}}, Principal: "a"}},
		}
	}
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	keys := func(k ...jose.JSONWebKey) string { return marshal(t, jose.JSONWebKeySet{Keys: k}) }
	public := jose.JSONWebKey{Key: rsaKey().Public(), KeyID: "one"}
	many := func(n int, s string) []string {
		return strings.Split(strings.TrimSuffix(strings.Repeat(s+",", n), ","), ",")
	}
	for name, tc := range map[string]struct {
		change func(*identity.Issuer)
		want   string // the error; empty for none
	}{
		"name with capitals":        {func(i *identity.Issuer) { i.Name = "Corp" }, "issuer.name: only a-z, 0-9 and '-' are allowed"},
		"no name":                   {func(i *identity.Issuer) { i.Name = "" }, "issuer.name: limit: 1 to 63 characters"},
		"plain http":                {func(i *identity.Issuer) { i.URL = "http://login.example.com" }, "issuer.url: must begin with https://"},
		"http on this machine":      {func(i *identity.Issuer) { i.URL = "http://localhost:8080" }, ""},
		"http on [::1]":             {func(i *identity.Issuer) { i.URL = "http://[::1]:8080" }, ""},
		"localhost as a part":       {func(i *identity.Issuer) { i.URL = "http://localhost.evil.example" }, "issuer.url: must begin with https://"},
		"localhost as a user":       {func(i *identity.Issuer) { i.URL = "http://localhost@evil.example" }, "issuer.url: a URL without user, query and fragment"},
		"another scheme":            {func(i *identity.Issuer) { i.URL = "file://localhost/etc/passwd" }, "issuer.url: must begin with https://"},
		"no host":                   {func(i *identity.Issuer) { i.URL = "https://" }, "issuer.url: a URL without user, query and fragment"},
		"a query":                   {func(i *identity.Issuer) { i.URL = "https://a.example?x" }, "issuer.url: a URL without user, query and fragment"},
		"a fragment":                {func(i *identity.Issuer) { i.URL = "https://a.example#x" }, "issuer.url: a URL without user, query and fragment"},
		"a space":                   {func(i *identity.Issuer) { i.URL = "https://a.example/a b" }, "issuer.url: a URL without user, query and fragment"},
		"metadata":                  {func(i *identity.Issuer) { i.URL = "https://169.254.169.254" }, "issuer.url: must not be an address of the machine's own network"},
		"metadata, mapped":          {func(i *identity.Issuer) { i.URL = "https://[::ffff:169.254.169.254]" }, "issuer.url: must not be an address of the machine's own network"},
		"keys at metadata":          {func(i *identity.Issuer) { i.KeySetURL = "https://169.254.169.254/latest" }, "issuer.keySetUrl: must not be an address of the machine's own network"},
		"no audience":               {func(i *identity.Issuer) { i.Audiences = nil }, "issuer.audiences: limit: 1 to 20 audiences"},
		"an empty audience":         {func(i *identity.Issuer) { i.Audiences = []string{""} }, "issuer.audiences: limit: 1 to 1024 bytes"},
		"many audiences":            {func(i *identity.Issuer) { i.Audiences = many(21, "a") }, "issuer.audiences: limit: 1 to 20 audiences"},
		"symmetric":                 {func(i *identity.Issuer) { i.Algorithms = []string{"HS256"} }, "issuer.algorithms: of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA"},
		"none":                      {func(i *identity.Issuer) { i.Algorithms = []string{"none"} }, "issuer.algorithms: of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA"},
		"keys given":                {func(i *identity.Issuer) { i.KeySet = keys(public) }, ""},
		"keys given, and an URL":    {func(i *identity.Issuer) { i.KeySet, i.KeySetURL = keys(public), "https://a.example" }, "issuer.keySet: keySet or keySetUrl, not both"},
		"keys given, and a CA":      {func(i *identity.Issuer) { i.KeySet, i.CA = keys(public), "x" }, "issuer.ca: with keySet nobody is asked"},
		"a private key given":       {func(i *identity.Issuer) { i.KeySet = keys(jose.JSONWebKey{Key: rsaKey()}) }, "issuer.keySet: holds a private key; replace it at the issuer, it is known now"},
		"a shared key given":        {func(i *identity.Issuer) { i.KeySet = `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}` }, "issuer.keySet: a JWK set of public keys: RSA of 2048 to 8192 bits, EC or Ed25519"},
		"a good and a bad key":      {func(i *identity.Issuer) { i.KeySet = keys(public, jose.JSONWebKey{Key: []byte("secret")}) }, "issuer.keySet: a JWK set of public keys: RSA of 2048 to 8192 bits, EC or Ed25519"},
		"no keys given":             {func(i *identity.Issuer) { i.KeySet = `{}` }, "issuer.keySet: a JWK set of public keys: RSA of 2048 to 8192 bits, EC or Ed25519"},
		"a big key set":             {func(i *identity.Issuer) { i.KeySet = strings.Repeat(" ", identity.MaxKeySet+1) }, "issuer.keySet: limit: at most 65536 bytes"},
		"a CA that is none":         {func(i *identity.Issuer) { i.CA = "-----BEGIN CERTIFICATE-----" }, "issuer.ca: certificates of authorities in PEM, and nothing else"},
		"a big CA":                  {func(i *identity.Issuer) { i.CA = strings.Repeat("x", identity.MaxBundle+1) }, "issuer.ca: limit: at most 65536 bytes"},
		"a negative age":            {func(i *identity.Issuer) { i.MaxAge = -1 }, "issuer.maxAge: limit: at most 3650d"},
		"a short session":           {func(i *identity.Issuer) { i.Session = time.Second }, "issuer.session: limit: from 1m to 12h"},
		"a long session":            {func(i *identity.Issuer) { i.Session = 13 * time.Hour }, "issuer.session: limit: from 1m to 12h"},
		"scopes without a client":   {func(i *identity.Issuer) { i.Scopes = []string{"email"} }, "issuer.scopes: only with clientId"},
		"a client":                  {func(i *identity.Issuer) { i.ClientID, i.Scopes = "fastness", []string{"email", "profile"} }, ""},
		"a client not an audience":  {func(i *identity.Issuer) { i.ClientID = "cli" }, "issuer.clientId: must be among the audiences"},
		"a client, and keys given":  {func(i *identity.Issuer) { i.ClientID, i.KeySet = "fastness", keys(public) }, "issuer.clientId: people need an issuer that can be asked"},
		"two scopes in one":         {func(i *identity.Issuer) { i.ClientID, i.Scopes = "fastness", []string{"email offline_access"} }, "issuer.scopes: names of scopes, without spaces"},
		"no bindings, as for later": {func(i *identity.Issuer) { i.Bindings = nil }, ""},
		"many bindings":             {func(i *identity.Issuer) { i.Bindings = make([]identity.Binding, 101) }, "bindings: limit: at most 100 bindings"},
	} {
		i := good()
		tc.change(&i)
		err := i.Validate()
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || err.Error() != tc.want) {
			t.Errorf("%s: got %v, want %s", name, err, tc.want)
		}
		if err != nil && !errors.Is(err, secret.ErrInvalid) && !errors.Is(err, secret.ErrLimit) {
			t.Errorf("%s: %v is neither sentinel", name, err)
		}
	}
}

func TestLifetime(t *testing.T) {
	if d := (identity.Issuer{}).Lifetime(); d != 15*time.Minute {
		t.Errorf("default: %v", d)
	}
	if d := (identity.Issuer{Session: time.Hour}).Lifetime(); d != time.Hour {
		t.Errorf("an hour: %v", d)
	}
}

func TestValidateBinding(t *testing.T) {
	ok := map[string][]string{"sub": {"a"}}
	for name, tc := range map[string]struct {
		b    identity.Binding
		want string
	}{
		"good":                {identity.Binding{Match: ok, Principal: "a", Service: "s", Environment: "prod"}, ""},
		"good templates":      {identity.Binding{Match: map[string][]string{`kubernetes\.io.namespace`: {"*"}}, Principal: "x-{sub}-y", Service: `{kubernetes\.io.namespace}`, Environment: "{env}"}, ""},
		"good person":         {identity.Binding{Match: ok, Principal: "{email}", Kind: "person"}, ""},
		"no match":            {identity.Binding{Principal: "a"}, "bindings.0.match: limit: 1 to 20 claims"},
		"no values":           {identity.Binding{Match: map[string][]string{"sub": nil}, Principal: "a"}, "bindings.0.match: limit: 1 to 50 values of a claim"},
		"an empty value":      {identity.Binding{Match: map[string][]string{"sub": {""}}, Principal: "a"}, "bindings.0.match: limit: values of 1 to 1024 bytes"},
		"a control character": {identity.Binding{Match: map[string][]string{"sub": {"a\x00"}}, Principal: "a"}, "bindings.0.match: only printable characters are allowed"},
		"an empty path":       {identity.Binding{Match: map[string][]string{"": {"a"}}, Principal: "a"}, "bindings.0.match: limit: paths of claims of 1 to 1024 bytes"},
		"an empty name":       {identity.Binding{Match: map[string][]string{"a..b": {"a"}}, Principal: "a"}, `bindings.0.match: a path is names with dots between them; a dot within a name is written "\."`},
		"a stray backslash":   {identity.Binding{Match: map[string][]string{`a\b`: {"a"}}, Principal: "a"}, `bindings.0.match: a path is names with dots between them; a dot within a name is written "\."`},
		"no principal":        {identity.Binding{Match: ok}, "bindings.0.principal: limit: 1 to 128 characters"},
		"a reserved one":      {identity.Binding{Match: ok, Principal: "system"}, `bindings.0.principal: "system" and "local" are reserved`},
		"two claims":          {identity.Binding{Match: ok, Principal: "{a}-{b}"}, "bindings.0.principal: text in which at most one {path} stands for a claim"},
		"not closed":          {identity.Binding{Match: ok, Principal: "{a"}, "bindings.0.principal: text in which at most one {path} stands for a claim"},
		"not opened":          {identity.Binding{Match: ok, Principal: "a}"}, "bindings.0.principal: text in which at most one {path} stands for a claim"},
		"nested":              {identity.Binding{Match: ok, Principal: "{{a}}"}, "bindings.0.principal: text in which at most one {path} stands for a claim"},
		"no path":             {identity.Binding{Match: ok, Principal: "{}"}, "bindings.0.principal: limit: paths of claims of 1 to 1024 bytes"},
		"a long template":     {identity.Binding{Match: ok, Principal: strings.Repeat("a", 1025)}, "bindings.0.principal: limit: at most 1024 bytes"},
		"unknown kind":        {identity.Binding{Match: ok, Principal: "a", Kind: "operator"}, "bindings.0.kind: service or person"},
		"a person's service":  {identity.Binding{Match: ok, Principal: "a", Kind: "person", Service: "s"}, "bindings.0.kind: a person has neither service nor environment"},
		"unknown environment": {identity.Binding{Match: ok, Principal: "a", Environment: "production"}, "bindings.0.environment: dev, staging or prod"},
		"a bad service":       {identity.Binding{Match: ok, Principal: "a", Service: "a\nb"}, "bindings.0.service: only printable characters are allowed"},
	} {
		err := identity.Issuer{Name: "i", URL: "https://a.example", Audiences: []string{"a"}, Bindings: []identity.Binding{tc.b}}.Validate()
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || err.Error() != tc.want) {
			t.Errorf("%s: got %v, want %s", name, err, tc.want)
		}
	}
}

package identity_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"fastness/internal/identity"
	"fastness/internal/secret"
)

// certMaker signs certificates.
type certMaker struct {
	t    testing.TB
	cert *x509.Certificate
	key  crypto.Signer
	now  time.Time
}

// newCA makes an authority; changes are made to its template.
func newCA(t testing.TB, now time.Time, change func(*x509.Certificate)) *certMaker {
	ca := &certMaker{t: t, key: ecKey(t), now: now}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, ca.key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	ca.cert = parseCert(t, der)
	return ca
}

func parseCert(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// issue makes a client's certificate; key is nil for a fresh one.
func (ca *certMaker) issue(key crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
	ca.t.Helper()
	if key == nil {
		key = ecKey(ca.t)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(42), NotBefore: ca.now.Add(-time.Minute), NotAfter: ca.now.Add(time.Minute), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, DNSNames: []string{"web.acme.example"},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		ca.t.Fatal(err)
	}
	return parseCert(ca.t, der)
}

// intermediate makes an authority below this one.
func (ca *certMaker) intermediate() *certMaker {
	below := &certMaker{t: ca.t, key: ecKey(ca.t), now: ca.now}
	below.cert = ca.issue(below.key, func(c *x509.Certificate) {
		c.IsCA, c.KeyUsage, c.ExtKeyUsage, c.DNSNames, c.Subject = true, x509.KeyUsageCertSign, nil, nil, pkix.Name{CommonName: "Intermediate"}
	})
	return below
}

func pemOf(certs ...*x509.Certificate) string {
	var b strings.Builder
	for _, c := range certs {
		pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return b.String()
}

func uri(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

func spiffe(ids ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.DNSNames = nil
		for _, id := range ids {
			c.URIs = append(c.URIs, uri(id))
		}
	}
}

func TestVerifyCertificate(t *testing.T) {
	now := newClock().now()
	ca := newCA(t, now, nil)
	authority := identity.Authority{Name: "mesh", Bundle: pemOf(ca.cert), Bindings: []identity.Binding{
		{Match: map[string][]string{"dns": {"web.*.example"}}, Principal: "web", Service: "web"},
		{Match: map[string][]string{"email": {"bot@acme.example"}}, Principal: "bot"},
		{Match: map[string][]string{"uri": {"urn:acme:job:*"}}, Principal: "job"},
	}}
	if err := authority.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		chain []*x509.Certificate
		want  string
	}{
		"dns":   {[]*x509.Certificate{ca.issue(nil, nil)}, "web"},
		"email": {[]*x509.Certificate{ca.issue(nil, func(c *x509.Certificate) { c.DNSNames, c.EmailAddresses = nil, []string{"bot@acme.example"} })}, "bot"},
		"uri":   {[]*x509.Certificate{ca.issue(nil, func(c *x509.Certificate) { c.DNSNames, c.URIs = nil, []*url.URL{uri("urn:acme:job:7")} })}, "job"},
		"below": func() struct {
			chain []*x509.Certificate
			want  string
		} {
			below := ca.intermediate()
			return struct {
				chain []*x509.Certificate
				want  string
			}{[]*x509.Certificate{below.issue(nil, nil), below.cert}, "web"}
		}(),
	} {
		claims, err := authority.VerifyCertificate(tc.chain, now)
		if err != nil {
			t.Errorf("%s: %v", name, secret.Of(err).Cause)
			continue
		}
		if who, err := identity.Bind(authority.Bindings, claims); err != nil || who.Principal != tc.want {
			t.Errorf("%s: bound to %+v, %v", name, who, err)
		}
		if got := claims.Texts("serial"); len(got) != 1 || got[0] != "42" {
			t.Errorf("%s: serial %q", name, got)
		}
	}
}

func TestVerifyCertificateRefuses(t *testing.T) {
	now := newClock().now()
	ca, stranger := newCA(t, now, nil), newCA(t, now, nil)
	narrow := newCA(t, now, func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"other.example"}, true
	})
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	leaf := func(change func(*x509.Certificate)) []*x509.Certificate {
		return []*x509.Certificate{ca.issue(nil, change)}
	}
	below := ca.intermediate()
	for name, tc := range map[string]struct {
		chain []*x509.Certificate
		want  string
	}{
		"none":                     {nil, "there is no certificate, or too many"},
		"too many":                 {make([]*x509.Certificate, 11), "there is no certificate, or too many"},
		"a stranger's":             {[]*x509.Certificate{stranger.issue(nil, nil)}, "the certificate does not verify: it is of no known authority"},
		"a stranger's, with root":  {[]*x509.Certificate{stranger.issue(nil, nil), stranger.cert}, "the certificate does not verify: it is of no known authority"},
		"expired":                  {leaf(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }), "the certificate does not verify: it has expired or is not yet valid"},
		"not yet valid":            {leaf(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }), "the certificate does not verify: it has expired or is not yet valid"},
		"for servers":              {leaf(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), "the certificate does not verify: it is not for clients"},
		"the authority's own":      {[]*x509.Certificate{ca.cert}, "the certificate is an authority's"},
		"an authority's":           {[]*x509.Certificate{below.cert}, "the certificate is an authority's"},
		"may sign certificates":    {leaf(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }), "the certificate is an authority's"},
		"without intermediate":     {[]*x509.Certificate{below.issue(nil, nil)}, "the certificate does not verify: it is of no known authority"},
		"signed by a client's":     {[]*x509.Certificate{byLeaf(ca), ca.issue(nil, nil)}, "the certificate does not verify: it is of no known authority"},
		"a weak key":               {[]*x509.Certificate{ca.issue(weak, nil)}, "the certificate's key is too weak"},
		"outside its constraints":  {[]*x509.Certificate{narrow.issue(nil, nil)}, "the certificate does not verify: its authority may not vouch for it"},
		"a name in another letter": {leaf(func(c *x509.Certificate) { c.DNSNames = []string{"WEB.acme.example"} }), "no binding matches the claims"},
		"only a common name":       {leaf(func(c *x509.Certificate) { c.DNSNames, c.Subject = nil, pkix.Name{CommonName: "web.acme.example"} }), "no binding matches the claims"},
	} {
		authority := identity.Authority{Name: "mesh", Bundle: pemOf(ca.cert, narrow.cert), Bindings: []identity.Binding{{Match: map[string][]string{"dns": {"web.acme.example"}}, Principal: "web"}}}
		claims, err := authority.VerifyCertificate(tc.chain, now)
		if err == nil {
			_, err = identity.Bind(authority.Bindings, claims)
		}
		if got := reasonOf(t, err); got != tc.want {
			t.Errorf("%s: refused because %q, want %q", name, got, tc.want)
		}
	}
}

// byLeaf makes a certificate signed with a client's key.
func byLeaf(ca *certMaker) *x509.Certificate {
	key := ecKey(ca.t)
	client := &certMaker{t: ca.t, cert: ca.issue(key, nil), key: key, now: ca.now}
	return client.issue(nil, nil)
}

func TestSPIFFE(t *testing.T) {
	now := newClock().now()
	ca := newCA(t, now, nil)
	authority := identity.Authority{Name: "mesh", Bundle: pemOf(ca.cert), TrustDomain: "acme.example", Bindings: []identity.Binding{
		{Match: map[string][]string{"spiffe.id": {"spiffe://acme.example/ns/prod/sa/*"}}, Principal: "{spiffe.id}", Environment: "prod"},
	}}
	if err := authority.Validate(); err != nil {
		t.Fatal(err)
	}
	const good = "spiffe://acme.example/ns/prod/sa/web"
	claims, err := authority.VerifyCertificate([]*x509.Certificate{ca.issue(nil, spiffe(good))}, now)
	if err != nil {
		t.Fatal(secret.Of(err).Cause)
	}
	if who, err := identity.Bind(authority.Bindings, claims); err != nil || who.Principal != good || who.Environment != secret.Prod {
		t.Errorf("bound to %+v, %v", who, err)
	}
	if got := fmt.Sprint(claims.Texts("spiffe.path"), claims.Texts("spiffe.trustDomain")); got != "[/ns/prod/sa/web] [acme.example]" {
		t.Errorf("claims: %s", got)
	}
	const noSVID = "the certificate is no X.509-SVID of the trust domain"
	for name, tc := range map[string]struct {
		change func(*x509.Certificate)
		want   string
	}{
		"another domain":   {spiffe("spiffe://evil.example/ns/prod/sa/web"), noSVID},
		"a domain below":   {spiffe("spiffe://x.acme.example/ns/prod/sa/web"), noSVID},
		"two ids":          {spiffe(good, good), noSVID},
		"an id and an URI": {spiffe(good, "https://acme.example"), noSVID},
		"no id":            {nil, noSVID},
		"another scheme":   {spiffe("https://acme.example/ns/prod/sa/web"), noSVID},
		"no path":          {spiffe("spiffe://acme.example"), "the SPIFFE id names no workload"},
		"a path with dots": {spiffe("spiffe://acme.example/ns/dev/../prod/sa/web"), noSVID},
		"an empty segment": {spiffe("spiffe://acme.example/ns//prod"), noSVID},
		"a trailing slash": {spiffe(good + "/"), noSVID},
		"a port":           {spiffe("spiffe://acme.example:443/ns/prod/sa/web"), noSVID},
		"a user":           {spiffe("spiffe://a@acme.example/ns/prod/sa/web"), noSVID},
		"a query":          {spiffe(good + "?x"), noSVID},
		"percent-encoded":  {spiffe("spiffe://acme.example/ns%2fprod/sa/web"), noSVID},
		"not for clients": {func(c *x509.Certificate) {
			spiffe(good)(c)
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}, "the certificate does not verify: it is not for clients"},
		"may sign revocation": {func(c *x509.Certificate) { spiffe(good)(c); c.KeyUsage |= x509.KeyUsageCRLSign }, "the certificate is an authority's"},
	} {
		_, err := authority.VerifyCertificate([]*x509.Certificate{ca.issue(nil, tc.change)}, now)
		if got := reasonOf(t, err); got != tc.want {
			t.Errorf("%s: refused because %q, want %q", name, got, tc.want)
		}
	}
	// Without a trust domain an id is a URI like others, and no SPIFFE claim.
	authority.TrustDomain = ""
	claims, err = authority.VerifyCertificate([]*x509.Certificate{ca.issue(nil, spiffe(good))}, now)
	if err != nil || claims.Texts("spiffe.id") != nil || claims.Texts("uri")[0] != good {
		t.Errorf("without a domain: %v, %v", claims, err)
	}
}

func TestValidateAuthority(t *testing.T) {
	now := newClock().now()
	ca := newCA(t, now, nil)
	bundle := pemOf(ca.cert)
	sub := []identity.Binding{{Match: map[string][]string{"dns": {"a"}}, Principal: "a"}}
	for name, tc := range map[string]struct {
		a    identity.Authority
		want string
	}{
		"good":            {identity.Authority{Name: "a", Bundle: bundle, Bindings: sub}, ""},
		"two":             {identity.Authority{Name: "a", Bundle: bundle + "\n" + bundle, TrustDomain: "acme.example"}, ""},
		"bad name":        {identity.Authority{Name: "A", Bundle: bundle}, "ca.name: only a-z, 0-9 and '-' are allowed"},
		"none":            {identity.Authority{Name: "a"}, "ca.bundle: limit: 1 to 100 certificates"},
		"a client's":      {identity.Authority{Name: "a", Bundle: pemOf(ca.issue(nil, nil))}, "ca.bundle: certificates of authorities in PEM, and nothing else"},
		"text before":     {identity.Authority{Name: "a", Bundle: "My CA\n" + bundle}, "ca.bundle: certificates of authorities in PEM, and nothing else"},
		"text after":      {identity.Authority{Name: "a", Bundle: bundle + "x"}, "ca.bundle: certificates of authorities in PEM, and nothing else"},
		"a key":           {identity.Authority{Name: "a", Bundle: bundle + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}, "ca.bundle: certificates of authorities in PEM, and nothing else"},
		"a spiffe URL":    {identity.Authority{Name: "a", Bundle: bundle, TrustDomain: "spiffe://acme.example"}, "ca.trustDomain: the name of a SPIFFE trust domain, as in acme.example"},
		"capitals":        {identity.Authority{Name: "a", Bundle: bundle, TrustDomain: "Acme.example"}, "ca.trustDomain: the name of a SPIFFE trust domain, as in acme.example"},
		"a long session":  {identity.Authority{Name: "a", Bundle: bundle, Session: 13 * time.Hour}, "ca.session: limit: from 1m to 12h"},
		"a person":        {identity.Authority{Name: "a", Bundle: bundle, Bindings: []identity.Binding{{Kind: "person"}}}, "ca.bindings: a certificate is a service's"},
		"a bad binding":   {identity.Authority{Name: "a", Bundle: bundle, Bindings: []identity.Binding{{Principal: "a"}}}, "bindings.0.match: limit: 1 to 20 claims"},
		"a headed block":  {identity.Authority{Name: "a", Bundle: strings.Replace(bundle, "-----\n", "-----\nX: y\n\n", 1)}, "ca.bundle: certificates of authorities in PEM, and nothing else"},
		"a truncated one": {identity.Authority{Name: "a", Bundle: bundle[:len(bundle)/2]}, "ca.bundle: certificates of authorities in PEM, and nothing else"},
	} {
		err := tc.a.Validate()
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || err.Error() != tc.want) {
			t.Errorf("%s: got %v, want %s", name, err, tc.want)
		}
	}
}

// escapePEM is Envoy's percent-encoding of PEM.
func escapePEM(certs ...*x509.Certificate) string {
	return strings.NewReplacer("\n", "%0A", " ", "%20", "+", "%2B", "/", "%2F", "=", "%3D").Replace(pemOf(certs...))
}

func TestParseForwarded(t *testing.T) {
	now := newClock().now()
	ca := newCA(t, now, nil)
	below := ca.intermediate()
	leaf, other := below.issue(nil, spiffe("spiffe://acme.example/web")), below.issue(nil, nil)
	sum := sha256.Sum256(leaf.Raw)
	hash, cert := hex.EncodeToString(sum[:]), `Cert="`+escapePEM(leaf)+`"`
	field := func(c *x509.Certificate) string { return ":" + base64.StdEncoding.EncodeToString(c.Raw) + ":" }
	xfcc := func(lines ...string) map[string][]string { return map[string][]string{identity.HeaderXFCC: lines} }
	for name, tc := range map[string]struct {
		headers map[string][]string
		want    int // certificates; -1 for an error
	}{
		"none":                   {nil, 0},
		"Envoy, usual":           {xfcc(`By=spiffe://acme.example/gateway;Hash=` + hash + `;` + cert + `;Subject="CN=web,O=\"Acme; Inc\"";URI=spiffe://acme.example/web;DNS=a.example;DNS=b.example`), 1},
		"Envoy, only Cert":       {xfcc(cert), 1},
		"Envoy, unquoted":        {xfcc(`cert=` + escapePEM(leaf)), 1},
		"Envoy, with chain":      {xfcc(cert + `;Chain="` + escapePEM(leaf, below.cert) + `"`), 2},
		"Envoy, only hash":       {xfcc(`Hash=` + hash), -1},
		"Envoy, only a name":     {xfcc(`By=x;URI=spiffe://acme.example/web;DNS=web`), -1},
		"Envoy, other hash":      {xfcc(`Hash=` + strings.Repeat("0", 64) + `;` + cert), -1},
		"Envoy, two proxies":     {xfcc(cert + `,` + cert), -1},
		"Envoy, forged before":   {xfcc(`Cert="` + escapePEM(other) + `",` + cert), -1},
		"Envoy, two certs":       {xfcc(cert + `;Cert="` + escapePEM(other) + `"`), -1},
		"Envoy, two in one":      {xfcc(`Cert="` + escapePEM(leaf, other) + `"`), -1},
		"Envoy, two cases":       {xfcc(cert + `;cert="` + escapePEM(other) + `"`), -1},
		"Envoy, two hashes":      {xfcc(`Hash=` + hash + `;Hash=` + hash + `;` + cert), -1},
		"Envoy, other chain":     {xfcc(cert + `;Chain="` + escapePEM(other, below.cert) + `"`), -1},
		"Envoy, only chain":      {xfcc(`Chain="` + escapePEM(leaf) + `"`), -1},
		"Envoy, unknown key":     {xfcc(cert + `;Admin=yes`), -1},
		"Envoy, two headers":     {xfcc(cert, cert), -1},
		"Envoy, empty":           {xfcc(""), -1},
		"Envoy, open quote":      {xfcc(cert[:len(cert)-1]), -1},
		"Envoy, after a quote":   {xfcc(cert + `x`), -1},
		"Envoy, ends with ;":     {xfcc(cert + `;`), -1},
		"Envoy, spaces":          {xfcc(cert + `; URI=x`), -1},
		"Envoy, quoted in value": {xfcc(`URI=a"b;` + cert), -1},
		"Envoy, bad escape":      {xfcc(`Cert="` + escapePEM(leaf) + `%G1"`), -1},
		"Envoy, text after":      {xfcc(`Cert="` + escapePEM(leaf) + `x"`), -1},
		"Envoy, no PEM":          {xfcc(`Cert="x"`), -1},
		"RFC 9440":               {map[string][]string{identity.HeaderClientCert: {field(leaf)}}, 1},
		"RFC 9440, with chain":   {map[string][]string{identity.HeaderClientCert: {field(leaf)}, identity.HeaderClientCertChain: {field(below.cert) + ", " + field(ca.cert)}}, 3},
		"RFC 9440, only chain":   {map[string][]string{identity.HeaderClientCertChain: {field(leaf)}}, -1},
		"RFC 9440, twice":        {map[string][]string{identity.HeaderClientCert: {field(leaf), field(other)}}, -1},
		"RFC 9440, two in one":   {map[string][]string{identity.HeaderClientCert: {field(leaf) + "," + field(other)}}, -1},
		"RFC 9440, chain twice":  {map[string][]string{identity.HeaderClientCert: {field(leaf)}, identity.HeaderClientCertChain: {field(below.cert), field(ca.cert)}}, -1},
		"RFC 9440, parameters":   {map[string][]string{identity.HeaderClientCert: {field(leaf) + ";a=1"}}, -1},
		"RFC 9440, no colons":    {map[string][]string{identity.HeaderClientCert: {strings.Trim(field(leaf), ":")}}, -1},
		"RFC 9440, one colon":    {map[string][]string{identity.HeaderClientCert: {":"}}, -1},
		"RFC 9440, no DER":       {map[string][]string{identity.HeaderClientCert: {":AAAA:"}}, -1},
		"RFC 9440, long chain":   {map[string][]string{identity.HeaderClientCert: {field(leaf)}, identity.HeaderClientCertChain: {strings.TrimSuffix(strings.Repeat(field(ca.cert)+",", 10), ",")}}, -1},
	} {
		header := identity.HeaderXFCC
		if tc.headers[header] == nil {
			header = identity.HeaderClientCert
		}
		chain, err := identity.ParseForwarded(header, func(h string) []string { return tc.headers[h] })
		if tc.want < 0 {
			if err == nil || chain != nil {
				t.Errorf("%s: got %d certificates", name, len(chain))
			}
			continue
		}
		if err != nil || len(chain) != tc.want {
			t.Errorf("%s: got %d certificates, %v", name, len(chain), err)
		} else if tc.want > 0 && !chain[0].Equal(leaf) {
			t.Errorf("%s: another certificate", name)
		}
	}

	// A header that the proxy does not set is the client's own.
	both := map[string][]string{identity.HeaderXFCC: {cert}, identity.HeaderClientCert: {field(other), field(other)}, identity.HeaderClientCertChain: {"x"}}
	values := func(h string) []string { return both[h] }
	if chain, err := identity.ParseForwarded(identity.HeaderXFCC, values); err != nil || len(chain) != 1 || !chain[0].Equal(leaf) {
		t.Errorf("beside RFC 9440: %d certificates, %v", len(chain), err)
	}
	both[identity.HeaderXFCC] = nil
	for _, header := range []string{identity.HeaderXFCC, "", "X-Client-Cert"} {
		if chain, err := identity.ParseForwarded(header, values); err != nil || chain != nil {
			t.Errorf("%q: %d certificates, %v", header, len(chain), err)
		}
	}
}

func FuzzParseForwarded(f *testing.F) {
	ca := newCA(f, newClock().now(), nil)
	leaf := ca.issue(nil, nil)
	f.Add(`By=a;Cert="`+escapePEM(leaf)+`";URI=x`, "", "")
	f.Add("", ":"+base64.StdEncoding.EncodeToString(leaf.Raw)+":", "")
	f.Add(`a="\`, "", "")
	f.Add(`Hash=;Cert="";`, ":", ":,:")
	f.Fuzz(func(t *testing.T, xfcc, cert, chain string) {
		lines := func(s string) []string {
			if s == "" {
				return nil
			}
			return []string{s}
		}
		headers := map[string][]string{identity.HeaderXFCC: lines(xfcc), identity.HeaderClientCert: lines(cert), identity.HeaderClientCertChain: lines(chain)}
		for header, said := range map[string]string{identity.HeaderXFCC: xfcc, identity.HeaderClientCert: cert + chain} {
			got, err := identity.ParseForwarded(header, func(h string) []string { return headers[h] })
			if err != nil && got != nil || err == nil && got == nil != (said == "") {
				t.Errorf("%q: got %v, %v", headers, got, err)
			}
		}
	})
}

// The weakest curve that is believed.
func TestCurves(t *testing.T) {
	now := newClock().now()
	ca := newCA(t, now, nil)
	authority := identity.Authority{Name: "mesh", Bundle: pemOf(ca.cert)}
	for _, curve := range []elliptic.Curve{elliptic.P224(), elliptic.P256(), elliptic.P384()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		_, err = authority.VerifyCertificate([]*x509.Certificate{ca.issue(key, nil)}, now)
		if (err != nil) != (curve == elliptic.P224()) {
			t.Errorf("%s: %v", curve.Params().Name, err)
		}
		if err != nil && !errors.Is(err, secret.ErrUnauthenticated) {
			t.Error(err)
		}
	}
}

func TestAuthorityLifetime(t *testing.T) {
	if d := (identity.Authority{}).Lifetime(); d != 15*time.Minute {
		t.Errorf("default: %v", d)
	}
	if d := (identity.Authority{Session: time.Hour}).Lifetime(); d != time.Hour {
		t.Errorf("an hour: %v", d)
	}
}

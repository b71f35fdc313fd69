package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"fastness/internal/policy"
)

// accessPage has the recipes.
const accessPage = "../../docs/access.md"

// TestAccessRecipes runs the blocks of docs/access.md with the info string "sh", as
// they are written, in one bash. A function stands for kubectl, and prints what a
// cluster does; the tokens of its pods are signed here.
func TestAccessRecipes(t *testing.T) {
	text, err := os.ReadFile(accessPage)
	if err != nil {
		t.Fatal(err)
	}
	script, blocks := scriptOf(string(text))
	if blocks < 6 {
		t.Fatalf("%d blocks to run:\n%s", blocks, script)
	}
	d, dir := startDev(t), t.TempDir()
	out := run(t, clientEnv(d.Address, d.Token, ""), nil, "tenant", "create", "acme", "--json").succeed(t)
	writeCluster(t, dir)
	writeBundle(t, filepath.Join(dir, "bundle.pem"))
	session := runScript(t, dir, `
export PATH="`+filepath.Dir(program)+`:$PATH" FASTNESS_ADDR='`+d.Address+`' FASTNESS_TENANT=acme FASTNESS_TOKEN='`+jsonField(t, out, "token")+`'
kubectl() {
	case "$*" in
	"get --raw /.well-known/openid-configuration") cat discovery.json ;;
	"get --raw /openid/v1/jwks") cat cluster-jwks.json ;;
	"create token web --namespace shop --audience fastness") cat pod.jwt ;;
	*) echo "kubectl $*?" >&2; return 1 ;;
	esac
}
`+script)
	if !strings.Contains(session, "correct horse battery staple") {
		t.Errorf("the pod did not read its secret:\n%s", session)
	}
}

// writeCluster writes what kubectl prints of a cluster: who it is, its keys, and a
// token of one of its service accounts.
func writeCluster(t *testing.T, dir string) {
	t.Helper()
	const issuer = "https://kubernetes.default.svc.cluster.local"
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "cluster"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	claims := map[string]any{
		"iss": issuer, "aud": []string{"fastness"}, "sub": "system:serviceaccount:shop:web", "jti": "2f6a1c7e-0b1d-4f58-9a55-4c9f6f1f3b0e",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{"namespace": "shop", "serviceaccount": map[string]any{"name": "web", "uid": "7c1e6c6e-5d1f-4b0c-8a0e-1f2d3c4b5a69"}},
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "cluster", Algorithm: "RS256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"discovery.json": `{"issuer":"` + issuer + `","jwks_uri":"` + issuer + `/openid/v1/jwks"}`, "cluster-jwks.json": string(keys), "pod.jwt": token,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// writeBundle writes the bundle of the SPIFFE trust domain acme.example.
func writeBundle(t *testing.T, path string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "SPIRE"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		URIs: []*url.URL{{Scheme: "spiffe", Host: "acme.example"}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAccessPolicies validates the policies of docs/access.md as the server does.
func TestAccessPolicies(t *testing.T) {
	text, err := os.ReadFile(accessPage)
	if err != nil {
		t.Fatal(err)
	}
	policies := strings.Split(string(text), "```cedar\n")[1:]
	if len(policies) < 3 {
		t.Fatalf("%d policies", len(policies))
	}
	for _, p := range policies {
		source, _, _ := strings.Cut(p, "```")
		if _, err := policy.ParseText("example", source); err != nil {
			t.Errorf("%v:\n%s", err, source)
		}
	}
}

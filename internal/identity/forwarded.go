package identity

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
)

// Headers in which a proxy that ends TLS tells the client's certificate. They
// mean something only from a proxy that is trusted and that removes them from
// what it is sent: whoever can set one is whom it names.
const (
	HeaderXFCC            = "X-Forwarded-Client-Cert" // Envoy's
	HeaderClientCert      = "Client-Cert"             // RFC 9440
	HeaderClientCertChain = "Client-Cert-Chain"
)

var errForwarded = errors.New("the forwarded certificate is malformed")

// ParseForwarded returns the chain that a proxy tells in the header that it sets,
// HeaderXFCC or HeaderClientCert, the client's certificate first; nil if it tells
// none, or sets no header. Others are not looked at: the proxy may have let them
// pass. There is one way to say it: a header that comes twice, an element of a
// second proxy, and a name instead of a certificate are refused. values returns all
// lines of a header.
func ParseForwarded(header string, values func(header string) []string) ([]*x509.Certificate, error) {
	switch header {
	case HeaderXFCC:
		return parseXFCCLines(values(HeaderXFCC))
	case HeaderClientCert:
		return parseRFC9440Lines(values(HeaderClientCert), values(HeaderClientCertChain))
	}
	return nil, nil
}

func parseXFCCLines(lines []string) ([]*x509.Certificate, error) {
	switch len(lines) {
	case 0:
		return nil, nil
	case 1:
		return parseXFCC(lines[0])
	}
	return nil, errForwarded
}

func parseRFC9440Lines(cert, chain []string) ([]*x509.Certificate, error) {
	switch {
	case len(cert) == 0 && len(chain) == 0:
		return nil, nil
	case len(cert) == 1 && len(chain) <= 1:
		return parseRFC9440(cert[0], strings.Join(chain, ""))
	}
	return nil, errForwarded
}

// parseXFCC reads Envoy's header: pairs of a key and a value with semicolons
// between them, values in quotes or not. A comma would begin the element of
// another proxy. Cert, and Chain if it is there, hold percent-encoded PEM; Hash,
// if it is there, must be the certificate's.
func parseXFCC(s string) ([]*x509.Certificate, error) {
	pairs, err := splitXFCC(s)
	if err != nil {
		return nil, err
	}
	leaf, err := parseEscapedPEM(pairs["cert"])
	if err != nil || len(leaf) != 1 {
		return nil, errForwarded
	}
	if hash, ok := pairs["hash"]; ok {
		sum := sha256.Sum256(leaf[0].Raw)
		if !strings.EqualFold(hash, hex.EncodeToString(sum[:])) {
			return nil, errForwarded
		}
	}
	if _, ok := pairs["chain"]; !ok {
		return leaf, nil
	}
	chain, err := parseEscapedPEM(pairs["chain"])
	if err != nil || !chain[0].Equal(leaf[0]) {
		return nil, errForwarded
	}
	return chain, nil
}

// splitXFCC returns the values of one element by their keys in lower case. Only
// the names of the certificate, of which nothing is read, may come more than
// once.
func splitXFCC(s string) (map[string]string, error) {
	pairs := map[string]string{}
	for s != "" {
		key, rest, ok := strings.Cut(s, "=")
		key = strings.ToLower(key)
		_, twice := pairs[key]
		if !ok || !isXFCCKey(key) || twice && key != "uri" && key != "dns" {
			return nil, errForwarded
		}
		value, after, ok := xfccValue(rest)
		if !ok {
			return nil, errForwarded
		}
		pairs[key] = value
		if s, ok = strings.CutPrefix(after, ";"); !ok && after != "" || ok && s == "" {
			return nil, errForwarded
		}
	}
	return pairs, nil
}

func isXFCCKey(key string) bool {
	switch key {
	case "by", "hash", "cert", "chain", "subject", "uri", "dns":
		return true
	}
	return false
}

// xfccValue reads a value up to the semicolon or the end. In quotes a backslash
// takes the next character as it is; outside of them none may need quotes.
func xfccValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		value = s
		if i := strings.IndexByte(s, ';'); i >= 0 {
			value, rest = s[:i], s[i:]
		}
		return value, rest, !strings.ContainsAny(value, ",\"=\\ ")
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// parseEscapedPEM reads percent-encoded certificates in PEM, at least one.
func parseEscapedPEM(s string) (certs []*x509.Certificate, err error) {
	text, err := url.PathUnescape(s)
	if err != nil {
		return nil, errForwarded
	}
	for rest := []byte(text); len(bytes.TrimSpace(rest)) > 0; {
		cert, after, err := nextCertificate(rest)
		if err != nil || len(certs) == maxChain {
			return nil, errForwarded
		}
		certs, rest = append(certs, cert), after
	}
	if len(certs) == 0 {
		return nil, errForwarded
	}
	return certs, nil
}

// parseRFC9440 reads Client-Cert, one byte sequence of structured fields (RFC
// 8941), and Client-Cert-Chain, a list of them without the client's own.
func parseRFC9440(cert, chain string) ([]*x509.Certificate, error) {
	items := []string{cert}
	if chain != "" {
		items = append(items, strings.Split(chain, ",")...)
	}
	if len(items) > maxChain {
		return nil, errForwarded
	}
	var certs []*x509.Certificate
	for _, item := range items {
		item = strings.Trim(item, " \t")
		inner, ok1 := strings.CutPrefix(item, ":")
		inner, ok2 := strings.CutSuffix(inner, ":")
		der, err := base64.StdEncoding.Strict().DecodeString(inner)
		if !ok1 || !ok2 || err != nil || strings.ContainsAny(inner, "\r\n") {
			return nil, errForwarded
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, errForwarded
		}
		certs = append(certs, c)
	}
	return certs, nil
}

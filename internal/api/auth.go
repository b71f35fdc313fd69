package api

import (
	"net/http"
	"strings"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/vault"
)

const scheme = "Bearer "

// authenticate finds out who sent the request. Whatever the Authorization
// header held is overwritten before the function returns: net/http made a
// string of it, which would otherwise outlive the request.
func (a *API) authenticate(r *http.Request, o vault.Origin) (*vault.Caller, error) {
	if credentialInURL(r) {
		return nil, a.vault.Refuse(r.Context(), o, errCredentialInURL)
	}
	token := bearer(r.Header)
	defer token.Release()
	return a.vault.Authenticate(r.Context(), o, token.Bytes())
}

// bearer takes the token out of the header; nil unless there is exactly one
// Authorization header and it is of the bearer scheme.
func bearer(h http.Header) *secretbuf.Buffer {
	values := h["Authorization"]
	delete(h, "Authorization")
	var token *secretbuf.Buffer
	if len(values) == 1 && len(values[0]) > len(scheme) && strings.EqualFold(values[0][:len(scheme)], scheme) {
		token = secretbuf.New(len(values[0]) - len(scheme))
		secretbuf.Do(func() { copy(token.Bytes(), values[0][len(scheme):]) })
	}
	for _, v := range values {
		secretbuf.WipeString(v)
	}
	return token
}

// credentialInURL reports whether the query seems to carry a token. URLs end
// up in logs of proxies and in histories, so such a token must not work, and
// its owner must learn why.
func credentialInURL(r *http.Request) bool {
	q := r.URL.RawQuery
	return q != "" && (strings.Contains(q, "fst_") || strings.Contains(q, "access_token="))
}

var errCredentialInURL = secret.Invalid("query", "credentials travel in the Authorization header only; revoke the one in this URL")

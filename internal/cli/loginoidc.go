package cli

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"fastness/client"
	"fastness/internal/identity"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// openid is one login by an OpenID provider, of a public client: there is no
// secret in a program that everybody has. What keeps others from using the answer
// is the verifier of PKCE, what keeps their answers out is the state, and what
// ties the token to this login is the nonce.
type openid struct {
	app      *app
	provider client.LoginProvider
	config   oauth2.Config
}

// idToken logs in by the provider and returns the token that it gives.
func (a *app) idToken(ctx context.Context, p client.LoginProvider, f loginFlags) (*secretbuf.Buffer, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	ctx = oidc.ClientContext(ctx, &http.Client{Timeout: a.global.timeout})
	found, err := oidc.NewProvider(ctx, p.URL)
	if err != nil {
		return nil, fmt.Errorf("asking the provider %s: %w", clean(p.Name), err)
	}
	o := &openid{a, p, oauth2.Config{
		ClientID: p.ClientID, Endpoint: found.Endpoint(), Scopes: append([]string{oidc.ScopeOpenID}, p.Scopes...),
	}}
	if f.device {
		return o.onDevice(ctx)
	}
	port, err := strconv.ParseUint(f.redirect, 10, 16)
	if err != nil {
		return nil, usagef("--redirect-port: a port is expected")
	}
	return o.inBrowser(ctx, int(port), f.noBrowser)
}

func random() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// inBrowser is the authorization code flow with PKCE and a redirection to
// loopback (RFC 8252).
func (o *openid) inBrowser(ctx context.Context, port int, noBrowser bool) (*secretbuf.Buffer, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("listening for the browser: %w", err)
	}
	o.config.RedirectURL = fmt.Sprintf("http://%s/callback", listener.Addr())
	state, nonce, verifier := random(), random(), oauth2.GenerateVerifier()
	answers := &callback{state: state, issuer: o.provider.URL, code: make(chan string, 1), failed: make(chan error, 1)}
	server := &http.Server{Handler: answers, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	go server.Serve(listener)
	defer closeAfterAnswer(ctx, server)
	page := o.config.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier))
	o.app.note("log in at\n\n  %s\n", page)
	if !noBrowser && o.app.env.IsTerminal(o.app.stderr) {
		openBrowser(ctx, page)
	}
	select {
	case code := <-answers.code:
		token, err := o.config.Exchange(ctx, code, oauth2.VerifierOption(verifier))
		if err != nil {
			return nil, o.failed(err)
		}
		return o.take(ctx, token, nonce)
	case err := <-answers.failed:
		return nil, err
	case <-ctx.Done():
		return nil, errLoginTime
	}
}

// answerTime is how long the browser has to take its last page.
const answerTime = 2 * time.Second

// closeAfterAnswer ends the server when the page that it is sending has been sent.
func closeAfterAnswer(ctx context.Context, server *http.Server) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
	defer cancel()
	if server.Shutdown(ctx) != nil { // somebody does not take it
		server.Close()
	}
}

var errLoginTime = errors.New("nobody logged in; nothing was done")

// failed tells what the provider said, without what was sent.
func (o *openid) failed(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		return fmt.Errorf("the provider %s refuses: %s %s", clean(o.provider.Name), clean(refused.ErrorCode), clean(refused.ErrorDescription))
	}
	return fmt.Errorf("asking the provider %s: %w", clean(o.provider.Name), err)
}

// callback takes what the provider has the browser bring.
type callback struct {
	state, issuer string
	code          chan string
	failed        chan error
}

// ServeHTTP takes the first answer that has the state of this login; whoever else
// finds the port gets nothing done.
func (c *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.Method != http.MethodGet || r.URL.Path != "/callback" || len(q["state"]) != 1 ||
		subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(c.state)) != 1 {
		http.Error(w, "This is not the login that was begun.", http.StatusBadRequest)
		return
	}
	text := "You are logged in. You can close this page."
	switch issuers := q["iss"]; {
	case len(issuers) > 0 && (len(issuers) > 1 || issuers[0] != c.issuer): // RFC 9207
		text = c.fail("the answer is of another provider")
	case q.Get("error") != "":
		text = c.fail("the provider refuses: " + clean(q.Get("error")) + " " + clean(q.Get("error_description")))
	case len(q["code"]) != 1 || q.Get("code") == "":
		text = c.fail("the provider gave no code")
	default:
		select {
		case c.code <- q.Get("code"):
		default: // a second answer
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Referrer-Policy", "no-referrer")
	fmt.Fprintf(w, "<!doctype html><title>Fastness</title><p>%s</p>\n", html.EscapeString(text))
}

func (c *callback) fail(text string) string {
	select {
	case c.failed <- errors.New(text):
	default:
	}
	return "The login failed: " + text
}

// openBrowser shows a page, if that can be done; the address was printed anyhow.
func openBrowser(ctx context.Context, page string) {
	name, args := "xdg-open", []string{page}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", page}
	}
	cmd := exec.CommandContext(ctx, name, args...)
	if cmd.Start() == nil {
		go cmd.Wait()
	}
}

// onDevice is the device authorization grant (RFC 8628), for where there is no
// browser. It has no nonce: the device code, which nobody else has seen, ties the
// token to this login.
func (o *openid) onDevice(ctx context.Context) (*secretbuf.Buffer, error) {
	if o.config.Endpoint.DeviceAuthURL == "" {
		return nil, fmt.Errorf("the provider %s knows no logins on another device", clean(o.provider.Name))
	}
	device, err := o.config.DeviceAuth(ctx)
	if err != nil {
		return nil, o.failed(err)
	}
	o.app.note("on any device, open\n\n  %s\n\nand enter the code %s", clean(device.VerificationURI), clean(device.UserCode))
	if device.VerificationURIComplete != "" {
		o.app.note("or open %s and compare the code", clean(device.VerificationURIComplete))
	}
	token, err := o.config.DeviceAccessToken(ctx, device)
	if ctx.Err() != nil {
		return nil, errLoginTime
	}
	if err != nil {
		return nil, o.failed(err)
	}
	return o.take(ctx, token, "")
}

// take verifies the ID token and moves it into wiped memory. It is the provider's,
// for this client, and of this login. What the library made of the others is
// overwritten, too.
func (o *openid) take(ctx context.Context, token *oauth2.Token, nonce string) (*secretbuf.Buffer, error) {
	raw, _ := token.Extra("id_token").(string)
	defer secretbuf.WipeString(token.AccessToken)
	defer secretbuf.WipeString(token.RefreshToken)
	if raw == "" {
		return nil, fmt.Errorf("the provider %s gave no ID token", clean(o.provider.Name))
	}
	kept := secretbuf.New(len(raw))
	secretbuf.Do(func() { copy(kept.Bytes(), raw) })
	secretbuf.WipeString(raw)
	if err := o.verify(ctx, kept, nonce); err != nil {
		kept.Release()
		return nil, err
	}
	return kept, nil
}

func (o *openid) verify(ctx context.Context, token *secretbuf.Buffer, nonce string) error {
	verified, err := identity.NewTokenVerifier(true, nil).Verify(ctx, &identity.Issuer{
		Name: o.provider.Name, URL: o.provider.URL, Audiences: []string{o.provider.ClientID}, Algorithms: identity.Algorithms(), Reusable: true,
	}, token.Bytes())
	if e := secret.Of(err); err != nil {
		return fmt.Errorf("the provider's ID token does not verify: %v", e.Cause) // why, in our own words
	}
	if nonce != "" {
		got, _ := verified.Claims["nonce"].(string)
		if subtle.ConstantTimeCompare([]byte(got), []byte(nonce)) != 1 {
			return errors.New("the provider's ID token is of another login")
		}
	}
	if party, ok := verified.Claims["azp"]; ok && party != o.provider.ClientID {
		return errors.New("the provider's ID token was made for another client")
	}
	return nil
}

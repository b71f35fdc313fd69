package main_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

// throughFactors logs a person in and enrols, gives and removes second factors, by
// the commands that do runs.
func (c *canaries) throughFactors(do func(typed) []byte) {
	c.t.Helper()
	password := c.value("password")
	for _, cmd := range []typed{
		{words: "principal create canary-person --kind person --grant reader"},
		{words: "principal password canary-person", stdin: password},
	} {
		do(cmd)
	}
	out := do(typed{words: "login --user canary-person --json", stdin: password, shows: true, env: []string{"FASTNESS_TOKEN="}})
	session := jsonField(c.t, out, "token")
	c.learned("token", "of a session", []byte(session))
	as := []string{"FASTNESS_TOKEN=" + session}

	out = do(typed{words: "mfa enroll totp --json", shows: true, env: as})
	id, uri := jsonField(c.t, out, "id"), jsonField(c.t, out, "uri")
	c.learned("TOTP secret", "by command", []byte(secretOf(c.t, uri)))
	do(typed{words: "mfa confirm " + id, stdin: "000000", code: 4, env: as})
	codes := c.learnedCodes(do(typed{words: "mfa confirm " + id, stdin: codeFrom(c.t, uri), shows: true, env: as}))
	do(typed{words: "mfa verify", stdin: codes[0], env: as})
	do(typed{words: "mfa verify", stdin: codes[0], code: 4, env: as})
	do(typed{words: "mfa list --json", env: as})
	codes = c.learnedCodes(do(typed{words: "mfa recovery", shows: true, env: as}))
	do(typed{words: "mfa verify", stdin: codes[3], env: as})
	changed := c.value("another password")
	do(typed{words: "password", stdin: password + "\n" + changed, code: 2, env: as}) // asked for on a terminal alone
	do(typed{words: "mfa remove " + id + " --yes", env: as})
	do(typed{words: "mfa verify", stdin: codes[4], code: 4, env: as})
	do(typed{words: "logout", env: as})
	do(typed{words: "principal password canary-person", stdin: changed})
	do(typed{words: "mfa list --principal canary-person --json"})
	do(typed{words: "principal delete canary-person --yes"})
}

// learnedCodes plants recovery codes, one a line.
func (c *canaries) learnedCodes(out []byte) []string {
	c.t.Helper()
	codes := slices.Collect(strings.FieldsSeq(string(out)))
	if len(codes) != 10 {
		c.t.Fatalf("%d recovery codes", len(codes))
	}
	for _, code := range codes {
		c.learned("recovery code", "by command", []byte(code))
	}
	return codes
}

// secretOf is what an authenticator is told.
func secretOf(t testing.TB, uri string) string {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("secret")
}

// codeFrom is what an authenticator shows now.
func codeFrom(t testing.TB, uri string) string {
	t.Helper()
	code, err := totp.GenerateCode(secretOf(t, uri), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

package api

import (
	"fmt"
	"net/http"
	"time"

	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

func (c *call) policies() *vault.Policies { return c.session().Policies() }

func listPolicies(c *call) error {
	limit, cursor, err := c.page()
	if err != nil {
		return err
	}
	page, err := c.policies().List(c.context(), limit, cursor)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.ListOf(page.Items, policyInfoOf, page.Next))
}

func getPolicy(c *call) error {
	version, err := c.version("version")
	if err != nil {
		return err
	}
	var wanted int64
	if version != nil {
		wanted = *version
	}
	return c.policyIs(c.policies().Get(c.context(), c.policy, wanted))
}

func putPolicy(c *call) error {
	var r wire.PolicyRequest
	if err := wire.Decode(c.body, &r); err != nil {
		return reject(err)
	}
	put := vault.PolicyPut{Name: c.policy, Text: r.Text, Expected: r.ExpectedVersion}
	return c.policyIs(c.policies().Put(c.context(), put))
}

func deletePolicy(c *call) error {
	expected, err := c.version("expectedVersion")
	if err != nil {
		return err
	}
	if err := c.policies().Delete(c.context(), c.policy, expected); err != nil {
		return err
	}
	return c.noContent()
}

// version reads a parameter that is a policy's version; absent is nil.
func (c *call) version(name string) (*int64, error) {
	n, present, err := c.index(name)
	if err != nil || !present {
		return nil, err
	}
	return &n, nil
}

// policyIs answers with a policy, or with the error that stood in the way.
func (c *call) policyIs(p vault.Policy, err error) error {
	if err != nil {
		return err
	}
	reply := wire.Policy{PolicyInfo: policyInfoOf(p.PolicyInfo), Text: p.Text, Statements: statementsOf(p.Statements)}
	reply.Versions = wire.ListOf(p.Versions, policyInfoOf, "").Items
	return c.reply(http.StatusOK, reply)
}

func policyInfoOf(p vault.PolicyInfo) wire.PolicyInfo {
	return wire.PolicyInfo{Name: p.Name, Version: p.Version, Bytes: p.Bytes, SHA256: p.SHA256, Created: p.Created.UTC()}
}

func statementsOf(list []policy.StatementInfo) []wire.Statement {
	all := make([]wire.Statement, len(list))
	for i, s := range list {
		all[i] = wire.Statement(s)
	}
	return all
}

func decisionOf(d policy.Decision) wire.Decision {
	return wire.Decision{
		Effect: d.Effect.String(), By: string(d.Part), Reason: d.Reason, Statements: statementsOf(d.Statements), Wants: d.Wants,
	}
}

func testPolicies(c *call) error {
	var r wire.PolicyTestRequest
	if err := wire.Decode(c.body, &r); err != nil {
		return reject(err)
	}
	test := vault.PolicyTest{Cases: make([]vault.PolicyCase, len(r.Cases))}
	for _, d := range r.Drafts {
		test.Drafts = append(test.Drafts, vault.PolicyDraft(d))
	}
	for i, w := range r.Cases {
		var err error
		if test.Cases[i], err = caseOf(fmt.Sprintf("cases[%d].", i), w); err != nil {
			return reject(err)
		}
	}
	decisions, err := c.policies().Test(c.context(), test)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.ListOf(decisions, decisionOf, ""))
}

// caseOf reads a case; at stands before its fields in errors.
func caseOf(at string, w wire.PolicyCase) (vault.PolicyCase, error) {
	p := vault.PolicyCase{
		Principal: w.Principal, Grants: grantsOf(w.Grants), Service: w.Service, Action: policy.Action(w.Action),
		Secret: w.Secret, Tags: w.Tags, Address: w.Address, Time: w.Time,
	}
	switch w.Kind {
	case "":
	case store.Service.String():
		p.Kind = new(store.PrincipalKind)
		*p.Kind = store.Service
	case store.Person.String():
		p.Kind = new(store.PrincipalKind)
		*p.Kind = store.Person
	default:
		return p, secret.Invalid(at+"kind", "person or service; absent: one of the tenant's principals")
	}
	if w.MFAAge != nil {
		// What is too long for a duration is too long for the vault as well.
		age := time.Duration(max(min(*w.MFAAge, maxSeconds), -1)) * time.Second
		p.MFAAge = &age
	}
	var err error
	if p.Environment, err = secret.ParseEnvironment(w.Environment); err != nil {
		return p, secret.Invalid(at+"environment", secret.Of(err).Detail)
	}
	return p, nil
}

// maxSeconds is the most that is taken for a span of time in seconds.
const maxSeconds = int64(1<<63-1) / int64(time.Second)

func getSettings(c *call) error { return c.settingsAre(c.policies().Settings(c.context())) }

func updateSettings(c *call) error {
	var r wire.SettingsUpdateRequest
	if err := wire.Decode(c.body, &r); err != nil {
		return reject(err)
	}
	patch := vault.SettingsPatch{MFAForRead: r.MFAForRead, MFAForLogin: r.MFAForLogin, Expected: r.ExpectedVersion}
	if r.MFAWindow != nil {
		window, err := spanOf("mfaWindow", *r.MFAWindow)
		if err != nil {
			return reject(err)
		}
		patch.MFAWindow = &window
	}
	return c.settingsAre(c.policies().UpdateSettings(c.context(), patch))
}

// settingsAre answers with settings, or with the error that stood in the way.
func (c *call) settingsAre(s vault.Settings, err error) error {
	if err != nil {
		return err
	}
	window := spanText(s.Window())
	if window == "" {
		window = s.Window().String() // set through the library, and no whole number of minutes
	}
	return c.reply(http.StatusOK, wire.SettingsReply{
		MFAWindow: window, MFAForRead: s.MFAForRead, MFAForLogin: s.MFAForLogin, Version: s.Version,
	})
}

// policySchema answers with what policies are written against.
func policySchema(c *call) error { return c.document(textType, []byte(policy.Schema())) }

package awsapi

import (
	"strconv"
	"strings"
	"sync"

	"fastness/internal/awsapi/iam"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// Limits of the protocol's model on a SecretId.
const maxSecretID = 2048

// find reads a SecretId. What the request is about is known from then on.
func (c *call) find(id string) (secretRef, error) {
	if id == "" {
		return secretRef{}, reject(validation("secretId", "Member must not be null and must have length greater than or equal to 1"))
	}
	if len(id) > maxSecretID {
		return secretRef{}, reject(validation("secretId", "Member must have length less than or equal to 2048"))
	}
	ref, err := parseSecretID(c.caller.Account(), id)
	if err != nil {
		return ref, reject(err)
	}
	c.shown = ref.name
	c.secret, err = c.locate(ref)
	return ref, err
}

// on is the caller's session for one secret. Its guard sees to it that the
// reference means this secret, and enforces its resource policy.
func (c *call) on(ref secretRef) *vault.Session { return c.session().Guarded(c.guard(ref)) }

// onID is on for a SecretId.
func (c *call) onID(id string) (*vault.Session, error) {
	ref, err := c.find(id)
	if err != nil {
		return nil, err
	}
	return c.on(ref), nil
}

func (c *call) guard(ref secretRef) vault.Guard {
	return func(sec *store.Secret) error {
		if ref.foreign || !c.meant(ref, sec) {
			return secret.ErrNotFound
		}
		c.row = sec
		if err := c.obey(sec); err != nil {
			return err
		}
		return c.viewed(sec)
	}
}

// obey asks the secret's resource policy. A policy can deny what the grants
// allow; it gives nobody more than them.
func (c *call) obey(sec *store.Secret) error {
	if sec.AWS.Policy == "" {
		return nil
	}
	p, err := c.api.policies.get(sec.AWS.Policy)
	if err != nil {
		return secret.ErrInternal.With(err)
	}
	if p.Evaluate(c.policyRequest(sec)) == iam.Deny {
		return secret.ErrAccessDenied.With(&fault{Type: typeAccessDenied, Message: "User: " + c.principal() +
			" is not authorized to perform: " + service + ":" + c.acts + " on resource: " + c.arnOf(sec.Name, sec.ID, sec.AWS) +
			" with an explicit deny in a resource-based policy"})
	}
	return nil
}

// principal is the caller's ARN.
func (c *call) principal() string {
	if c.caller == nil {
		return "anonymous"
	}
	return "arn:aws:iam::" + string(c.caller.Account()) + ":user/" + c.caller.Principal()
}

// arnOf is the ARN of a secret, or of its replica, in the request's region.
func (c *call) arnOf(name secret.Name, id secret.ID, a secret.AWS) string {
	return arnPrefix(c.region, c.caller.Account()) + string(display(name, a)) + "-" + suffixOf(id, a)
}

// known is what is known of the secret that the request is about: of one that
// it has just made, that it is at home here.
func (c *call) known(id secret.ID) secret.AWS {
	if c.row != nil && c.row.ID == id {
		return c.row.AWS
	}
	return secret.AWS{Home: c.home()}
}

func (c *call) identify(name secret.Name, id secret.ID) identity {
	a := c.known(id)
	return identity{ARN: c.arnOf(name, id, a), Name: string(display(name, a))}
}

// policyRequest is the request as a resource policy sees it.
func (c *call) policyRequest(sec *store.Secret) iam.Request {
	now := c.api.now().UTC()
	account := string(c.caller.Account())
	resource := c.arnOf(sec.Name, sec.ID, sec.AWS)
	keys := map[string][]string{
		"aws:principalarn":                   {c.principal()},
		"aws:principalaccount":               {account},
		"aws:principaltype":                  {"User"},
		"aws:userid":                         {c.caller.Principal()},
		"aws:username":                       {c.caller.Principal()},
		"aws:sourceip":                       {c.origin.Address},
		"aws:useragent":                      {c.origin.UserAgent},
		"aws:securetransport":                {strconv.FormatBool(c.r.TLS != nil)},
		"aws:currenttime":                    {now.Format("2006-01-02T15:04:05Z")},
		"aws:epochtime":                      {strconv.FormatInt(now.Unix(), 10)},
		"aws:requestedregion":                {c.region},
		"aws:resourceaccount":                {account},
		"secretsmanager:secretid":            {resource},
		"secretsmanager:secretprimaryregion": {c.api.homeOf(sec.AWS)},
		"secretsmanager:resource/allowrotationlambdaarn": {sec.AWS.Rotation.Function},
	}
	if sec.AWS.Rotation.Function == "" {
		delete(keys, "secretsmanager:resource/allowrotationlambdaarn")
	}
	for k, v := range sec.Metadata.Tags {
		keys["aws:resourcetag/"+strings.ToLower(k)] = []string{v}
		keys["secretsmanager:resourcetag/"+strings.ToLower(k)] = []string{v}
	}
	for k, v := range c.keys {
		keys[k] = v
	}
	return iam.Request{Principal: c.principal(), Account: account, Action: service + ":" + c.acts, Resource: resource, Keys: keys}
}

// key tells a resource policy something about the request.
func (c *call) key(name string, values ...string) {
	if c.keys == nil {
		c.keys = map[string][]string{}
	}
	c.keys[name] = values
}

// maxPolicies bounds how many policies are kept read.
const maxPolicies = 1024

// policies keeps resource policies as they were read, by their text. Safe for
// concurrent use.
type policies struct {
	mu   sync.Mutex // guards read, briefly
	read map[string]*iam.Policy
}

func (p *policies) get(text string) (*iam.Policy, error) {
	p.mu.Lock()
	known := p.read[text]
	p.mu.Unlock()
	if known != nil {
		return known, nil
	}
	parsed, err := iam.Parse(text)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.read == nil || len(p.read) >= maxPolicies {
		p.read = make(map[string]*iam.Policy)
	}
	p.read[text] = parsed
	return parsed, nil
}

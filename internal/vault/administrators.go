package vault

import (
	"time"

	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// keepAdministrator refuses a change that would leave nobody to undo it: of the
// last operator who can come in, or by a tenant's last administrator of itself.
// after is the principal as it would be.
func (r realm) keepAdministrator(tx store.Tx, t secret.TenantID, after *store.Principal) error {
	if !t.IsZero() && !r.own(t, after.Name) {
		return nil // the caller remains one
	}
	now := r.vault.now()
	before, err := administrators(tx, t, now, nil)
	if err != nil || before == 0 {
		return err
	}
	left, err := administrators(tx, t, now, after)
	if err != nil || left > 0 {
		return err
	}
	if t.IsZero() {
		return secret.Conflict("this is the last operator with a live credential; give another one first")
	}
	return secret.Conflict("you are the tenant's last administrator; make another one first")
}

// administrators counts the live credentials that can manage principals, with
// one principal taken as it would be instead of as it is.
func administrators(r store.Reader, t secret.TenantID, now time.Time, instead *store.Principal) (n int, err error) {
	err = eachCredential(r, t, func(i *store.Identity) {
		if instead != nil && i.Principal.Name == instead.Name {
			i = &store.Identity{Credential: i.Credential, Principal: instead, Tenant: i.Tenant}
		}
		if usable(i, now) && subjectOf(i).Administers(policy.ManagePrincipals) {
			n++
		}
	})
	return n, err
}

// eachCredential calls f for every credential of a tenant, or of the operators,
// with its principal.
func eachCredential(r store.Reader, t secret.TenantID, f func(*store.Identity)) error {
	var tenant *store.Tenant
	if !t.IsZero() {
		var err error
		if tenant, err = r.Tenants().Tenant(t); err != nil {
			return err
		}
	}
	principals := make(map[string]*store.Principal)
	for after := ""; ; {
		creds, err := r.Credentials().List(t, after, secret.MaxPage)
		if err != nil {
			return err
		}
		for _, c := range creds {
			p := principals[c.Principal]
			if p == nil {
				if p, err = r.Principals().Principal(t, c.Principal); err != nil {
					return err
				}
				principals[c.Principal] = p
			}
			f(&store.Identity{Credential: c, Principal: p, Tenant: tenant})
			after = c.ID
		}
		if len(creds) < secret.MaxPage {
			return nil
		}
	}
}

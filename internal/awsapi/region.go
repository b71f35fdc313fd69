package awsapi

import (
	"fmt"
	"slices"
	"strings"

	"fastness/internal/secret"
	"fastness/internal/store"
)

// A deployment may have several regions. Each secret is at home in one, where it
// is written; a replica is a read-only view of it in another. There is one row for
// all of them, so that no view can lag behind. Names are free in each region: what
// is at home in another than the first is stored as NAME@REGION.

// regionOf is the region that a request is for: the one in its scope if it is
// ours, else the first.
func (a *API) regionOf(scope string) string {
	if i := slices.Index(a.regions, scope); i >= 0 {
		return a.regions[i]
	}
	return a.regions[0]
}

// homeOf is the region that a secret is written in.
func (a *API) homeOf(s secret.AWS) string {
	if s.Home == "" {
		return a.regions[0]
	}
	return s.Home
}

// home is the request's region, as it is stored: empty for the first.
func (c *call) home() string {
	if c.region == c.api.regions[0] {
		return ""
	}
	return c.region
}

// stored is the name under which a secret is stored that is at home there.
func stored(name secret.Name, home string) (secret.Name, error) {
	if home == "" {
		return name, nil
	}
	return secret.ParseName(string(name) + "@" + home)
}

// display is the name of a stored secret to the protocol.
func display(name secret.Name, a secret.AWS) secret.Name {
	if a.Home == "" {
		return name
	}
	return secret.Name(strings.TrimSuffix(string(name), "@"+a.Home))
}

// viewOf is the secret's replica in the request's region; nil if it has none.
func (c *call) viewOf(a secret.AWS) *secret.AWSReplica {
	for i := range a.Replicas {
		if r := &a.Replicas[i]; r.Region == c.region && r.Failure == "" {
			return r
		}
	}
	return nil
}

// isHere reports whether the secret is in the request's region: at home, or as
// a replica.
func (c *call) isHere(a secret.AWS) bool { return c.api.homeOf(a) == c.region || c.viewOf(a) != nil }

// meant reports whether a reference means this secret, in this region. Rows are
// found by their stored name, so what is displayed must be what was asked for.
func (c *call) meant(ref secretRef, sec *store.Secret) bool {
	return (ref.region == "" || ref.region == c.region) && c.isHere(sec.AWS) &&
		display(sec.Name, sec.AWS) == ref.name && ref.names(sec.ID, sec.AWS)
}

// locate finds the stored name behind a reference: what is at home in the
// request's region goes before a replica of another one's.
func (c *call) locate(ref secretRef) (secret.Name, error) {
	if len(c.api.regions) == 1 {
		return ref.name, nil
	}
	var names []secret.Name
	for _, home := range append([]string{c.region}, c.api.regions...) {
		if home == c.api.regions[0] {
			home = ""
		}
		if name, err := stored(ref.name, home); err == nil {
			names = append(names, name)
		}
	}
	return c.session().Locate(c.context(), names, func(sec *store.Secret) bool { return c.meant(ref, sec) })
}

// viewed refuses to change a secret in a region where it is a replica.
func (c *call) viewed(sec *store.Secret) error {
	if c.op.view || c.api.homeOf(sec.AWS) == c.region {
		return nil
	}
	return secret.ErrInvalid.With(&fault{Type: typeInvalidRequest,
		Message: "Operation not permitted on a replica secret. Call must be made in primary secret's region."})
}

// notReplica refuses a new secret under the name of a replica.
func (c *call) notReplica() error {
	at, err := c.locate(secretRef{name: c.shown})
	if err != nil || at == c.secret {
		return err
	}
	return &fault{Type: typeExists, Message: fmt.Sprintf("The operation failed because the secret %s already exists.", c.shown)}
}

// unreplicated refuses to delete a secret that has replicas.
func (c *call) unreplicated(sec *store.Secret) error {
	if len(sec.AWS.Replicas) == 0 {
		return nil
	}
	var regions []string
	for _, r := range sec.AWS.Replicas {
		regions = append(regions, r.Region)
	}
	return secret.ErrInvalid.With(&fault{Type: typeInvalidRequest, Message: fmt.Sprintf(
		"You can't delete secret %s that still has replica regions [%s].", display(sec.Name, sec.AWS), strings.Join(regions, ", "))})
}

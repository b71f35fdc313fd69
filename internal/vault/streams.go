package vault

import (
	"sync"
	"time"

	"fastness/internal/secret"
)

// How many callers may follow events at once, on this node.
const (
	MaxStreams          = 2048 // of all tenants
	MaxTenantStreams    = 128
	MaxPrincipalStreams = 32
)

// streamRetry is when somebody may have left to whom it was one too many.
const streamRetry = 5 * time.Second

// streams counts who follows events. Safe for concurrent use.
type streams struct {
	mu         sync.Mutex // guards the rest, briefly
	total      int
	tenants    map[secret.TenantName]int
	principals map[streamOwner]int
}

// streamOwner is a principal; an operator's tenant is empty.
type streamOwner struct {
	tenant    secret.TenantName
	principal string
}

// enter counts one more, who then leaves; secret.ErrTooMany if it is one too many.
func (s *streams) enter(t secret.TenantName, owner streamOwner) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range []struct {
		what       string
		used, most int
	}{
		{"the principal follows", s.principals[owner], MaxPrincipalStreams},
		{"the tenant's callers follow", s.tenants[t], MaxTenantStreams},
		{"this node serves", s.total, MaxStreams},
	} {
		if l.used >= l.most {
			e := secret.TooMany(l.what+" too many streams of events at once", streamRetry)
			e.Field, e.Usage = "streams", &secret.Usage{Limit: int64(l.most), Used: int64(l.used)}
			return nil, e
		}
	}
	if s.tenants == nil {
		s.tenants, s.principals = map[secret.TenantName]int{}, map[streamOwner]int{}
	}
	s.addLocked(t, owner, 1)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.addLocked(t, owner, -1)
	}, nil
}

func (s *streams) addLocked(t secret.TenantName, owner streamOwner, n int) {
	s.total += n
	if s.tenants[t] += n; s.tenants[t] == 0 {
		delete(s.tenants, t)
	}
	if s.principals[owner] += n; s.principals[owner] == 0 {
		delete(s.principals, owner)
	}
}

// len is how many follow events now.
func (s *streams) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

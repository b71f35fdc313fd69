package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"fastness/internal/testservers"
)

// clusterNodes is how many servers share a cluster's database.
const clusterNodes = 3

// cluster is servers on one PostgreSQL, which has a synchronous standby. Each
// of them reaches both databases over links of its own.
type cluster struct {
	databases [2]*testservers.Server // the primary first, until it is failed over
	nodes     [clusterNodes]*node
	operator  string // its token
}

// node is a server of a cluster, at one address however often it is started.
type node struct {
	*server
	listen, store string
	base          string   // its URL
	links         [2]*link // to the databases
}

// startCluster starts all of it. The first node is up before the others, so
// that it is the one that keeps the log.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{}
	c.databases[0], c.databases[1] = testservers.StartPostgresPair(t)
	for i := range c.nodes {
		n := &node{listen: freeAddress(t)}
		n.base = "http://" + n.listen
		for j, d := range c.databases {
			n.links[j] = newLink(t, d.Address())
		}
		n.store = fmt.Sprintf("postgres://%s:%s@%s,%s/postgres?sslmode=disable&target_session_attrs=read-write", c.databases[0].Admin,
			testservers.AdminPassword, n.links[0].Addr(), n.links[1].Addr())
		c.nodes[i] = n
	}
	var made struct{ Token string }
	out := runServerSide(t, "operator", "init", "--store", c.nodes[0].store, "--json").succeed(t)
	if err := json.Unmarshal(out, &made); err != nil || made.Token == "" {
		t.Fatalf("operator init printed %q, error %v", out, err)
	}
	c.operator = made.Token
	for _, n := range c.nodes {
		n.start(t)
		n.awaitReady(t)
	}
	return c
}

func (n *node) start(t *testing.T) {
	t.Helper()
	env := []string{"SECRETS_MASTER_KEY=" + masterKey, "FASTNESS_STORE=" + n.store}
	n.server = &server{process: start(t, env, "server", "--listen", n.listen), address: n.base}
}

func (n *node) awaitReady(t *testing.T) {
	t.Helper()
	n.until(t, "readiness", func() bool { return isReady(n.base) })
}

func (n *node) awaitUnready(t *testing.T) {
	t.Helper()
	n.until(t, "readiness lost", func() bool { return !isReady(n.base) })
}

// set changes what a node's links do.
func (n *node) set(s linkState) {
	for _, l := range n.links {
		l.set(s)
	}
}

func (n *node) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// fault is something that happens to a cluster under load. It returns when it
// is over; what else happens meanwhile is the load.
type fault struct {
	name string
	do   func(t *testing.T, c *cluster)
}

const (
	// pastLease is longer than a node that says nothing keeps the log's lease.
	pastLease = 7 * time.Second
	// takeover is how soon another node keeps the log after its keeper died.
	takeover = 10 * time.Second
)

// killNode kills a node as a power cut does, and starts it again.
func killNode(i int) fault {
	return fault{fmt.Sprintf("node %d killed", i), func(t *testing.T, c *cluster) {
		c.nodes[i].kill()
		others := slices.DeleteFunc(slices.Clone(c.nodes[:]), func(n *node) bool { return n == c.nodes[i] })
		died := time.Now()
		c.awaitKeeper(t, others, died)
		c.nodes[i].start(t)
		c.nodes[i].awaitReady(t)
	}}
}

// awaitKeeper expects that one of some nodes soon keeps the log: the entry of
// this very request has a place in it.
func (c *cluster) awaitKeeper(t *testing.T, nodes []*node, since time.Time) {
	t.Helper()
	var last string
	for time.Since(since) < takeover {
		a := &api{base: nodes[0].base, token: c.operator, client: &http.Client{Timeout: takeover}}
		ans, err := a.send(http.MethodPost, "/api/v1/audit/checkpoint", nil)
		if err == nil && ans.status == http.StatusOK {
			return
		}
		last = fmt.Sprint(ans, err)
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("nobody keeps the log %v after its keeper was gone: %s", takeover, last)
}

// pauseNode stops a node for longer than it may keep the log, and wakes it.
func pauseNode(i int) fault {
	return fault{fmt.Sprintf("node %d paused", i), func(t *testing.T, c *cluster) {
		c.nodes[i].signal(t, syscall.SIGSTOP)
		defer c.nodes[i].awaitReady(t)
		defer c.nodes[i].signal(t, syscall.SIGCONT)
		time.Sleep(pastLease)
	}}
}

// restartDatabase has the database crash and come back.
func restartDatabase(t *testing.T, c *cluster) {
	c.databases[0].Restart(t)
	c.awaitAll(t)
}

// failOver lets the primary die and its standby take over.
func failOver(t *testing.T, c *cluster) {
	c.databases[0].Stop()
	c.databases[1].Promote(t)
	c.awaitAll(t)
}

func (c *cluster) awaitAll(t *testing.T) {
	t.Helper()
	for _, n := range c.nodes {
		n.awaitReady(t)
	}
}

// cutNode takes the database from one node, which says so; the others go on.
func cutNode(i int, s linkState) fault {
	return fault{fmt.Sprintf("node %d cut off %d", i, s), func(t *testing.T, c *cluster) {
		n := c.nodes[i]
		n.set(s)
		n.awaitUnready(t)
		for j, other := range c.nodes {
			if j != i {
				other.awaitReady(t)
			}
		}
		n.set(linkOpen)
		n.awaitReady(t)
	}}
}

// cutAll takes the database from everybody for a moment.
func cutAll(t *testing.T, c *cluster) {
	for _, n := range c.nodes {
		n.set(linkCut)
	}
	for _, n := range c.nodes {
		n.awaitUnready(t)
	}
	for _, n := range c.nodes {
		n.set(linkOpen)
	}
	c.awaitAll(t)
}

//go:build soak

package vault_test

import (
	"net/url"
	"os"
	"os/exec"
	"testing"

	"fastness/fastnesstest"
	"fastness/internal/testservers"
)

// embedded names the tests that look into the files of the embedded store, or
// put something between it and the vault.
const embedded = "^(TestSoakOnPostgres|TestRotateKey|TestRotateKeyDeaths|TestRotateLogKeys|TestRotateLogKeysDeaths|TestCheckpointDeaths|" +
	"TestBackground|TestRedactedBytesAreGone|TestRotateRoot|TestRotateRootDeaths|TestSwappedRows|" +
	"TestFlippedBits|TestFlippedKeys|TestBrokenKeyAndRootKey|TestBrokenDeployment)$"

// TestSoakOnPostgres runs the tests of this package again, with every vault in
// PostgreSQL.
func TestSoakOnPostgres(t *testing.T) {
	s := testservers.StartPostgres(t, testservers.Options{Args: []string{"-c", "log_statement=none", "-c", "log_min_duration_statement=-1"}})
	u := url.URL{Scheme: "postgres", User: url.UserPassword(s.Admin, testservers.AdminPassword), Host: s.Address(), Path: "postgres", RawQuery: "sslmode=disable"}
	cmd := exec.Command(os.Args[0], "-test.skip="+embedded, "-test.timeout=5m")
	cmd.Env = append(os.Environ(), fastnesstest.StoreVariable+"="+u.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

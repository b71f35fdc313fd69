//go:build soak

package vault_test

import "testing"

// embedded names the tests that look into the files of the embedded store, or
// put something between it and the vault.
const embedded = "^(TestSoakOnPostgres|TestOnPostgres|TestRotateKey|TestRotateKeyDeaths|TestRotateLogKeys|TestRotateLogKeysDeaths|TestCheckpointDeaths|" +
	"TestBackground|TestRedactedBytesAreGone|TestRotateRoot|TestRotateRootDeaths|TestSwappedRows|" +
	"TestFlippedBits|TestFlippedKeys|TestBrokenKeyAndRootKey|TestBrokenDeployment)$"

// TestSoakOnPostgres runs the tests of this package again, with every vault in
// PostgreSQL.
func TestSoakOnPostgres(t *testing.T) { onPostgres(t, "-test.skip="+embedded) }

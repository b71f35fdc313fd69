//go:build soak

package vault_test

import "testing"

// TestSoakOnPostgres runs the tests of this package again, with every vault in
// PostgreSQL. Those of the embedded store look into its files, or put something
// between it and the vault.
func TestSoakOnPostgres(t *testing.T) {
	onPostgres(t, "-test.skip=^TestEmbedded|OnPostgres$")
}

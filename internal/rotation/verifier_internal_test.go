package rotation

import (
	"encoding/hex"
	"testing"

	"fastness/internal/secretbuf"
)

func buffer(text string) *secretbuf.Buffer { return secretbuf.Take([]byte(text)) }

// The example of RFC 7677: password "pencil", and its salt.
func TestSCRAMVerifier(t *testing.T) {
	salt := []byte{0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81}
	got, err := scramVerifierWith(buffer("pencil"), salt, 4096)
	const want = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	if err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	one, _ := scramVerifier(buffer("pencil"))
	two, _ := scramVerifier(buffer("pencil"))
	if one == two || len(one) != len(want) {
		t.Errorf("salts repeat: %s and %s", one, two)
	}
}

// The examples of MariaDB's manual, and for MySQL the vectors of SHA-crypt and
// of who breaks such verifiers for a living, with a salt of 20 bytes.
func TestMySQLVerifiers(t *testing.T) {
	for plugin, want := range map[string]string{
		nativePassword: "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7",
		ed25519Plugin:  "ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY",
	} {
		if got, ok := mysqlVerifier(plugin, buffer("secret")); !ok || got != want {
			t.Errorf("%s: %s, want %s", plugin, got, want)
		}
	}
	for _, plugin := range []string{"", "unix_socket", "sha256_password", "gssapi"} {
		if got, ok := mysqlVerifier(plugin, buffer("secret")); ok {
			t.Errorf("%s: %s", plugin, got)
		}
	}
	if got, ok := mysqlVerifier(cachingSHA2, buffer("secret")); !ok || len(got) != len("$A$005$")+20+43 {
		t.Errorf("%s", got)
	}
	for _, c := range []struct {
		password, salt string
		rounds         int
		want           string
	}{
		{"Hello world!", "saltstring", 5000, "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"},
		{"Hello world!", "saltstringsaltst", 10000, "3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"},
		{"a very much longer text to encrypt.  This one even stretches over morethan one line.", "anotherlongsalts", 1400, "Rx.j8H.h8HjEDGomFU8bDkXm3XIUnzyxf12oP84Bnq1"},
	} {
		if got := cryptSHA256([]byte(c.password), []byte(c.salt), c.rounds); got != c.want {
			t.Errorf("%s with %s: %s, want %s", c.password, c.salt, got, c.want)
		}
	}
	salt, err := hex.DecodeString("F9CC98CE08892924F50A213B6BC571A2C11778C5")
	if err != nil {
		t.Fatal(err)
	}
	digest, err := hex.DecodeString("625479393559393965414D45316477456B484F41316E64484742577A2E3162785353526B7554584647562F")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cachingVerifier([]byte("hashcat"), salt), "$A$005$"+string(salt)+string(digest); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Grants are re-granted whatever stands in them, and to nobody else.
func TestRegrant(t *testing.T) {
	from, to := accountName{"a`b", "%"}, accountName{"a`b_clone", "%"}
	for grant, want := range map[string]string{
		"GRANT SELECT ON `x`.* TO `a``b`@`%` WITH GRANT OPTION":                                                           "GRANT SELECT ON `x`.* TO `a``b_clone`@`%` WITH GRANT OPTION",
		"GRANT USAGE ON *.* TO `a``b`@`%` IDENTIFIED BY PASSWORD '*BD56F011259C68A94F820D9B1EBE7C3FC0218E3C' REQUIRE SSL": "GRANT USAGE ON *.* TO `a``b_clone`@`%` REQUIRE SSL",
		"GRANT USAGE ON *.* TO `a``b`@`%` IDENTIFIED VIA ed25519 USING 'dP+kRjwdUyRYHeJRXgL5HnaDFoOeOXjK0kH3WYSPP8Q'":     "GRANT USAGE ON *.* TO `a``b_clone`@`%`",
		"GRANT SELECT ON ` TO ``a````b``@``%```.* TO `a``b`@`%`":                                                          "GRANT SELECT ON ` TO ``a````b``@``%```.* TO `a``b_clone`@`%`",
		"SET DEFAULT ROLE `r` FOR `a``b`@`%`":                                                                             "SET DEFAULT ROLE `r` FOR `a``b_clone`@`%`",
		"GRANT SELECT ON `x`.* TO `c`@`%`":                                                                                "",
	} {
		if got, ok := regrant(grant, from, to); got != want || ok != (want != "") {
			t.Errorf("%s: %s, want %s", grant, got, want)
		}
	}
}

func TestAlternate(t *testing.T) {
	for _, c := range [][2]string{{"app", "app_clone"}, {"app_clone", "app"}, {"_clone", "_clone_clone"}, {"app_clone_clone", "app_clone"}} {
		if got := alternate(c[0]); got != c[1] {
			t.Errorf("%s alternates with %s, want %s", c[0], got, c[1])
		}
	}
}

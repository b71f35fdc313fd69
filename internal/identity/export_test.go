package identity

// Names for the external tests.
var (
	Glob        = glob
	ParseClaims = parseClaims
)

// Texts is what bindings see at a path.
func (c Claims) Texts(path string) []string { return c.texts(path) }

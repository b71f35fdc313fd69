package sigv4

// Error is a refusal, as AWS words it: Type is the error's type in an answer.
// It quotes nothing of a header but dates.
type Error struct {
	Type    string
	Message string
}

// Error returns type and message.
func (e *Error) Error() string { return e.Type + ": " + e.Message }

const mismatch = "The request signature we calculated does not match the signature you provided. " +
	"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."

// The refusals that need no detail.
var (
	// ErrMismatch is a signature that the key does not make.
	ErrMismatch = &Error{"InvalidSignatureException", mismatch}
	// ErrUnknownKey is for an access key id that nobody has, or has any more.
	ErrUnknownKey = &Error{"UnrecognizedClientException", "The security token included in the request is invalid."}

	errMissing      = &Error{"MissingAuthenticationTokenException", "Missing Authentication Token"}
	errPresigned    = &Error{"IncompleteSignatureException", "A signature in the query is not accepted: sign the request in its Authorization header."}
	errSessionToken = &Error{"UnrecognizedClientException", "The security token included in the request is invalid: session tokens are not issued here; use an access key without one."}
)

func incomplete(message string) error { return &Error{"IncompleteSignatureException", message} }

func invalid(message string) error { return &Error{ErrMismatch.Type, message} }

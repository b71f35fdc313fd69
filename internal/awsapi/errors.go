package awsapi

import (
	"errors"
	"fmt"
	"net/http"

	"fastness/internal/awsapi/sigv4"
	"fastness/internal/secret"
)

// fault is an error as the protocol tells it: Type is what SDKs make their
// exceptions from.
type fault struct {
	Type    string
	Message string
	cause   error // for the operator
}

// Error returns type and message.
func (f *fault) Error() string { return f.Type + ": " + f.Message }

// Unwrap returns the cause.
func (f *fault) Unwrap() error { return f.cause }

// status is 400 for all but our own faults. AWS's tools try again on both of those.
func (f *fault) status() int {
	switch {
	case f.unavailable():
		return http.StatusServiceUnavailable
	case f.Type == typeInternal:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// unavailable reports whether the same request may do in a moment.
func (f *fault) unavailable() bool {
	return errors.Is(f, secret.ErrUnavailable) || errors.Is(f, secret.ErrUnknownOutcome)
}

// Types of errors.
const (
	typeAccessDenied     = "AccessDeniedException"
	typeDecryption       = "DecryptionFailure"
	typeExists           = "ResourceExistsException"
	typeInternal         = "InternalServiceError"
	typeInvalidParameter = "InvalidParameterException"
	typeInvalidRequest   = "InvalidRequestException"
	typeInvalidToken     = "InvalidNextTokenException"
	typeLimit            = "LimitExceededException"
	typeMalformedPolicy  = "MalformedPolicyDocumentException"
	typeNotFound         = "ResourceNotFoundException"
	typePublicPolicy     = "PublicPolicyException"
	typeSerialization    = "SerializationException"
	typeThrottling       = "ThrottlingException"
	typeUnknownOperation = "UnknownOperationException"
	typeValidation       = "ValidationException"
)

func invalidParameter(message string) error {
	return &fault{Type: typeInvalidParameter, Message: message}
}

func invalidRequest(message string) error { return &fault{Type: typeInvalidRequest, Message: message} }

// validation is the error of a member that breaks the protocol's model. Unlike
// the real service's it does not quote the value, which may be a secret in the
// wrong place.
func validation(member, rule string) error {
	return &fault{Type: typeValidation, Message: fmt.Sprintf("1 validation error detected: Value at '%s' failed to satisfy constraint: %s", member, rule)}
}

// The errors whose words the real service has, and clients look for.
var (
	errSecretName = &fault{Type: typeValidation, Message: "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"}
	errNoToken    = &fault{Type: typeInvalidRequest, Message: "You must provide a ClientRequestToken value. We recommend a UUID-type value."}
	errNotFound   = &fault{Type: typeNotFound, Message: "Secrets Manager can't find the specified secret."}
	errDeleted    = &fault{Type: typeInvalidRequest, Message: "You can't perform this operation on the secret because it was marked for deletion."}
)

// faultOf is what the protocol says to an error. A fault within it is told as it
// is; of all others only what the vault lets a caller know.
func (c *call) faultOf(err error) *fault {
	var f *fault
	var s *sigv4.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &s):
		return &fault{Type: s.Type, Message: s.Message}
	}
	e := secret.Of(err)
	f = c.translate(e)
	return &fault{f.Type, f.Message, e}
}

func (c *call) translate(e *secret.Error) *fault {
	switch e.Code {
	case secret.ErrNotFound.Code:
		return errNotFound
	case secret.ErrDeleted.Code:
		return errDeleted
	case secret.ErrUnauthenticated.Code:
		return &fault{Type: sigv4.ErrUnknownKey.Type, Message: sigv4.ErrUnknownKey.Message}
	case secret.ErrAccessDenied.Code, secret.ErrMFARequired.Code, secret.ErrSuspended.Code:
		return c.denied(e.Detail)
	case secret.ErrExists.Code:
		return &fault{Type: typeExists, Message: fmt.Sprintf("The operation failed because the secret %s already exists.", c.shown)}
	case secret.ErrConflict.Code:
		return &fault{Type: typeInvalidRequest, Message: e.Error()}
	case secret.ErrInvalid.Code:
		if e.Field == "cursor" {
			return &fault{Type: typeInvalidToken, Message: "The NextToken value is invalid."}
		}
		return &fault{Type: typeInvalidParameter, Message: e.Error()}
	case secret.ErrLimit.Code:
		return &fault{Type: typeLimit, Message: e.Error()}
	case secret.ErrQuota.Code:
		return &fault{Type: typeLimit, Message: e.Error()}
	case secret.ErrTooMany.Code:
		return &fault{Type: typeThrottling, Message: e.Error()}
	case secret.ErrDecryption.Code:
		return &fault{Type: typeDecryption, Message: "Secrets Manager can't decrypt the protected secret text using the provided KMS key."}
	case secret.ErrUnavailable.Code, secret.ErrUnknownOutcome.Code:
		return &fault{Type: typeInternal, Message: "The service cannot do this now; try again."}
	}
	return &fault{Type: typeInternal, Message: "An error occurred on the server side."}
}

// denied words a refusal as AWS does. It names the operation and the caller, who
// knows both.
func (c *call) denied(why string) *fault {
	return &fault{Type: typeAccessDenied, Message: fmt.Sprintf("User: %s is not authorized to perform: %s:%s: %s", c.principal(), service, c.acts, why)}
}

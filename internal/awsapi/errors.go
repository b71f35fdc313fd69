package awsapi

import "fmt"

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
	typePrecondition     = "PreconditionNotMetException"
	typePublicPolicy     = "PublicPolicyException"
	typeSerialization    = "SerializationException"
	typeThrottling       = "ThrottlingException"
	typeUnavailable      = "ServiceUnavailableException"
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

// errSecretName is for a name with other characters than names have.
var errSecretName = &fault{Type: typeValidation, Message: "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"}

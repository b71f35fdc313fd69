package awsapi

import (
	"errors"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/wire"
)

// operation is a row of the table.
type operation struct {
	name   string
	action audit.Action // how a refusal is recorded that no method of the vault saw
	handle func(*call) error
}

// unknownAction records a request for no operation that there is.
const unknownAction = audit.Describe

// operations has all of the protocol, by name.
var operations = index([]operation{
	{"BatchGetSecretValue", audit.Read, decoded(batchGetSecretValue)},
	{"CancelRotateSecret", audit.Update, decoded(cancelRotateSecret)},
	{"CreateSecret", audit.Create, decoded(createSecret)},
	{"DeleteResourcePolicy", audit.Update, decoded(deleteResourcePolicy)},
	{"DeleteSecret", audit.Delete, decoded(deleteSecret)},
	{"DescribeSecret", audit.Describe, decoded(describeSecret)},
	{"GetRandomPassword", audit.Describe, decoded(getRandomPassword)},
	{"GetResourcePolicy", audit.Describe, decoded(getResourcePolicy)},
	{"GetSecretValue", audit.Read, decoded(getSecretValue)},
	{"ListSecretVersionIds", audit.Describe, decoded(listSecretVersionIDs)},
	{"ListSecrets", audit.List, decoded(listSecrets)},
	{"PutResourcePolicy", audit.Update, decoded(putResourcePolicy)},
	{"PutSecretValue", audit.Update, decoded(putSecretValue)},
	{"RemoveRegionsFromReplication", audit.Update, decoded(removeRegionsFromReplication)},
	{"ReplicateSecretToRegions", audit.Update, decoded(replicateSecretToRegions)},
	{"RestoreSecret", audit.Restore, decoded(restoreSecret)},
	{"RotateSecret", audit.Rotate, decoded(rotateSecret)},
	{"StopReplicationToReplica", audit.Update, decoded(stopReplicationToReplica)},
	{"TagResource", audit.Update, decoded(tagResource)},
	{"UntagResource", audit.Update, decoded(untagResource)},
	{"UpdateSecret", audit.Update, decoded(updateSecret)},
	{"UpdateSecretVersionStage", audit.Label, decoded(updateSecretVersionStage)},
	{"ValidateResourcePolicy", audit.Describe, decoded(validateResourcePolicy)},
})

func index(rows []operation) map[string]*operation {
	m := make(map[string]*operation, len(rows))
	for i := range rows {
		m[rows[i].name] = &rows[i]
	}
	return m
}

// Operations returns the names of all operations.
func Operations() []string {
	names := make([]string, 0, len(operations))
	for name := range operations {
		names = append(names, name)
	}
	return names
}

// decoded makes a handler that gets its request read into In.
func decoded[In any](handle func(*call, *In) error) func(*call) error {
	return func(c *call) error {
		var in In
		if err := wire.DecodeKnown(c.body, &in); err != nil {
			return reject(serialization(err))
		}
		if holder, ok := any(&in).(interface{ release() }); ok {
			defer holder.release()
		}
		return handle(c, &in)
	}
}

// serialization is the error of a body that could not be read. The decoder's own
// errors name members and types, and quote nothing.
func serialization(err error) error {
	e := secret.Of(err)
	if errors.Is(e, secret.ErrInvalid) || errors.Is(e, secret.ErrLimit) {
		return &fault{Type: typeSerialization, Message: e.Error()}
	}
	return err
}

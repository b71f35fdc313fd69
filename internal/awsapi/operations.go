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
	view   bool         // a replica takes it too
	handle func(*call) error
}

// unknownAction records a request for no operation that there is.
const unknownAction = audit.Describe

// operations has all of the protocol, by name.
var operations = index([]operation{
	{"BatchGetSecretValue", audit.Read, true, decoded(batchGetSecretValue)},
	{"CancelRotateSecret", audit.Update, false, decoded(cancelRotateSecret)},
	{"CreateSecret", audit.Create, false, decoded(createSecret)},
	{"DeleteResourcePolicy", audit.Update, false, decoded(deleteResourcePolicy)},
	{"DeleteSecret", audit.Delete, false, decoded(deleteSecret)},
	{"DescribeSecret", audit.Describe, true, decoded(describeSecret)},
	{"GetRandomPassword", audit.Describe, true, decoded(getRandomPassword)},
	{"GetResourcePolicy", audit.Describe, true, decoded(getResourcePolicy)},
	{"GetSecretValue", audit.Read, true, decoded(getSecretValue)},
	{"ListSecretVersionIds", audit.Describe, true, decoded(listSecretVersionIDs)},
	{"ListSecrets", audit.List, true, decoded(listSecrets)},
	{"PutResourcePolicy", audit.Update, false, decoded(putResourcePolicy)},
	{"PutSecretValue", audit.Update, false, decoded(putSecretValue)},
	{"RemoveRegionsFromReplication", audit.Update, false, decoded(removeRegionsFromReplication)},
	{"ReplicateSecretToRegions", audit.Update, false, decoded(replicateSecretToRegions)},
	{"RestoreSecret", audit.Restore, false, decoded(restoreSecret)},
	{"RotateSecret", audit.Rotate, false, decoded(rotateSecret)},
	{"StopReplicationToReplica", audit.Update, true, decoded(stopReplicationToReplica)},
	{"TagResource", audit.Update, false, decoded(tagResource)},
	{"UntagResource", audit.Update, false, decoded(untagResource)},
	{"UpdateSecret", audit.Update, false, decoded(updateSecret)},
	{"UpdateSecretVersionStage", audit.Label, false, decoded(updateSecretVersionStage)},
	{"ValidateResourcePolicy", audit.Describe, true, decoded(validateResourcePolicy)},
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

package secret

import "time"

// Limits of what the core accepts. Fronts may be stricter, never laxer.
const (
	MaxTenantName        = 63     // characters of a tenant's name
	MaxName              = 512    // characters of a secret's name
	MaxNativeName        = 255    // the same for names made through the native API
	MaxValue             = 65_536 // bytes of a value; at least 1
	MaxDescription       = 2048   // characters of a description
	MaxNativeDescription = 500    // the same through the native API
	MaxTags              = 50     // tags of a secret
	MaxTagKey            = 128    // characters of a tag's key
	MaxTagValue          = 256    // characters of a tag's value
	MaxNativeTagValue    = 100    // the same through the native API
	MaxLabel             = 256    // characters of a staging label
	MaxLabels            = 20     // staging labels of a secret
	MaxVersions          = 100    // versions of a secret, labelled or not
	MinRequestToken      = 32     // characters of a request token
	MaxRequestToken      = 64
	MaxConsumers         = 1000   // principals whose last read is kept for a version
	MaxAccessEntries     = 100    // entries of one list of an access policy
	MaxPage              = 500    // items of one page of a list
	DefaultPage          = 100    // items of a page if the caller does not say
	MaxGrants            = 20     // grants of a principal
	MaxPatterns          = 50     // name patterns of a grant
	MaxTokens            = 1000   // live credentials of a tenant that were made by hand
	MaxSessions          = 10_000 // credentials of a tenant with which a service can still log in
	SessionsForPeople    = 1000   // as many more with which a person can
	// MaxCredentials is more than a tenant can have of all kinds.
	MaxCredentials = MaxTokens + MaxSessions + SessionsForPeople
)

// Recovery windows of a deleted secret.
const (
	MinRecovery     = 7 * 24 * time.Hour
	MaxRecovery     = 30 * 24 * time.Hour
	DefaultRecovery = MaxRecovery
)

// PruneAge is how old an unlabelled version must be before it may be pruned.
const PruneAge = 24 * time.Hour

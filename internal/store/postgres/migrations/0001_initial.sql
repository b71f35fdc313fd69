-- oldest: 1

-- Each statement ends with a semicolon at the end of a line, stands alone and
-- may be run again: engines without transactions of schema changes run it too.
--
-- Every key of what tenants have begins with the tenant's id, so that the big
-- tables can be sharded by it; the operators have the id of zeros. Whatever is
-- listed in order is bytea: bytes compare alike under every collation and in
-- every engine. Times are milliseconds since 1970, absent ones NULL; days count
-- from 1970-01-01. Algorithms are 1 for aes-256-gcm and 2 for hybrid-quantum.

CREATE TABLE IF NOT EXISTS meta (
	key   text  NOT NULL PRIMARY KEY,
	value bytea NOT NULL
);

-- Rows are never deleted, so that names, ids and accounts stay taken.
CREATE TABLE IF NOT EXISTS tenants (
	id        bytea    NOT NULL PRIMARY KEY CHECK (octet_length(id) = 16),
	name      bytea    NOT NULL UNIQUE,
	account   int8     NOT NULL UNIQUE,
	state     int8     NOT NULL,
	algorithm int8     NOT NULL,
	key       int8     NOT NULL,
	created   int8,
	revision  int8     NOT NULL
);

-- Who may have rows, the operators too, and how many: counted as they come and
-- go, since a quota is looked at with every write.
CREATE TABLE IF NOT EXISTS owners (
	tenant      bytea NOT NULL PRIMARY KEY,
	secrets     int8  NOT NULL,
	versions    int8  NOT NULL,
	bytes       int8  NOT NULL,
	principals  int8  NOT NULL,
	credentials int8  NOT NULL
);

INSERT INTO owners (tenant, secrets, versions, bytes, principals, credentials)
VALUES ('\x00000000000000000000000000000000', 0, 0, 0, 0, 0)
ON CONFLICT (tenant) DO NOTHING;

CREATE TABLE IF NOT EXISTS tenant_keys (
	tenant     bytea NOT NULL,
	number     int8  NOT NULL,
	kek        bytea,
	kem_public bytea,
	kem_seed   bytea,
	created    int8,
	PRIMARY KEY (tenant, number)
);

-- The three labels with a meaning have a column each, so that the usual read
-- finds its version within the same statement; labels holds the others as JSON.
CREATE TABLE IF NOT EXISTS secrets (
	tenant            bytea   NOT NULL,
	name              bytea   NOT NULL,
	id                bytea   NOT NULL CHECK (octet_length(id) = 16),
	current           int8,
	previous          int8,
	pending           int8,
	last              int8    NOT NULL,
	versions          int8    NOT NULL,
	revision          int8    NOT NULL,
	algorithm         int8    NOT NULL,
	rotation_required boolean NOT NULL,
	rotation_interval text    NOT NULL,
	created           int8,
	changed           int8,
	last_rotated      int8,
	next_rotation     int8,
	deletion          int8,
	description       text,
	labels            text,
	tags              text,
	access_policy     text,
	aws               text,
	work_at           int8,
	PRIMARY KEY (tenant, name),
	UNIQUE (tenant, id)
);

CREATE INDEX IF NOT EXISTS secrets_due ON secrets (tenant, next_rotation)
	WHERE rotation_required AND deletion IS NULL AND next_rotation IS NOT NULL;
CREATE INDEX IF NOT EXISTS secrets_deleted ON secrets (tenant, deletion) WHERE deletion IS NOT NULL;
CREATE INDEX IF NOT EXISTS secrets_work ON secrets (work_at) WHERE work_at IS NOT NULL AND deletion IS NULL;
CREATE INDEX IF NOT EXISTS secrets_deleted_anywhere ON secrets (deletion) WHERE deletion IS NOT NULL;

-- The reference keeps a version from being added to a secret that is being
-- purged, at any isolation.
CREATE TABLE IF NOT EXISTS versions (
	tenant     bytea NOT NULL,
	secret     bytea NOT NULL,
	number     int8  NOT NULL,
	id         text  NOT NULL,
	kind       int8  NOT NULL,
	algorithm  int8  NOT NULL,
	key        int8  NOT NULL,
	envelope   bytea NOT NULL,
	ciphertext bytea NOT NULL,
	created    int8,
	PRIMARY KEY (tenant, secret, number),
	UNIQUE (tenant, secret, id),
	FOREIGN KEY (tenant, secret) REFERENCES secrets (tenant, id)
);

-- Who read which version, and when last. The principal '' stands for all of
-- them, so that a read never rewrites the version's row.
CREATE TABLE IF NOT EXISTS consumers (
	tenant    bytea NOT NULL,
	secret    bytea NOT NULL,
	number    int8  NOT NULL,
	principal bytea NOT NULL,
	day       int8  NOT NULL,
	PRIMARY KEY (tenant, secret, number, principal),
	FOREIGN KEY (tenant, secret, number) REFERENCES versions (tenant, secret, number) ON DELETE CASCADE
);

-- Kinds are 0 for a service, 1 for a person and 2 for an operator.
CREATE TABLE IF NOT EXISTS principals (
	tenant      bytea NOT NULL,
	name        bytea NOT NULL,
	kind        int8  NOT NULL,
	grants      text,
	service     text,
	environment text,
	subject     text,
	created     int8,
	disabled    int8,
	last_used   int8  NOT NULL,
	last_read   int8  NOT NULL,
	revision    int8  NOT NULL,
	PRIMARY KEY (tenant, name)
);

CREATE UNIQUE INDEX IF NOT EXISTS principals_by_subject ON principals (tenant, subject) WHERE subject IS NOT NULL;

-- ended is when it ended or will; NULL if nothing says so.
CREATE TABLE IF NOT EXISTS credentials (
	tenant      bytea   NOT NULL,
	id          bytea   NOT NULL UNIQUE,
	kind        int8    NOT NULL,
	principal   bytea   NOT NULL,
	hash        bytea   CHECK (octet_length(hash) = 32),
	sealed      bytea,
	key         int8    NOT NULL,
	grants      text,
	service     text,
	environment text,
	created     int8,
	expires     int8,
	revoked     int8,
	ended       int8,
	last_used   int8    NOT NULL,
	mfa         int8,
	locked      boolean NOT NULL,
	source      text,
	revision    int8    NOT NULL,
	PRIMARY KEY (tenant, id),
	FOREIGN KEY (tenant, principal) REFERENCES principals (tenant, name)
);

CREATE UNIQUE INDEX IF NOT EXISTS credentials_by_hash ON credentials (hash) WHERE hash IS NOT NULL;
CREATE INDEX IF NOT EXISTS credentials_by_principal ON credentials (tenant, principal, id);
CREATE INDEX IF NOT EXISTS credentials_ended ON credentials (tenant, ended) WHERE ended IS NOT NULL;

CREATE TABLE IF NOT EXISTS documents (
	tenant   bytea NOT NULL,
	kind     bytea NOT NULL,
	id       bytea NOT NULL,
	data     bytea,
	sealed   bytea,
	key      int8  NOT NULL,
	expires  int8,
	created  int8,
	changed  int8,
	revision int8  NOT NULL,
	PRIMARY KEY (tenant, kind, id)
);

CREATE INDEX IF NOT EXISTS documents_expiring ON documents (expires) WHERE expires IS NOT NULL;
CREATE INDEX IF NOT EXISTS documents_sealed ON documents (tenant, kind, id) WHERE sealed IS NOT NULL;

-- One row holds the audit records of one commit, until the sequencer moves it
-- to audit_batches. node is drawn anew by every process; batch is a time in
-- microseconds, or one more than the node's last, so that the rows of all nodes
-- are in about the order of their commits. A row without records tells that a
-- commit of that number can never happen any more.
CREATE TABLE IF NOT EXISTS audit_pending (
	node    int8  NOT NULL,
	batch   int8  NOT NULL,
	records bytea NOT NULL,
	PRIMARY KEY (node, batch)
);

CREATE TABLE IF NOT EXISTS audit_batches (
	first   int8  NOT NULL PRIMARY KEY,
	node    int8  NOT NULL,
	batch   int8  NOT NULL,
	places  bytea NOT NULL,
	records bytea NOT NULL,
	UNIQUE (node, batch)
);

-- A run ends with what was the tenant's last entry after that round, so that
-- its newest run is also the tenant's head.
CREATE TABLE IF NOT EXISTS audit_runs (
	tenant  text  NOT NULL,
	first   int8  NOT NULL,
	count   int8  NOT NULL,
	last    int8  NOT NULL,
	hash    bytea NOT NULL CHECK (octet_length(hash) = 32),
	indices bytea NOT NULL,
	PRIMARY KEY (tenant, first)
);

CREATE TABLE IF NOT EXISTS audit_tiles (
	level  int8  NOT NULL,
	number int8  NOT NULL,
	data   bytea NOT NULL,
	PRIMARY KEY (level, number)
);

CREATE TABLE IF NOT EXISTS audit_tree (
	one  int8  NOT NULL PRIMARY KEY CHECK (one = 1),
	size int8  NOT NULL,
	root bytea NOT NULL CHECK (octet_length(root) = 32)
);

-- SHA-256 of nothing, which RFC 6962 makes the root of an empty tree.
INSERT INTO audit_tree (one, size, root)
VALUES (1, 0, '\xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
ON CONFLICT (one) DO NOTHING;

CREATE TABLE IF NOT EXISTS audit_checkpoints (
	size    int8  NOT NULL PRIMARY KEY,
	root    bytea NOT NULL CHECK (octet_length(root) = 32),
	created int8,
	note    bytea
);

CREATE INDEX IF NOT EXISTS audit_checkpoints_unsigned ON audit_checkpoints (size) WHERE note IS NULL;

CREATE TABLE IF NOT EXISTS leases (
	name    text NOT NULL PRIMARY KEY,
	holder  text NOT NULL,
	fence   int8 NOT NULL,
	expires int8 NOT NULL
);

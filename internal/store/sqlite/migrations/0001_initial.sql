-- oldest: 1

-- Keys. A tenant has a small number n beside its random id: rows of one tenant
-- lie together and tables grow at their end, where random ids would spread
-- every write over the whole file. n never leaves the database; statements
-- take the id and look n up.
--
-- Times are milliseconds since 1970, absent ones NULL; days count from
-- 1970-01-01. Algorithms are 1 for aes-256-gcm and 2 for hybrid-quantum.

-- Cells hold what must be destroyed for good when it is deleted: wrapped keys,
-- envelopes and what they seal, sealed seeds. Other tables refer to them by
-- number.
--
-- secure_delete overwrites a row where it stands, but when pages are split or
-- merged SQLite moves rows, and the copies left behind in the unused part of a
-- page are not overwritten. So cells never move: new ones are added at the end
-- of the table, none is ever deleted, and none changes its length. Clearing one
-- writes zeros over it, in place; it is free for another of its length then.
-- Lengths are rounded up so that there are few of them: the content, zeros, and
-- the length of the content in 4 bytes, big endian.
CREATE TABLE cells (
	n    INTEGER PRIMARY KEY,
	free INTEGER NOT NULL,
	data BLOB    NOT NULL
) STRICT;

CREATE INDEX cells_free ON cells (length(data)) WHERE free = 1;

CREATE TABLE meta (
	key  TEXT PRIMARY KEY,
	cell INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Rows are never deleted, so that names, ids and accounts stay taken and the
-- highest n is the number of tenants.
CREATE TABLE tenants (
	n         INTEGER PRIMARY KEY,
	id        BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
	name      TEXT    NOT NULL UNIQUE,
	account   INTEGER NOT NULL UNIQUE,
	state     INTEGER NOT NULL,
	algorithm INTEGER NOT NULL,
	key       INTEGER NOT NULL,
	created   INTEGER,
	revision  INTEGER NOT NULL
) STRICT;

CREATE TABLE tenant_keys (
	tenant     INTEGER NOT NULL,
	number     INTEGER NOT NULL,
	created    INTEGER,
	kek        INTEGER NOT NULL, -- cell
	kem_public BLOB,
	kem_seed   INTEGER,          -- cell
	PRIMARY KEY (tenant, number)
) STRICT, WITHOUT ROWID;

-- The three labels with a meaning have a column each, so that the usual read
-- finds its version within the same statement; labels holds the others as JSON.
CREATE TABLE secrets (
	tenant            INTEGER NOT NULL,
	name              TEXT    NOT NULL,
	id                BLOB    NOT NULL CHECK (length(id) = 16),
	current           INTEGER,
	previous          INTEGER,
	pending           INTEGER,
	last              INTEGER NOT NULL,
	versions          INTEGER NOT NULL,
	revision          INTEGER NOT NULL,
	algorithm         INTEGER NOT NULL,
	rotation_required INTEGER NOT NULL,
	rotation_interval TEXT    NOT NULL,
	created           INTEGER,
	changed           INTEGER,
	last_rotated      INTEGER,
	next_rotation     INTEGER,
	deletion          INTEGER,
	description       TEXT,
	labels            TEXT,
	tags              TEXT,
	access_policy     TEXT,
	PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX secrets_by_id ON secrets (tenant, id);
CREATE INDEX secrets_due ON secrets (tenant, next_rotation)
	WHERE rotation_required = 1 AND deletion IS NULL AND next_rotation IS NOT NULL;
CREATE INDEX secrets_due_anywhere ON secrets (next_rotation)
	WHERE rotation_required = 1 AND deletion IS NULL AND next_rotation IS NOT NULL;
CREATE INDEX secrets_deleted ON secrets (tenant, deletion) WHERE deletion IS NOT NULL;
CREATE INDEX secrets_deleted_anywhere ON secrets (deletion) WHERE deletion IS NOT NULL;

-- id is 16 bytes if it is a UUID, otherwise the client's text.
CREATE TABLE versions (
	tenant     INTEGER NOT NULL,
	secret     BLOB    NOT NULL,
	number     INTEGER NOT NULL,
	id         ANY     NOT NULL,
	kind       INTEGER NOT NULL,
	algorithm  INTEGER NOT NULL,
	key        INTEGER NOT NULL,
	created    INTEGER,
	cell       INTEGER NOT NULL, -- of the envelope, then the ciphertext
	envelope   INTEGER NOT NULL, -- length of the envelope
	PRIMARY KEY (tenant, secret, number)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX versions_by_id ON versions (tenant, secret, id);

-- Who read which version, and when last. The principal '' stands for all of
-- them: the last read by anybody lies in the same page as the reader's own, and
-- a read never rewrites the version's row.
CREATE TABLE consumers (
	tenant    INTEGER NOT NULL,
	secret    BLOB    NOT NULL,
	number    INTEGER NOT NULL,
	principal TEXT    NOT NULL,
	day       INTEGER NOT NULL,
	PRIMARY KEY (tenant, secret, number, principal)
) STRICT, WITHOUT ROWID;

-- Operators have tenant 0.
CREATE TABLE credentials (
	tenant      INTEGER NOT NULL,
	id          TEXT    NOT NULL UNIQUE,
	kind        INTEGER NOT NULL,
	principal   TEXT    NOT NULL,
	hash        BLOB    CHECK (length(hash) = 32),
	sealed      INTEGER, -- cell
	key         INTEGER NOT NULL,
	grants      TEXT,
	service     TEXT,
	environment TEXT,
	created     INTEGER,
	expires     INTEGER,
	revoked     INTEGER,
	last_used   INTEGER NOT NULL,
	PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX credentials_by_hash ON credentials (hash) WHERE hash IS NOT NULL;

-- One row holds all audit records of one group commit. The embedded store is
-- one node, number 0, so a batch's number is its whole key. Rows are added at
-- the end and keep their length, as cells do, and end in the same way.
CREATE TABLE audit_batches (
	batch   INTEGER PRIMARY KEY,
	records BLOB NOT NULL
) STRICT;

-- Where batches stand in the tree. Beside the batch and not within it, since
-- changing a row writes all of it again. Batches are placed in their order, so
-- the last row tells which ones wait.
CREATE TABLE audit_places (
	first  INTEGER PRIMARY KEY,
	batch  INTEGER NOT NULL,
	places BLOB    NOT NULL
) STRICT;

-- A run ends with what was the tenant's last entry after that round, so that
-- its newest run is also the tenant's head.
CREATE TABLE audit_runs (
	tenant  TEXT    NOT NULL,
	first   INTEGER NOT NULL,
	count   INTEGER NOT NULL,
	last    INTEGER NOT NULL,
	hash    BLOB    NOT NULL CHECK (length(hash) = 32),
	indices BLOB    NOT NULL,
	PRIMARY KEY (tenant, first)
) STRICT, WITHOUT ROWID;

-- id is the level times 2^56, plus the number.
CREATE TABLE audit_tiles (
	id   INTEGER PRIMARY KEY,
	data BLOB NOT NULL
) STRICT;

CREATE TABLE audit_tree (
	one  INTEGER PRIMARY KEY CHECK (one = 1),
	size INTEGER NOT NULL,
	root BLOB    NOT NULL CHECK (length(root) = 32)
) STRICT;

-- SHA-256 of nothing, which RFC 6962 makes the root of an empty tree.
INSERT INTO audit_tree VALUES (1, 0, x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');

CREATE TABLE audit_checkpoints (
	size    INTEGER PRIMARY KEY,
	root    BLOB    NOT NULL CHECK (length(root) = 32),
	created INTEGER,
	note    BLOB
) STRICT;

CREATE INDEX audit_checkpoints_unsigned ON audit_checkpoints (size) WHERE note IS NULL;

CREATE TABLE leases (
	name    TEXT PRIMARY KEY,
	holder  TEXT    NOT NULL,
	fence   INTEGER NOT NULL,
	expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

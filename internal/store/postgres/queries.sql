-- Every statement of the store. The name before a statement is what Go calls it
-- by; a part is text that statements share and stands in them as {part}.
--
-- Only what PostgreSQL, CockroachDB and YugabyteDB all run is here; a test
-- holds the statements to a list of words. Each is correct at READ COMMITTED
-- and above: what a change depends on stands in the statement that makes it,
-- or in a row that is locked. An insertion that meets a row which is there does
-- nothing, since an error would end the transaction; Go then finds out why.
--
-- Whatever belongs to a tenant is reached through the tenant's id, always $1.

-- name: begin
BEGIN READ WRITE

-- name: begin_view
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY

-- name: begin_view_serializable
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY

-- name: commit
COMMIT

-- name: rollback
ROLLBACK

-- The frame of statements that look for many keys at once, whose parameters are
-- arrays: of each part of the key, and of numbers, which come back with the rows.
-- Each key is looked up by itself, LIMIT sees to that, since plans are made while
-- tables are small and kept when they are large. The arrays come out of subqueries:
-- to a plan all of them are of one length, and one plan serves them all.

-- name: each
SELECT k.n, r.* FROM unnest({arrays}) AS k ({columns})
CROSS JOIN LATERAL ({statement} LIMIT 1) AS r

-- name: each_array
(SELECT ${number}::{type}[])

-- ── schema ─────────────────────────────────────────────────────────────────

-- name: schema_table
CREATE TABLE IF NOT EXISTS schema_version (
	one     int8 NOT NULL PRIMARY KEY CHECK (one = 1),
	version int8 NOT NULL,
	oldest  int8 NOT NULL,
	holder  text NOT NULL,
	expires int8 NOT NULL
)

-- name: schema_row
INSERT INTO schema_version (one, version, oldest, holder, expires) VALUES (1, 0, 0, '', 0)
ON CONFLICT (one) DO NOTHING

-- name: schema
SELECT version, oldest FROM schema_version WHERE one = 1

-- name: schema_number
SELECT version FROM schema_version WHERE one = 1

-- name: schema_lease
UPDATE schema_version SET holder = $1, expires = $3
WHERE one = 1 AND (holder = $1 OR holder = '' OR expires <= $2)

-- name: schema_release
UPDATE schema_version SET holder = '', expires = 0 WHERE one = 1 AND holder = $1

-- name: schema_step
UPDATE schema_version SET version = $2, oldest = $3 WHERE one = 1 AND holder = $1 AND version = $2 - 1

-- ── meta ───────────────────────────────────────────────────────────────────

-- name: meta
SELECT value FROM meta WHERE key = $1

-- A transaction that writes locks the rows that it looks at by their names, so
-- that they are still as it has found them when it changes them. FOR NO KEY
-- UPDATE lets others refer to them meanwhile.

-- name: meta_held
SELECT value FROM meta WHERE key = $1 FOR UPDATE

-- name: meta_add
INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING

-- name: meta_swap
UPDATE meta SET value = $3 WHERE key = $1 AND value = $2

-- name: meta_drop
DELETE FROM meta WHERE key = $1 AND value = $2

-- ── tenants ────────────────────────────────────────────────────────────────

-- part: tenant_columns
t.id, t.name, t.account, t.state, t.algorithm, t.key, t.created, t.revision

-- name: tenant
SELECT {tenant_columns} FROM tenants t WHERE t.id = $1

-- name: tenant_by_name
SELECT {tenant_columns} FROM tenants t WHERE t.name = $1

-- name: tenant_by_account
SELECT {tenant_columns} FROM tenants t WHERE t.account = $1

-- A transaction that writes holds on to the tenant that it looks at: it cannot
-- be suspended or erased before the end.

-- name: tenant_held
SELECT {tenant_columns} FROM tenants t WHERE t.id = $1 FOR SHARE

-- name: tenant_by_name_held
SELECT {tenant_columns} FROM tenants t WHERE t.name = $1 FOR SHARE

-- name: tenant_by_account_held
SELECT {tenant_columns} FROM tenants t WHERE t.account = $1 FOR SHARE

-- name: tenant_list
SELECT {tenant_columns} FROM tenants t WHERE t.name > $1 ORDER BY t.name LIMIT $2

-- name: tenant_count
SELECT count(*) FROM tenants

-- name: tenant_create
INSERT INTO tenants (id, name, account, state, algorithm, key, created, revision)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING

-- name: tenant_update
UPDATE tenants SET state = $3, algorithm = $4, key = $5, revision = revision + 1
WHERE id = $1 AND revision = $2

-- name: tenant_lock
SELECT 1 FROM tenants WHERE id = $1 FOR UPDATE

-- name: owner_create
INSERT INTO owners (tenant, secrets, versions, bytes, principals, credentials) VALUES ($1, 0, 0, 0, 0, 0)

-- name: owner_count
UPDATE owners SET secrets = secrets + $2, versions = versions + $3, bytes = bytes + $4,
	principals = principals + $5, credentials = credentials + $6
WHERE tenant = $1

-- name: owner_reset
UPDATE owners SET secrets = 0, versions = 0, bytes = 0, principals = 0, credentials = 0 WHERE tenant = $1

-- name: owner_exists
SELECT 1 FROM owners WHERE tenant = $1

-- name: usage
SELECT secrets, versions, bytes, principals, credentials FROM owners WHERE tenant = $1

-- name: usage_held
-- Whoever decides by a quota, or by a list, in a transaction that writes does
-- so alone in the tenant. A row that is written is locked at every isolation:
-- who waited for it starts from what the other has left, or all over.
UPDATE owners SET secrets = secrets + 0 WHERE tenant = $1
RETURNING secrets, versions, bytes, principals, credentials

-- part: key_columns
k.number, k.kek, k.kem_public, k.kem_seed, k.created

-- name: key
SELECT {key_columns} FROM tenant_keys k WHERE k.tenant = $1 AND k.number = $2

-- name: key_list
SELECT {key_columns} FROM tenant_keys k WHERE k.tenant = $1 ORDER BY k.number

-- name: key_walk
SELECT {key_columns}, k.tenant FROM tenant_keys k
WHERE (k.tenant, k.number) > ($1, $2) ORDER BY k.tenant, k.number LIMIT $3

-- name: key_put
INSERT INTO tenant_keys (tenant, number, kek, kem_public, kem_seed, created)
SELECT t.id, $2::int8, $3::bytea, $4::bytea, $5::bytea, $6::int8 FROM tenants t WHERE t.id = $1
ON CONFLICT (tenant, number) DO UPDATE SET kek = excluded.kek,
	kem_public = excluded.kem_public, kem_seed = excluded.kem_seed, created = excluded.created

-- name: key_delete
DELETE FROM tenant_keys WHERE tenant = $1 AND number = $2

-- name: erase_keys
DELETE FROM tenant_keys WHERE tenant = $1

-- name: erase_versions
DELETE FROM versions WHERE tenant = $1

-- name: erase_secrets
DELETE FROM secrets WHERE tenant = $1

-- name: erase_credentials
DELETE FROM credentials WHERE tenant = $1

-- name: erase_principals
DELETE FROM principals WHERE tenant = $1

-- name: erase_documents
DELETE FROM documents WHERE tenant = $1

-- ── secrets ────────────────────────────────────────────────────────────────

-- part: secret_columns
s.id, s.name, s.current, s.previous, s.pending, s.last, s.revision, s.algorithm,
s.rotation_required, s.rotation_interval, s.created, s.changed, s.last_rotated, s.next_rotation,
s.deletion, s.description, s.labels, s.tags, s.access_policy, s.versions, s.aws, s.work_at

-- part: last_read
(SELECT c.day FROM consumers c WHERE c.tenant = v.tenant AND c.secret = v.secret
	AND c.number = v.number AND c.principal = '')

-- part: version_columns
v.number, v.id, v.kind, v.algorithm, v.key, v.created, v.envelope, v.ciphertext, {last_read}

-- part: caller_read
(SELECT c.day FROM consumers c WHERE c.tenant = v.tenant AND c.secret = v.secret
	AND c.number = v.number AND c.principal = $3 AND c.principal <> '')

-- name: secret
SELECT {secret_columns} FROM secrets s WHERE s.tenant = $1 AND s.name = $2

-- name: secret_held
SELECT {secret_columns} FROM secrets s WHERE s.tenant = $1 AND s.name = $2 FOR NO KEY UPDATE

-- name: secret_exists
SELECT 1 FROM secrets WHERE tenant = $1 AND id = $2

-- name: find
-- $4 is the version's number, NULL for the current one.
SELECT {secret_columns}, {version_columns}, {caller_read}
FROM secrets s
LEFT JOIN versions v ON v.tenant = s.tenant AND v.secret = s.id AND v.number = coalesce($4::int8, s.current)
WHERE s.tenant = $1 AND s.name = $2

-- name: find_by_id
SELECT {secret_columns}, {version_columns}, {caller_read}
FROM secrets s
LEFT JOIN versions v ON v.tenant = s.tenant AND v.secret = s.id AND v.id = $4
WHERE s.tenant = $1 AND s.name = $2

-- name: version
SELECT {version_columns} FROM versions v WHERE v.tenant = $1 AND v.secret = $2 AND v.number = $3

-- name: version_list
SELECT v.number, v.id, v.kind, v.algorithm, v.key, v.created, v.envelope, NULL::bytea, {last_read}
FROM versions v WHERE v.tenant = $1 AND v.secret = $2 AND v.number > $3 ORDER BY v.number LIMIT $4

-- name: secret_list
SELECT {secret_columns} FROM secrets s
WHERE s.tenant = $1 AND s.name >= $2 AND s.name < $3 AND s.deletion IS NULL
ORDER BY s.name LIMIT $4

-- name: secret_list_deleted
SELECT {secret_columns} FROM secrets s
WHERE s.tenant = $1 AND s.name >= $2 AND s.name < $3 AND s.deletion IS NOT NULL
ORDER BY s.name LIMIT $4

-- name: secret_list_due
SELECT {secret_columns} FROM secrets s
WHERE s.tenant = $1 AND s.name >= $2 AND s.name < $3
	AND s.rotation_required AND s.deletion IS NULL AND s.next_rotation IS NOT NULL
	AND s.next_rotation <= $5
ORDER BY s.name LIMIT $4

-- name: secret_expired_anywhere
SELECT s.tenant, s.id, s.name FROM secrets s
WHERE s.deletion IS NOT NULL AND s.deletion <= $1 ORDER BY s.deletion LIMIT $2

-- name: secret_work_anywhere
SELECT s.tenant, s.id, s.name FROM secrets s JOIN tenants t ON t.id = s.tenant
WHERE s.work_at IS NOT NULL AND s.deletion IS NULL AND s.work_at <= $1 AND t.state = 0
ORDER BY s.work_at LIMIT $2

-- name: secret_work_load_anywhere
SELECT count(*), min(s.next_rotation) FROM secrets s JOIN tenants t ON t.id = s.tenant
WHERE s.work_at IS NOT NULL AND s.deletion IS NULL AND s.work_at > $1 AND s.work_at <= $2
	AND s.next_rotation <= $3 AND t.state = 0

-- name: version_walk
SELECT v.secret, v.number FROM versions v
WHERE v.tenant = $1 AND (v.secret, v.number) > ($2, $3) AND v.key <> $4
ORDER BY v.secret, v.number LIMIT $5

-- name: consumer_list
SELECT c.principal, c.number, c.day FROM consumers c
WHERE c.tenant = $1 AND c.secret = $2 AND c.principal <> '' ORDER BY c.number, c.principal

-- name: secret_create
INSERT INTO secrets (tenant, id, name, current, previous, pending, last, revision, algorithm,
	rotation_required, rotation_interval, created, changed, last_rotated, next_rotation,
	deletion, description, labels, tags, access_policy, versions, aws, work_at)
SELECT t.id, $2::bytea, $3::bytea, $4::int8, $5::int8, $6::int8, $7::int8, $8::int8, $9::int8,
	$10::boolean, $11::text, $12::int8, $13::int8, $14::int8, $15::int8,
	$16::int8, $17::text, $18::text, $19::text, $20::text, $21::int8, $22::text, $23::int8
FROM tenants t WHERE t.id = $1
ON CONFLICT DO NOTHING

-- name: secret_update
UPDATE secrets SET current = $4, previous = $5, pending = $6, last = $7, revision = revision + 1,
	algorithm = $9, rotation_required = $10, rotation_interval = $11, created = $12, changed = $13,
	last_rotated = $14, next_rotation = $15, deletion = $16, description = $17, labels = $18,
	tags = $19, access_policy = $20, versions = $21, aws = $22, work_at = $23
WHERE tenant = $1 AND name = $3 AND id = $2 AND revision = $8

-- name: purge_versions
WITH gone AS (
	DELETE FROM versions WHERE tenant = $1 AND secret = $2
	RETURNING octet_length(envelope) + octet_length(ciphertext) AS size)
SELECT count(*), coalesce(sum(size), 0)::int8 FROM gone

-- name: purge_secret
DELETE FROM secrets WHERE tenant = $1 AND id = $2

-- name: version_add
INSERT INTO versions (tenant, secret, number, id, kind, algorithm, key, created, envelope, ciphertext)
SELECT s.tenant, s.id, $3::int8, $4::text, $5::int8, $6::int8, $7::int8, $8::int8, $9::bytea, $10::bytea
FROM secrets s WHERE s.tenant = $1 AND s.id = $2
ON CONFLICT DO NOTHING

-- name: version_rewrap
UPDATE versions SET envelope = $4, algorithm = $5, key = $6
WHERE tenant = $1 AND secret = $2 AND number = $3 AND envelope = $7

-- name: version_exists
SELECT 1 FROM versions WHERE tenant = $1 AND secret = $2 AND number = $3

-- name: version_delete
DELETE FROM versions WHERE tenant = $1 AND secret = $2 AND number = $3
RETURNING (octet_length(envelope) + octet_length(ciphertext))::int8

-- name: touch
-- One row for all readers and one for this one.
INSERT INTO consumers (tenant, secret, number, principal, day)
SELECT v.tenant, v.secret, v.number, who.principal, $5::int8
FROM versions v CROSS JOIN (VALUES (''::bytea), ($4::bytea)) AS who (principal)
WHERE v.tenant = $1 AND v.secret = $2 AND v.number = $3
ON CONFLICT (tenant, secret, number, principal) DO UPDATE SET day = greatest(consumers.day, excluded.day)

-- name: touch_full
-- $4 is how many rows may be there; a row comes back if there are more.
SELECT 1 FROM consumers WHERE tenant = $1 AND secret = $2 AND number = $3 LIMIT 1 OFFSET $4

-- name: touch_trim
-- Among equal days the one just noted stays, so that it is not noted again and again.
DELETE FROM consumers WHERE tenant = $1 AND secret = $2 AND number = $3 AND principal <> ''
AND principal NOT IN (
	SELECT c.principal FROM consumers c
	WHERE c.tenant = $1 AND c.secret = $2 AND c.number = $3 AND c.principal <> ''
	ORDER BY c.day DESC, c.principal <> $4, c.principal LIMIT $5)

-- ── principals ─────────────────────────────────────────────────────────────

-- part: principal_columns
p.name, p.kind, p.grants, p.service, p.environment, p.subject, p.created, p.disabled, p.last_used, p.last_read, p.revision

-- name: principal
SELECT {principal_columns} FROM principals p WHERE p.tenant = $1 AND p.name = $2

-- name: principal_held
SELECT {principal_columns} FROM principals p WHERE p.tenant = $1 AND p.name = $2 FOR NO KEY UPDATE

-- name: principal_by_subject
SELECT {principal_columns} FROM principals p WHERE p.tenant = $1 AND p.subject = $2

-- name: principal_by_subject_held
SELECT {principal_columns} FROM principals p WHERE p.tenant = $1 AND p.subject = $2 FOR NO KEY UPDATE

-- name: principal_list
SELECT {principal_columns} FROM principals p WHERE p.tenant = $1 AND p.name > $2 ORDER BY p.name LIMIT $3

-- name: principal_create
INSERT INTO principals (tenant, name, kind, grants, service, environment, subject, created,
	disabled, last_used, last_read, revision)
SELECT o.tenant, $2::bytea, $3::int8, $4::text, $5::text, $6::text, $7::text, $8::int8,
	$9::int8, $10::int8, $11::int8, $12::int8
FROM owners o WHERE o.tenant = $1
ON CONFLICT DO NOTHING

-- name: principal_update
UPDATE principals SET grants = $4, service = $5, environment = $6, subject = $7, created = $8,
	disabled = $9, last_used = $10, last_read = $11, revision = revision + 1
WHERE tenant = $1 AND name = $2 AND kind = $3 AND revision = $12 AND NOT EXISTS (
	SELECT 1 FROM principals o WHERE o.tenant = $1 AND o.subject = $7 AND o.name <> $2)

-- name: principal_delete
-- The reference of a credential that is being created makes this statement wait
-- and fail.
DELETE FROM principals WHERE tenant = $1 AND name = $2 AND NOT EXISTS (
	SELECT 1 FROM credentials c WHERE c.tenant = $1 AND c.principal = $2)

-- ── credentials ────────────────────────────────────────────────────────────

-- part: credential_columns
c.id, c.kind, c.principal, c.hash, c.sealed, c.key, c.grants, c.service, c.environment,
c.created, c.expires, c.revoked, c.last_used, c.mfa, c.locked, c.source, c.revision

-- part: identity
SELECT {credential_columns}, {principal_columns}, {tenant_columns}
FROM credentials c
JOIN principals p ON p.tenant = c.tenant AND p.name = c.principal
LEFT JOIN tenants t ON t.id = c.tenant

-- name: credential_by_hash
{identity} WHERE c.hash = $1

-- name: credential_by_id
{identity} WHERE c.id = $1

-- name: credential_lock_by_hash
SELECT tenant, principal FROM credentials WHERE hash = $1 FOR NO KEY UPDATE

-- name: credential_lock_by_id
SELECT tenant, principal FROM credentials WHERE id = $1 FOR NO KEY UPDATE

-- name: credential_list
SELECT {credential_columns} FROM credentials c WHERE c.tenant = $1 AND c.id > $2 ORDER BY c.id LIMIT $3

-- name: credential_of_principal
SELECT {credential_columns} FROM credentials c WHERE c.tenant = $1 AND c.principal = $2 ORDER BY c.id LIMIT $3

-- name: credential_ended
SELECT {credential_columns} FROM credentials c
WHERE c.tenant = $1 AND c.ended IS NOT NULL AND c.ended <= $2 ORDER BY c.ended LIMIT $3

-- name: credential_create
INSERT INTO credentials (tenant, id, kind, principal, hash, sealed, key, grants, service,
	environment, created, expires, revoked, last_used, mfa, locked, source, revision, ended)
SELECT p.tenant, $2::bytea, $3::int8, p.name, $5::bytea, $6::bytea, $7::int8, $8::text, $9::text,
	$10::text, $11::int8, $12::int8, $13::int8, $14::int8, $15::int8, $16::boolean, $17::text, $18::int8, $19::int8
FROM principals p WHERE p.tenant = $1 AND p.name = $4
ON CONFLICT DO NOTHING

-- name: credential_update
UPDATE credentials SET hash = $5, sealed = $6, key = $7, grants = $8,
	service = $9, environment = $10, created = $11, expires = $12, revoked = $13, last_used = $14,
	mfa = $15, locked = $16, source = $17, ended = $19, revision = revision + 1
WHERE tenant = $1 AND id = $2 AND kind = $3 AND principal = $4 AND revision = $18

-- name: credential_exists
SELECT 1 FROM credentials WHERE tenant = $1 AND id = $2 AND kind = $3 AND principal = $4

-- name: credential_delete
DELETE FROM credentials WHERE id = $1 RETURNING tenant

-- ── documents ──────────────────────────────────────────────────────────────

-- part: document_columns
d.kind, d.id, d.data, d.sealed, d.key, d.expires, d.created, d.changed, d.revision

-- name: document
SELECT {document_columns} FROM documents d WHERE d.tenant = $1 AND d.kind = $2 AND d.id = $3

-- name: document_list
SELECT {document_columns} FROM documents d
WHERE d.tenant = $1 AND d.kind = $2 AND d.id >= $3 AND d.id < $4 ORDER BY d.id LIMIT $5

-- name: document_walk
SELECT {document_columns} FROM documents d
WHERE d.tenant = $1 AND d.sealed IS NOT NULL AND (d.kind, d.id) > ($2, $3) AND d.key <> $4
ORDER BY d.kind, d.id LIMIT $5

-- name: document_create
-- One that had expired is replaced.
INSERT INTO documents (tenant, kind, id, data, sealed, key, expires, created, changed, revision)
SELECT o.tenant, $2::bytea, $3::bytea, $4::bytea, $5::bytea, $6::int8, $7::int8, $8::int8, $9::int8, $10::int8
FROM owners o WHERE o.tenant = $1
ON CONFLICT (tenant, kind, id) DO UPDATE SET data = excluded.data, sealed = excluded.sealed, key = excluded.key,
	expires = excluded.expires, created = excluded.created, changed = excluded.changed, revision = excluded.revision
WHERE documents.expires IS NOT NULL AND documents.expires <= excluded.created

-- name: document_update
UPDATE documents SET data = $4, sealed = $5, key = $6, expires = $7, created = $8, changed = $9,
	revision = revision + 1
WHERE tenant = $1 AND kind = $2 AND id = $3 AND revision = $10

-- name: document_exists
SELECT 1 FROM documents WHERE tenant = $1 AND kind = $2 AND id = $3

-- name: document_delete
DELETE FROM documents WHERE tenant = $1 AND kind = $2 AND id = $3

-- name: document_expire
-- Their expiry is looked at again, in case they were replaced meanwhile.
DELETE FROM documents WHERE expires IS NOT NULL AND expires <= $1 AND (tenant, kind, id) IN (
	SELECT d.tenant, d.kind, d.id FROM documents d
	WHERE d.expires IS NOT NULL AND d.expires <= $1 ORDER BY d.expires LIMIT $2)

-- ── audit log ──────────────────────────────────────────────────────────────

-- name: batch_add
INSERT INTO audit_pending (node, batch, records) VALUES ($1, $2, $3)

-- name: batch_forbid
-- Waits for a transaction that has added it, if there is one.
INSERT INTO audit_pending (node, batch, records) VALUES ($1, $2, '') ON CONFLICT (node, batch) DO NOTHING

-- name: batch_forbidden
SELECT 1 FROM audit_pending WHERE node = $1 AND batch = $2 AND records = ''

-- name: batch_placed
SELECT 1 FROM audit_batches WHERE node = $1 AND batch = $2

-- name: batch_forget
-- What was forbidden long ago: nobody is left who could commit it.
DELETE FROM audit_pending WHERE batch < $1 AND records = ''

-- name: pending_node
-- The next node that has batches waiting: there are few, and no index is in the
-- order of all their batches, since every commit would add to its end.
SELECT node FROM audit_pending WHERE node > $1 ORDER BY node LIMIT 1

-- name: batch_pending
SELECT node, batch, records FROM audit_pending
WHERE node = $1 AND batch > $2 AND records <> '' ORDER BY batch LIMIT $3

-- name: batch_range
SELECT first, node, batch, places, records FROM audit_batches
WHERE first >= coalesce((SELECT max(first) FROM audit_batches WHERE first <= $1), 0) AND first < $2
ORDER BY first

-- name: batch_of_leaf
SELECT first, node, batch, places, records FROM audit_batches
WHERE first <= $1 ORDER BY first DESC LIMIT 1

-- name: batch_replace
UPDATE audit_batches SET records = $2 WHERE first = $1 AND records = $3

-- name: batch_begins
SELECT first FROM audit_batches WHERE first = $1 OR first = $2 ORDER BY first

-- name: batch_drop
DELETE FROM audit_batches WHERE first >= $1 AND first < $2

-- name: place
INSERT INTO audit_batches (first, node, batch, places, records)
SELECT r.first, p.node, p.batch, r.places, p.records
FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::bytea[]) AS r (first, node, batch, places)
JOIN audit_pending p ON p.node = r.node AND p.batch = r.batch

-- name: place_clear
DELETE FROM audit_pending WHERE (node, batch) IN (
	SELECT r.node, r.batch FROM unnest($1::int8[], $2::int8[]) AS r (node, batch))

-- name: run_add
INSERT INTO audit_runs (tenant, first, count, last, hash, indices)
SELECT r.tenant, r.first, r.count, r.last, r.hash, r.indices
FROM unnest($1::text[], $2::int8[], $3::int8[], $4::int8[], $5::bytea[], $6::bytea[])
	AS r (tenant, first, count, last, hash, indices)

-- name: run_last
SELECT w.tenant, r.first + r.count - 1, r.last, r.hash
FROM unnest($1::text[]) AS w (tenant)
CROSS JOIN LATERAL (
	SELECT a.first, a.count, a.last, a.hash FROM audit_runs a
	WHERE a.tenant = w.tenant ORDER BY a.first DESC LIMIT 1) AS r

-- name: run_list
SELECT first, count, indices FROM audit_runs
WHERE tenant = $1
	AND first >= coalesce((SELECT max(first) FROM audit_runs WHERE tenant = $1 AND first <= $2), 0)
	AND first + count > $2
ORDER BY first LIMIT $3

-- name: tiles
SELECT t.level, t.number, t.data
FROM unnest($1::int8[], $2::int8[]) AS w (level, number)
JOIN audit_tiles t ON t.level = w.level AND t.number = w.number

-- name: tile_put
INSERT INTO audit_tiles (level, number, data)
SELECT r.level, r.number, r.data FROM unnest($1::int8[], $2::int8[], $3::bytea[]) AS r (level, number, data)
ON CONFLICT (level, number) DO UPDATE SET data = excluded.data

-- name: tree
SELECT size, root FROM audit_tree WHERE one = 1

-- name: tree_move
UPDATE audit_tree SET size = $3, root = $4 WHERE one = 1 AND size = $1 AND root = $2

-- name: checkpoint
SELECT size, root, created, note FROM audit_checkpoints
WHERE note IS NOT NULL AND size <= $1 ORDER BY size DESC LIMIT 1

-- name: checkpoint_unsigned
SELECT size, root, created, note FROM audit_checkpoints WHERE note IS NULL ORDER BY size

-- name: checkpoint_add
INSERT INTO audit_checkpoints (size, root, created) VALUES ($1, $2, $3) ON CONFLICT (size) DO NOTHING

-- name: checkpoint_sign
UPDATE audit_checkpoints SET note = $2 WHERE size = $1 AND note IS NULL

-- name: checkpoint_exists
SELECT 1 FROM audit_checkpoints WHERE size = $1

-- ── leases ─────────────────────────────────────────────────────────────────

-- name: lease_acquire
INSERT INTO leases (name, holder, fence, expires) VALUES ($1, $2, 1, $4)
ON CONFLICT (name) DO UPDATE SET
	fence = leases.fence + CASE WHEN leases.holder = excluded.holder THEN 0 ELSE 1 END,
	holder = excluded.holder, expires = excluded.expires
WHERE leases.holder = excluded.holder OR leases.expires <= $3
RETURNING fence

-- name: lease_check
-- Nobody else can take it before the transaction ends.
SELECT 1 FROM leases WHERE name = $1 AND fence = $2 AND holder <> '' FOR SHARE

-- name: lease_release
UPDATE leases SET holder = '', expires = 0 WHERE name = $1 AND fence = $2

-- name: lease_live
SELECT name, holder, expires FROM leases WHERE holder <> '' AND expires > $1 ORDER BY name

-- ── whole stores ───────────────────────────────────────────────────────────

-- name: meta_list
SELECT key, value FROM meta

-- name: secret_rows
SELECT {secret_columns} FROM secrets s WHERE s.tenant = $1 AND s.name > $2 ORDER BY s.name LIMIT $3

-- name: version_rows
SELECT v.number, v.id, v.kind, v.algorithm, v.key, v.created, v.envelope, v.ciphertext, v.secret FROM versions v
WHERE v.tenant = $1 AND (v.secret, v.number) > ($2, $3) ORDER BY v.secret, v.number LIMIT $4

-- name: consumer_rows
SELECT c.secret, c.number, c.principal, c.day FROM consumers c
WHERE c.tenant = $1 AND (c.secret, c.number, c.principal) > ($2, $3, $4)
ORDER BY c.secret, c.number, c.principal LIMIT $5

-- name: document_rows
SELECT {document_columns} FROM documents d
WHERE d.tenant = $1 AND (d.kind, d.id) > ($2, $3) ORDER BY d.kind, d.id LIMIT $4

-- name: run_rows
SELECT first, count, indices, last, hash FROM audit_runs WHERE tenant = $1 AND first > $2 ORDER BY first LIMIT $3

-- name: tile_rows
SELECT level, number, data FROM audit_tiles WHERE (level, number) >= ($1, $2) ORDER BY level, number LIMIT $3

-- name: checkpoint_rows
SELECT size, root, created, note FROM audit_checkpoints WHERE size > $1 ORDER BY size LIMIT $2

-- name: consumer_add
INSERT INTO consumers (tenant, secret, number, principal, day)
SELECT v.tenant, v.secret, v.number, $4::bytea, $5::int8
FROM versions v WHERE v.tenant = $1 AND v.secret = $2 AND v.number = $3
ON CONFLICT DO NOTHING

-- name: batch_copy
-- Of a node that no process is: a batch's place names it.
INSERT INTO audit_batches (first, node, batch, places, records) VALUES ($1, 0, $2, $3, $4)
ON CONFLICT DO NOTHING

-- name: pending_copy
INSERT INTO audit_pending (node, batch, records) VALUES (0, $1, $2)
ON CONFLICT DO NOTHING

-- name: run_copy
INSERT INTO audit_runs (tenant, first, count, last, hash, indices) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING

-- name: tile_copy
INSERT INTO audit_tiles (level, number, data) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING

-- name: tree_set
UPDATE audit_tree SET size = $1, root = $2 WHERE one = 1 AND size = 0

-- name: checkpoint_copy
INSERT INTO audit_checkpoints (size, root, created, note) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING

-- ── figures ────────────────────────────────────────────────────────────────

-- name: size
SELECT (pg_table_size('secrets'::regclass) + pg_table_size('versions'::regclass) + pg_table_size('consumers'::regclass)
	+ pg_table_size('tenants'::regclass) + pg_table_size('credentials'::regclass) + pg_table_size('documents'::regclass)
	+ pg_table_size('audit_batches'::regclass) + pg_table_size('audit_tiles'::regclass) + pg_table_size('audit_runs'::regclass))::int8

-- Every statement of the store. The name before a statement is what Go calls it
-- by; a part is text that statements share and stands in them as {part}.
--
-- Rows are inserted one at a time by VALUES, where possible, and changed OR
-- FAIL: for a statement that could fail after it has changed several rows,
-- SQLite keeps a journal whose cost grows with all that the operation has done
-- so far. A tenant that is not there makes the column tenant NULL, which the
-- schema refuses, and Go takes for ErrAbsent.
--
-- Parameters are always ?1, ?2, … and each says in Go which one it is. Whatever
-- belongs to a tenant is reached through the tenant's id, always ?1.

-- part: tenant
(SELECT n FROM tenants WHERE id = ?1)

-- part: owner
-- The tenant's number, or 0 for the operators, who have no tenant.
(SELECT n FROM tenants WHERE id = ?1 UNION ALL SELECT 0 WHERE ?1 = zeroblob(16))

-- name: begin_view
BEGIN

-- name: begin
BEGIN IMMEDIATE

-- name: commit
COMMIT

-- name: rollback
ROLLBACK

-- name: savepoint
SAVEPOINT op

-- name: release
RELEASE op

-- name: rollback_to
ROLLBACK TO op

-- ── cells ──────────────────────────────────────────────────────────────────

-- part: zeros
free = 1, data = zeroblob(length(data))

-- name: cell_find_free
SELECT n FROM cells WHERE free = 1 AND length(data) = ?1 LIMIT 1

-- name: cell_add
INSERT INTO cells (free, data) VALUES (0, ?1)

-- name: cell_fill
-- Only ever with data of the cell's own length.
UPDATE OR FAIL cells SET free = 0, data = ?2 WHERE n = ?1 AND length(data) = length(?2)

-- name: cell_clear
UPDATE OR FAIL cells SET {zeros} WHERE n = ?1

-- name: meta
SELECT e.data FROM meta m CROSS JOIN cells e ON e.n = m.cell WHERE m.key = ?1

-- name: meta_cell
SELECT cell FROM meta WHERE key = ?1

-- name: meta_put
INSERT INTO meta (key, cell) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET cell = excluded.cell

-- name: meta_delete
DELETE FROM meta WHERE key = ?1

-- ── tenants ────────────────────────────────────────────────────────────────

-- part: tenant_columns
t.id, t.name, t.account, t.state, t.algorithm, t.key, t.created, t.revision

-- name: tenant
SELECT {tenant_columns} FROM tenants t WHERE t.id = ?1

-- name: tenant_by_name
SELECT {tenant_columns} FROM tenants t WHERE t.name = ?1

-- name: tenant_by_account
SELECT {tenant_columns} FROM tenants t WHERE t.account = ?1

-- name: tenant_list
SELECT {tenant_columns} FROM tenants t WHERE t.name > ?1 ORDER BY t.name LIMIT ?2

-- name: tenant_count
SELECT coalesce(max(n), 0) FROM tenants

-- name: tenant_create
INSERT INTO tenants (id, name, account, state, algorithm, key, created, revision)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)

-- name: tenant_update
UPDATE OR FAIL tenants SET state = ?3, algorithm = ?4, key = ?5, revision = revision + 1
WHERE id = ?1 AND revision = ?2

-- part: key_columns
k.number, (SELECT data FROM cells WHERE n = k.kek), k.kem_public,
(SELECT data FROM cells WHERE n = k.kem_seed), k.created

-- name: key
SELECT {key_columns} FROM tenant_keys k WHERE k.tenant = {tenant} AND k.number = ?2

-- name: key_list
SELECT {key_columns} FROM tenant_keys k WHERE k.tenant = {tenant} ORDER BY k.number

-- name: key_walk
SELECT {key_columns}, t.id
FROM tenants t CROSS JOIN tenant_keys k ON k.tenant = t.n
WHERE t.id >= ?1 AND (t.id > ?1 OR k.number > ?2)
ORDER BY t.id, k.number LIMIT ?3

-- name: key_cells
SELECT kek, kem_seed FROM tenant_keys WHERE tenant = {tenant} AND number = ?2

-- name: key_put
INSERT INTO tenant_keys (tenant, number, kek, kem_public, kem_seed, created)
VALUES ({tenant}, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (tenant, number) DO UPDATE SET kek = excluded.kek,
	kem_public = excluded.kem_public, kem_seed = excluded.kem_seed, created = excluded.created

-- name: key_delete
DELETE FROM tenant_keys WHERE tenant = {tenant} AND number = ?2

-- name: erase_key_cells
UPDATE OR FAIL cells SET {zeros} WHERE n IN (
	SELECT kek FROM tenant_keys WHERE tenant = {tenant}
	UNION ALL SELECT kem_seed FROM tenant_keys WHERE tenant = {tenant} AND kem_seed IS NOT NULL)

-- name: erase_credential_cells
UPDATE OR FAIL cells SET {zeros}
WHERE n IN (SELECT sealed FROM credentials WHERE tenant = {tenant} AND sealed IS NOT NULL)

-- name: erase_version_cells
UPDATE OR FAIL cells SET {zeros} WHERE n IN (SELECT cell FROM versions WHERE tenant = {tenant})

-- name: erase_document_cells
UPDATE OR FAIL cells SET {zeros}
WHERE n IN (SELECT sealed FROM documents WHERE tenant = {tenant} AND sealed IS NOT NULL)

-- name: erase_keys
DELETE FROM tenant_keys WHERE tenant = {tenant}

-- name: erase_consumers
DELETE FROM consumers WHERE tenant = {tenant}

-- name: erase_versions
DELETE FROM versions WHERE tenant = {tenant}

-- name: erase_secrets
DELETE FROM secrets WHERE tenant = {tenant}

-- name: erase_credentials
DELETE FROM credentials WHERE tenant = {tenant}

-- name: erase_principals
DELETE FROM principals WHERE tenant = {tenant}

-- name: erase_documents
DELETE FROM documents WHERE tenant = {tenant}

-- ── secrets ────────────────────────────────────────────────────────────────

-- part: secret_columns
s.id, s.name, s.current, s.previous, s.pending, s.last, s.revision, s.algorithm,
s.rotation_required, s.rotation_interval, s.created, s.changed, s.last_rotated, s.next_rotation,
s.deletion, s.description, s.labels, s.tags, s.access_policy, s.versions, s.aws, s.work_at

-- part: version_columns
v.number, v.id, v.kind, v.algorithm, v.key, v.created, v.envelope,
(SELECT data FROM cells WHERE n = v.cell),
(SELECT day FROM consumers c WHERE c.tenant = v.tenant AND c.secret = v.secret
	AND c.number = v.number AND c.principal = '')

-- part: caller_read
(SELECT day FROM consumers c WHERE c.tenant = v.tenant AND c.secret = v.secret
	AND c.number = v.number AND c.principal = ?3)

-- name: secret
SELECT {secret_columns} FROM secrets s WHERE s.tenant = {tenant} AND s.name = ?2

-- name: secret_exists
SELECT 1 FROM secrets WHERE tenant = {tenant} AND id = ?2

-- name: find
-- ?4 is the version's number, NULL for the current one.
SELECT {secret_columns}, {version_columns}, {caller_read}
FROM tenants t
CROSS JOIN secrets s ON s.tenant = t.n AND s.name = ?2
LEFT JOIN versions v ON v.tenant = s.tenant AND v.secret = s.id AND v.number = coalesce(?4, s.current)
WHERE t.id = ?1

-- name: find_by_id
SELECT {secret_columns}, {version_columns}, {caller_read}
FROM tenants t
CROSS JOIN secrets s ON s.tenant = t.n AND s.name = ?2
LEFT JOIN versions v ON v.tenant = s.tenant AND v.secret = s.id AND v.id = ?4
WHERE t.id = ?1

-- name: version
SELECT {version_columns} FROM versions v
WHERE v.tenant = {tenant} AND v.secret = ?2 AND v.number = ?3

-- name: version_cell
SELECT cell FROM versions WHERE tenant = {tenant} AND secret = ?2 AND number = ?3

-- name: version_list
SELECT {version_columns} FROM versions v
WHERE v.tenant = {tenant} AND v.secret = ?2 AND v.number > ?3 ORDER BY v.number LIMIT ?4

-- name: secret_list
SELECT {secret_columns} FROM secrets s
WHERE s.tenant = {tenant} AND s.name >= ?2 AND s.name < ?3 AND s.deletion IS NULL
ORDER BY s.name LIMIT ?4

-- name: secret_list_deleted
SELECT {secret_columns} FROM secrets s INDEXED BY secrets_deleted
WHERE s.tenant = {tenant} AND s.name >= ?2 AND s.name < ?3 AND s.deletion IS NOT NULL
ORDER BY s.name LIMIT ?4

-- name: secret_list_due
SELECT {secret_columns} FROM secrets s INDEXED BY secrets_due
WHERE s.tenant = {tenant} AND s.name >= ?2 AND s.name < ?3
	AND s.rotation_required = 1 AND s.deletion IS NULL AND s.next_rotation IS NOT NULL
	AND s.next_rotation <= ?5
ORDER BY s.name LIMIT ?4

-- name: secret_expired_anywhere
SELECT t.id, s.id, s.name
FROM secrets s INDEXED BY secrets_deleted_anywhere CROSS JOIN tenants t ON t.n = s.tenant
WHERE s.deletion IS NOT NULL AND s.deletion <= ?1
ORDER BY s.deletion LIMIT ?2

-- name: secret_work_anywhere
SELECT t.id, s.id, s.name
FROM secrets s INDEXED BY secrets_work CROSS JOIN tenants t ON t.n = s.tenant
WHERE s.work_at IS NOT NULL AND s.deletion IS NULL AND s.work_at <= ?1 AND t.state = 0
ORDER BY s.work_at LIMIT ?2

-- name: secret_work_load
SELECT count(*), min(s.next_rotation)
FROM secrets s INDEXED BY secrets_work CROSS JOIN tenants t ON t.n = s.tenant
WHERE s.work_at IS NOT NULL AND s.deletion IS NULL AND s.work_at > ?1 AND s.work_at <= ?2
	AND s.next_rotation <= ?3 AND t.state = 0

-- name: version_walk
SELECT v.secret, v.number FROM versions v
WHERE v.tenant = {tenant} AND (v.secret, v.number) > (?2, ?3) AND v.key <> ?4
ORDER BY v.secret, v.number LIMIT ?5

-- name: consumer_list
SELECT principal, number, day FROM consumers
WHERE tenant = {tenant} AND secret = ?2 AND principal <> '' ORDER BY number, principal

-- name: usage
SELECT secrets, versions, bytes FROM usage WHERE tenant = {tenant}

-- name: secret_create
INSERT INTO secrets (tenant, id, name, current, previous, pending, last, revision, algorithm,
	rotation_required, rotation_interval, created, changed, last_rotated, next_rotation,
	deletion, description, labels, tags, access_policy, versions, aws, work_at)
VALUES ({tenant}, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)

-- name: secret_update
UPDATE OR FAIL secrets SET current = ?4, previous = ?5, pending = ?6, last = ?7, revision = revision + 1,
	algorithm = ?9, rotation_required = ?10, rotation_interval = ?11, created = ?12, changed = ?13,
	last_rotated = ?14, next_rotation = ?15, deletion = ?16, description = ?17, labels = ?18,
	tags = ?19, access_policy = ?20, versions = ?21, aws = ?22, work_at = ?23
WHERE tenant = {tenant} AND name = ?3 AND id = ?2 AND revision = ?8

-- name: purge_consumers
DELETE FROM consumers WHERE tenant = {tenant} AND secret = ?2

-- name: purge_cells
UPDATE OR FAIL cells SET {zeros}
WHERE n IN (SELECT cell FROM versions WHERE tenant = {tenant} AND secret = ?2)

-- name: purge_versions
DELETE FROM versions WHERE tenant = {tenant} AND secret = ?2

-- name: purge_secret
DELETE FROM secrets WHERE tenant = {tenant} AND id = ?2

-- name: version_add
INSERT OR FAIL INTO versions (tenant, secret, number, id, kind, algorithm, key, created, cell, envelope, size)
SELECT s.tenant, s.id, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11
FROM secrets s WHERE s.tenant = {tenant} AND s.id = ?2

-- name: version_rewrap
UPDATE OR FAIL versions SET cell = ?4, envelope = ?5, algorithm = ?6, key = ?7, size = ?8
WHERE tenant = {tenant} AND secret = ?2 AND number = ?3

-- name: version_delete
DELETE FROM versions WHERE tenant = {tenant} AND secret = ?2 AND number = ?3

-- name: version_delete_consumers
DELETE FROM consumers WHERE tenant = {tenant} AND secret = ?2 AND number = ?3

-- name: touch
-- One row for all readers and one for this one, at half the price of a statement
-- each. What could fail would fail with the first.
INSERT OR FAIL INTO consumers (tenant, secret, number, principal, day)
SELECT v.tenant, v.secret, v.number, who.column1, ?5
FROM versions v CROSS JOIN (VALUES (''), (?4)) who
WHERE v.tenant = {tenant} AND v.secret = ?2 AND v.number = ?3
ON CONFLICT (tenant, secret, number, principal) DO UPDATE SET day = max(day, excluded.day)

-- name: touch_full
-- ?4 is how many rows may be there; a row comes back if there are more.
SELECT 1 FROM consumers WHERE tenant = {tenant} AND secret = ?2 AND number = ?3 LIMIT 1 OFFSET ?4

-- name: touch_trim
-- Among equal days the one just noted stays, so that it is not noted again and again.
DELETE FROM consumers WHERE tenant = {tenant} AND secret = ?2 AND number = ?3 AND principal <> ''
AND principal NOT IN (
	SELECT principal FROM consumers
	WHERE tenant = {tenant} AND secret = ?2 AND number = ?3 AND principal <> ''
	ORDER BY day DESC, principal <> ?4, principal LIMIT ?5)

-- ── principals ─────────────────────────────────────────────────────────────

-- part: principal_columns
p.name, p.kind, p.grants, p.service, p.environment, p.subject, p.created, p.disabled, p.last_used, p.last_read, p.revision

-- name: principal
SELECT {principal_columns} FROM principals p WHERE p.tenant = {owner} AND p.name = ?2

-- name: principal_by_subject
SELECT {principal_columns} FROM principals p WHERE p.tenant = {owner} AND p.subject = ?2

-- name: principal_list
SELECT {principal_columns} FROM principals p
WHERE p.tenant = {owner} AND p.name > ?2 ORDER BY p.name LIMIT ?3

-- name: principal_count
SELECT principals FROM usage WHERE tenant = {owner}

-- name: principal_create
INSERT INTO principals (tenant, name, kind, grants, service, environment, subject, created,
	disabled, last_used, last_read, revision)
VALUES ({owner}, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)

-- name: principal_update
UPDATE OR FAIL principals SET grants = ?4, service = ?5, environment = ?6, subject = ?7, created = ?8,
	disabled = ?9, last_used = ?10, last_read = ?11, revision = revision + 1
WHERE tenant = {owner} AND name = ?2 AND kind = ?3 AND revision = ?12

-- name: principal_delete
DELETE FROM principals WHERE tenant = {owner} AND name = ?2

-- ── credentials ────────────────────────────────────────────────────────────

-- part: credential_columns
c.id, c.kind, c.principal, c.hash, (SELECT data FROM cells WHERE n = c.sealed), c.key, c.grants, c.service, c.environment,
c.created, c.expires, c.revoked, c.last_used, c.mfa, c.locked, c.source, c.revision

-- part: identity
SELECT {credential_columns}, {principal_columns}, {tenant_columns}
FROM credentials c
CROSS JOIN principals p ON p.tenant = c.tenant AND p.name = c.principal
LEFT JOIN tenants t ON t.n = c.tenant

-- name: credential_by_hash
{identity} WHERE c.hash = ?1

-- name: credential_by_id
{identity} WHERE c.id = ?1

-- name: credential_list
SELECT {credential_columns} FROM credentials c
WHERE c.tenant = {owner} AND c.id > ?2 ORDER BY c.id LIMIT ?3

-- name: credential_of_principal
SELECT {credential_columns} FROM credentials c INDEXED BY credentials_by_principal
WHERE c.tenant = {owner} AND c.principal = ?2 ORDER BY c.id LIMIT ?3

-- name: credential_ended
SELECT {credential_columns} FROM credentials c INDEXED BY credentials_ended
WHERE c.tenant = {owner} AND c.ended IS NOT NULL AND c.ended <= ?2 ORDER BY c.ended LIMIT ?3

-- name: credential_count
SELECT credentials FROM usage WHERE tenant = {owner}

-- name: credential_cell
SELECT sealed FROM credentials WHERE id = ?1

-- name: credential_create
INSERT OR FAIL INTO credentials (tenant, id, kind, principal, hash, sealed, key, grants, service,
	environment, created, expires, revoked, last_used, mfa, locked, source, revision)
SELECT p.tenant, ?2, ?3, p.name, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18
FROM principals p WHERE p.tenant = {owner} AND p.name = ?4

-- name: credential_update
UPDATE OR FAIL credentials SET hash = ?5, sealed = ?6, key = ?7, grants = ?8,
	service = ?9, environment = ?10, created = ?11, expires = ?12, revoked = ?13, last_used = ?14,
	mfa = ?15, locked = ?16, source = ?17, revision = revision + 1
WHERE tenant = {owner} AND id = ?2 AND kind = ?3 AND principal = ?4 AND revision = ?18

-- name: credential_delete
DELETE FROM credentials WHERE id = ?1

-- ── documents ──────────────────────────────────────────────────────────────

-- part: document_columns
d.kind, d.id, d.data, (SELECT data FROM cells WHERE n = d.sealed), d.key, d.expires, d.created, d.changed, d.revision

-- name: document
SELECT {document_columns} FROM documents d WHERE d.tenant = {owner} AND d.kind = ?2 AND d.id = ?3

-- name: document_list
SELECT {document_columns} FROM documents d
WHERE d.tenant = {owner} AND d.kind = ?2 AND d.id >= ?3 AND d.id < ?4 ORDER BY d.id LIMIT ?5

-- name: document_walk
SELECT {document_columns} FROM documents d INDEXED BY documents_sealed
WHERE d.tenant = {owner} AND d.sealed IS NOT NULL AND (d.kind, d.id) > (?2, ?3) AND d.key <> ?4
ORDER BY d.kind, d.id LIMIT ?5

-- name: document_expired
SELECT tenant, kind, id, sealed FROM documents INDEXED BY documents_expiring
WHERE expires IS NOT NULL AND expires <= ?1 ORDER BY expires LIMIT ?2

-- name: document_cell
SELECT sealed FROM documents WHERE tenant = {owner} AND kind = ?2 AND id = ?3

-- name: document_create
INSERT INTO documents (tenant, kind, id, data, sealed, key, expires, created, changed, revision)
VALUES ({owner}, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)

-- name: document_update
UPDATE OR FAIL documents SET data = ?4, sealed = ?5, key = ?6, expires = ?7, created = ?8, changed = ?9,
	revision = revision + 1
WHERE tenant = {owner} AND kind = ?2 AND id = ?3 AND revision = ?10

-- name: document_delete
DELETE FROM documents WHERE tenant = {owner} AND kind = ?2 AND id = ?3

-- name: document_drop
-- The tenant's number, as document_expired tells it.
DELETE FROM documents WHERE tenant = ?1 AND kind = ?2 AND id = ?3

-- ── audit log ──────────────────────────────────────────────────────────────

-- name: batch_last
SELECT coalesce(max(batch), 0) FROM audit_batches

-- name: batch_add
INSERT INTO audit_batches (batch, records) VALUES (?1, ?2)

-- name: batch_pending
SELECT batch, records FROM audit_batches
WHERE batch > coalesce((SELECT batch FROM audit_places ORDER BY first DESC LIMIT 1), 0)
ORDER BY batch

-- name: batch_range
SELECT p.first, p.batch, p.places, b.records
FROM audit_places p CROSS JOIN audit_batches b ON b.batch = p.batch
WHERE p.first >= coalesce((SELECT max(first) FROM audit_places WHERE first <= ?1), 0) AND p.first < ?2
ORDER BY p.first

-- name: batch_of_leaf
SELECT p.first, p.batch, p.places, b.records
FROM audit_places p CROSS JOIN audit_batches b ON b.batch = p.batch
WHERE p.first = (SELECT max(first) FROM audit_places WHERE first <= ?1)

-- name: batch_replace
UPDATE OR FAIL audit_batches SET records = ?2 WHERE batch = ?1

-- name: place_exists
SELECT batch FROM audit_places WHERE first = ?1

-- name: batch_zero
-- Overwritten where they are: what a deletion frees is not sure to be.
UPDATE OR FAIL audit_batches SET records = zeroblob(length(records)) WHERE batch >= ?1 AND batch < ?2

-- name: batch_drop
DELETE FROM audit_batches WHERE batch >= ?1 AND batch < ?2

-- name: place_drop
DELETE FROM audit_places WHERE first >= ?1 AND first < ?2

-- name: place_last
SELECT batch FROM audit_places ORDER BY first DESC LIMIT 1

-- name: place_add
INSERT INTO audit_places (first, batch, places) VALUES (?1, ?2, ?3)

-- name: run_add
INSERT INTO audit_runs (tenant, first, count, last, hash, indices) VALUES (?1, ?2, ?3, ?4, ?5, ?6)

-- name: run_last
SELECT first + count - 1, last, hash FROM audit_runs WHERE tenant = ?1 ORDER BY first DESC LIMIT 1

-- name: run_list
SELECT first, count, indices FROM audit_runs
WHERE tenant = ?1
	AND first >= coalesce((SELECT max(first) FROM audit_runs WHERE tenant = ?1 AND first <= ?2), 0)
	AND first + count > ?2
ORDER BY first LIMIT ?3

-- name: tile
SELECT data FROM audit_tiles WHERE id = ?1

-- name: tile_put
INSERT INTO audit_tiles (id, data) VALUES (?1, ?2)
ON CONFLICT (id) DO UPDATE SET data = excluded.data

-- name: tree
SELECT size, root FROM audit_tree

-- name: tree_move
UPDATE OR FAIL audit_tree SET size = ?3, root = ?4 WHERE size = ?1 AND root = ?2

-- name: checkpoint
SELECT size, root, created, note FROM audit_checkpoints
WHERE note IS NOT NULL AND size <= ?1 ORDER BY size DESC LIMIT 1

-- name: checkpoint_unsigned
SELECT size, root, created, note FROM audit_checkpoints WHERE note IS NULL ORDER BY size

-- name: checkpoint_add
INSERT INTO audit_checkpoints (size, root, created) VALUES (?1, ?2, ?3)

-- name: checkpoint_sign
UPDATE OR FAIL audit_checkpoints SET note = ?2 WHERE size = ?1 AND note IS NULL

-- name: checkpoint_exists
SELECT 1 FROM audit_checkpoints WHERE size = ?1

-- ── leases ─────────────────────────────────────────────────────────────────

-- name: lease_acquire
INSERT INTO leases (name, holder, fence, expires) VALUES (?1, ?2, 1, ?4)
ON CONFLICT (name) DO UPDATE SET fence = fence + (holder <> excluded.holder),
	holder = excluded.holder, expires = excluded.expires
WHERE holder = excluded.holder OR expires <= ?3
RETURNING fence

-- name: lease_check
SELECT 1 FROM leases WHERE name = ?1 AND fence = ?2 AND holder <> ''

-- name: lease_release
UPDATE OR FAIL leases SET holder = '', expires = 0 WHERE name = ?1 AND fence = ?2

-- name: lease_live
SELECT name, holder, expires FROM leases WHERE holder <> '' AND expires > ?1 ORDER BY name

-- ── whole stores ───────────────────────────────────────────────────────────

-- name: meta_list
SELECT m.key, e.data FROM meta m CROSS JOIN cells e ON e.n = m.cell ORDER BY m.key

-- name: secret_rows
SELECT {secret_columns} FROM secrets s WHERE s.tenant = {tenant} AND s.name > ?2 ORDER BY s.name LIMIT ?3

-- name: version_rows
SELECT v.number, v.id, v.kind, v.algorithm, v.key, v.created, v.envelope,
	(SELECT data FROM cells WHERE n = v.cell), 0, v.secret
FROM versions v
WHERE v.tenant = {tenant} AND (v.secret, v.number) > (?2, ?3) ORDER BY v.secret, v.number LIMIT ?4

-- name: consumer_rows
SELECT secret, number, principal, day FROM consumers
WHERE tenant = {tenant} AND (secret, number, principal) > (?2, ?3, ?4)
ORDER BY secret, number, principal LIMIT ?5

-- name: document_rows
SELECT {document_columns} FROM documents d
WHERE d.tenant = {owner} AND (d.kind, d.id) > (?2, ?3) ORDER BY d.kind, d.id LIMIT ?4

-- name: run_rows
SELECT first, count, indices, last, hash FROM audit_runs WHERE tenant = ?1 AND first > ?2 ORDER BY first LIMIT ?3

-- name: tile_rows
SELECT id, data FROM audit_tiles WHERE id >= ?1 ORDER BY id LIMIT ?2

-- name: checkpoint_rows
SELECT size, root, created, note FROM audit_checkpoints WHERE size > ?1 ORDER BY size LIMIT ?2

-- name: consumer_add
INSERT OR FAIL INTO consumers (tenant, secret, number, principal, day)
SELECT v.tenant, v.secret, v.number, ?4, ?5
FROM versions v WHERE v.tenant = {tenant} AND v.secret = ?2 AND v.number = ?3

-- name: tile_add
INSERT INTO audit_tiles (id, data) VALUES (?1, ?2)

-- name: tree_set
UPDATE OR FAIL audit_tree SET size = ?1, root = ?2 WHERE size = 0

-- name: checkpoint_copy
INSERT INTO audit_checkpoints (size, root, created, note) VALUES (?1, ?2, ?3, ?4)

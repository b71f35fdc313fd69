-- oldest: 2

-- Who is who: principals, to whom credentials belong; documents, the small
-- things that tenants keep; and counters of what they have stored.

-- Operators have tenant 0. Kinds are 0 for a service, 1 for a person and 2 for
-- an operator.
CREATE TABLE principals (
	tenant      INTEGER NOT NULL,
	name        TEXT    NOT NULL,
	kind        INTEGER NOT NULL,
	grants      TEXT,
	service     TEXT,
	environment TEXT,
	subject     TEXT,
	created     INTEGER,
	disabled    INTEGER,
	last_used   INTEGER NOT NULL,
	last_read   INTEGER NOT NULL,
	revision    INTEGER NOT NULL,
	PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX principals_by_subject ON principals (tenant, subject) WHERE subject IS NOT NULL;

ALTER TABLE credentials ADD COLUMN mfa INTEGER;
ALTER TABLE credentials ADD COLUMN locked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE credentials ADD COLUMN source TEXT;
ALTER TABLE credentials ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
-- When it ended or will; NULL if nothing says so.
ALTER TABLE credentials ADD COLUMN ended INTEGER
	GENERATED ALWAYS AS (min(ifnull(expires, revoked), ifnull(revoked, expires))) VIRTUAL;

CREATE INDEX credentials_by_principal ON credentials (tenant, principal, id);
CREATE INDEX credentials_ended ON credentials (tenant, ended) WHERE ended IS NOT NULL;

-- Credentials named their principals before there were rows of them.
INSERT INTO principals (tenant, name, kind, created, last_used, last_read, revision)
SELECT c.tenant, c.principal, CASE c.tenant WHEN 0 THEN 2 ELSE 0 END, c.created, c.last_used, coalesce(r.day, 0), 0
FROM (SELECT tenant, principal, min(created) AS created, max(last_used) AS last_used
	FROM credentials GROUP BY tenant, principal) c
LEFT JOIN (SELECT tenant, principal, max(day) AS day
	FROM consumers GROUP BY tenant, principal) r ON r.tenant = c.tenant AND r.principal = c.principal;

-- Those of tenant 0 are the deployment's own.
CREATE TABLE documents (
	tenant   INTEGER NOT NULL,
	kind     TEXT    NOT NULL,
	id       TEXT    NOT NULL,
	data     BLOB,
	sealed   INTEGER, -- cell
	key      INTEGER NOT NULL,
	expires  INTEGER,
	created  INTEGER,
	changed  INTEGER,
	revision INTEGER NOT NULL,
	PRIMARY KEY (tenant, kind, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX documents_expiring ON documents (expires) WHERE expires IS NOT NULL;
CREATE INDEX documents_sealed ON documents (tenant, kind, id) WHERE sealed IS NOT NULL;

-- The length of envelope and ciphertext, which a cell ends with in 4 bytes: in
-- hexadecimal they are a number of JSON5.
ALTER TABLE versions ADD COLUMN size INTEGER NOT NULL DEFAULT 0;

UPDATE versions SET size = (SELECT '0x' || hex(substr(data, -4)) ->> '$' FROM cells WHERE n = versions.cell);

-- How much each tenant has: counted as it comes and goes, since a quota is
-- looked at with every write.
CREATE TABLE usage (
	tenant      INTEGER PRIMARY KEY,
	secrets     INTEGER NOT NULL,
	versions    INTEGER NOT NULL,
	bytes       INTEGER NOT NULL,
	principals  INTEGER NOT NULL,
	credentials INTEGER NOT NULL
) STRICT;

INSERT INTO usage (tenant, secrets, versions, bytes, principals, credentials)
SELECT t.n,
	(SELECT count(*) FROM secrets WHERE tenant = t.n),
	(SELECT count(*) FROM versions WHERE tenant = t.n),
	(SELECT coalesce(sum(size), 0) FROM versions WHERE tenant = t.n),
	(SELECT count(*) FROM principals WHERE tenant = t.n),
	(SELECT count(*) FROM credentials WHERE tenant = t.n)
FROM (SELECT 0 AS n UNION ALL SELECT n FROM tenants) t;

CREATE TRIGGER usage_begin AFTER INSERT ON tenants BEGIN
	INSERT INTO usage VALUES (NEW.n, 0, 0, 0, 0, 0);
END;
CREATE TRIGGER usage_secret_add AFTER INSERT ON secrets BEGIN
	UPDATE usage SET secrets = secrets + 1 WHERE tenant = NEW.tenant;
END;
CREATE TRIGGER usage_secret_drop AFTER DELETE ON secrets BEGIN
	UPDATE usage SET secrets = secrets - 1 WHERE tenant = OLD.tenant;
END;
CREATE TRIGGER usage_version_add AFTER INSERT ON versions BEGIN
	UPDATE usage SET versions = versions + 1, bytes = bytes + NEW.size WHERE tenant = NEW.tenant;
END;
CREATE TRIGGER usage_version_drop AFTER DELETE ON versions BEGIN
	UPDATE usage SET versions = versions - 1, bytes = bytes - OLD.size WHERE tenant = OLD.tenant;
END;
CREATE TRIGGER usage_version_size AFTER UPDATE OF size ON versions BEGIN
	UPDATE usage SET bytes = bytes + NEW.size - OLD.size WHERE tenant = NEW.tenant;
END;
CREATE TRIGGER usage_principal_add AFTER INSERT ON principals BEGIN
	UPDATE usage SET principals = principals + 1 WHERE tenant = NEW.tenant;
END;
CREATE TRIGGER usage_principal_drop AFTER DELETE ON principals BEGIN
	UPDATE usage SET principals = principals - 1 WHERE tenant = OLD.tenant;
END;
CREATE TRIGGER usage_credential_add AFTER INSERT ON credentials BEGIN
	UPDATE usage SET credentials = credentials + 1 WHERE tenant = NEW.tenant;
END;
CREATE TRIGGER usage_credential_drop AFTER DELETE ON credentials BEGIN
	UPDATE usage SET credentials = credentials - 1 WHERE tenant = OLD.tenant;
END;

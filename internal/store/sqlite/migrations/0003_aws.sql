-- What the AWS protocol keeps of a secret, in JSON; NULL for nothing.
ALTER TABLE secrets ADD COLUMN aws TEXT;

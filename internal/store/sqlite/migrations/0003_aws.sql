-- oldest: 3

-- What the AWS protocol keeps of a secret, in JSON; NULL for nothing.
ALTER TABLE secrets ADD COLUMN aws TEXT;

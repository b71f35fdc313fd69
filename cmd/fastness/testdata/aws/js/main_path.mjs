// The main path of Secrets Manager through the SDK for JavaScript.
import assert from "node:assert/strict";
import {
  SecretsManagerClient, BatchGetSecretValueCommand, CreateSecretCommand, DeleteSecretCommand, DescribeSecretCommand,
  GetSecretValueCommand, PutSecretValueCommand, ResourceNotFoundException, paginateListSecrets,
} from "@aws-sdk/client-secrets-manager";

const client = new SecretsManagerClient({});
const send = (command) => client.send(command);

const made = await send(new CreateSecretCommand({ Name: "js/a", SecretString: "one" }));
await send(new PutSecretValueCommand({ SecretId: made.ARN, SecretString: "two — zwei" }));
assert.equal((await send(new GetSecretValueCommand({ SecretId: "js/a" }))).SecretString, "two — zwei");
assert.equal((await send(new GetSecretValueCommand({ SecretId: "js/a", VersionStage: "AWSPREVIOUS" }))).SecretString, "one");

await send(new CreateSecretCommand({ Name: "js/b", SecretBinary: Uint8Array.of(0, 255) }));
assert.deepEqual([...(await send(new GetSecretValueCommand({ SecretId: "js/b" }))).SecretBinary], [0, 255]);

const batch = await send(new BatchGetSecretValueCommand({ SecretIdList: ["js/a", "none"] }));
assert.equal(batch.SecretValues[0].SecretString, "two — zwei");
assert.equal(batch.Errors[0].ErrorCode, "ResourceNotFoundException");

const described = await send(new DescribeSecretCommand({ SecretId: "js/a" }));
assert.ok(described.CreatedDate instanceof Date && described.CreatedDate.getFullYear() > 2000);

const names = [];
for await (const page of paginateListSecrets({ client, pageSize: 1 }, {})) names.push(...page.SecretList.map((s) => s.Name));
assert.deepEqual(names, ["js/a", "js/b"]);

await assert.rejects(send(new GetSecretValueCommand({ SecretId: "none" })), ResourceNotFoundException);
await send(new DeleteSecretCommand({ SecretId: "js/a", ForceDeleteWithoutRecovery: true }));
await assert.rejects(send(new GetSecretValueCommand({ SecretId: "js/a" })), ResourceNotFoundException);
console.log("done");

import "server-only"; // the build fails if anything for the browser imports this
import { GetSecretValueCommand, ResourceNotFoundException, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";

// Endpoint, region and access key come from the environment: see README.md.
const client = new SecretsManagerClient({});

/** The database URL, or undefined if there is no such secret. */
export async function databaseUrl() {
  const name = process.env.DATABASE_URL_SECRET ?? "shop/database-url";
  try {
    const { SecretString } = await client.send(new GetSecretValueCommand({ SecretId: name }));
    return SecretString;
  } catch (error) {
    if (error instanceof ResourceNotFoundException) return undefined;
    throw error; // names the operation and the secret, never a value
  }
}

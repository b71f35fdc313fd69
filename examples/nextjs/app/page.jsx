import { databaseUrl } from "../lib/secrets";

// Rendered for each request: at build time there is no secret to read.
export const dynamic = "force-dynamic";

export default async function Page() {
  // What a server component renders is sent to the browser, and so is every
  // property that it hands to a client component. Only the answer leaves it.
  const present = (await databaseUrl()) !== undefined;
  return <p>The database URL is {present ? "present" : "absent"}.</p>;
}

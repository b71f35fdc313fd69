/** @type {import("next").NextConfig} */
export default {
  poweredByHeader: false,
  // Left as it is in node_modules: bundling it takes time and gains nothing.
  serverExternalPackages: ["@aws-sdk/client-secrets-manager"],
};

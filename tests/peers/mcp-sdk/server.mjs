// `mcpAuthRouter` of the MCP TypeScript SDK: its own endpoints, metadata, registration and guard.
//
// What is ours is the provider behind it, which the SDK leaves to each server: it approves by itself,
// its refresh tokens rotate, and a spent one that comes back ends its sign-in. It remembers nothing
// beyond its end. Where to read next: `tests/src/mcp_sdk.rs`, which starts it.
//
// Options: `port`, `life_seconds`.

import { createServer } from 'node:http';
import { randomBytes } from 'node:crypto';

import { InvalidGrantError, InvalidTokenError } from '@modelcontextprotocol/sdk/server/auth/errors.js';
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import {
  getOAuthProtectedResourceMetadataUrl,
  mcpAuthRouter,
} from '@modelcontextprotocol/sdk/server/auth/router.js';
import express from 'express';

import { converse, listen, options } from './control.mjs';
import { serveMcpNode } from './mcp.mjs';
import { signIn } from './walk.mjs';

const SCOPE = 'mcp';

const clients = new Map();
/// What was approved and not yet exchanged, by code.
const codes = new Map();
/// What tokens stand for, by token; all tokens of one sign-in share a `grant`.
const accesses = new Map();
const refreshes = new Map();

const fresh = () => randomBytes(24).toString('base64url');

function issue(clientId, scopes, resource, grant) {
  const life = options.life_seconds ?? 3600;
  const tokens = { access: fresh(), refresh: fresh() };
  const expiresAt = Math.floor(Date.now() / 1000) + life;
  accesses.set(tokens.access, { clientId, expiresAt, grant, resource, scopes });
  refreshes.set(tokens.refresh, { clientId, grant, resource, scopes, spent: false });
  return {
    access_token: tokens.access,
    expires_in: life,
    refresh_token: tokens.refresh,
    scope: scopes.join(' '),
    token_type: 'Bearer',
  };
}

/// What a code or a refresh token of this client stands for.
function held(map, client, value) {
  const found = map.get(value);
  if (!found || found.clientId !== client.client_id || found.grant.ended) {
    throw new InvalidGrantError('it is not known, or was ended');
  }
  return found;
}

const provider = {
  clientsStore: {
    getClient: (id) => clients.get(id),
    registerClient(client) {
      clients.set(client.client_id, client);
      return client;
    },
  },
  async authorize(client, { codeChallenge, redirectUri, resource, scopes, state }, res) {
    const code = fresh();
    codes.set(code, {
      challenge: codeChallenge,
      clientId: client.client_id,
      grant: { ended: false },
      redirectUri,
      resource,
      scopes: scopes ?? [SCOPE],
    });
    const url = new URL(redirectUri);
    url.searchParams.set('code', code);
    if (state !== undefined) url.searchParams.set('state', state);
    res.redirect(url.href);
  },
  async challengeForAuthorizationCode(client, code) {
    return held(codes, client, code).challenge;
  },
  async exchangeAuthorizationCode(client, code, _verifier, redirectUri) {
    const { grant, redirectUri: approved, resource, scopes } = held(codes, client, code);
    codes.delete(code);
    if (redirectUri !== approved) throw new InvalidGrantError('another redirect URI');
    return issue(client.client_id, scopes, resource, grant);
  },
  async exchangeRefreshToken(client, token) {
    const found = held(refreshes, client, token);
    if (found.spent) {
      found.grant.ended = true;
      throw new InvalidGrantError('it was used before');
    }
    found.spent = true;
    return issue(client.client_id, found.scopes, found.resource, found.grant);
  },
  async verifyAccessToken(token) {
    const found = accesses.get(token);
    if (!found || found.grant.ended) throw new InvalidTokenError('it is not known, or was ended');
    return { ...found, token };
  },
  async revokeToken(client, { token }) {
    const found = refreshes.get(token) ?? accesses.get(token);
    if (found?.clientId === client.client_id) found.grant.ended = true;
  },
};

const app = express();
const server = createServer(app);
const port = await listen(server, options.port);
const issuer = new URL(`http://127.0.0.1:${port}`);
const resource = new URL('/mcp', issuer);
const unlimited = { rateLimit: false };

app.use(mcpAuthRouter({
  authorizationOptions: unlimited,
  clientRegistrationOptions: unlimited,
  issuerUrl: issuer,
  provider,
  resourceServerUrl: resource,
  revocationOptions: unlimited,
  scopesSupported: [SCOPE],
  tokenOptions: unlimited,
}));
const resourceMetadataUrl = getOAuthProtectedResourceMetadataUrl(resource);
app.all('/mcp', requireBearerAuth({ resourceMetadataUrl, verifier: provider }), serveMcpNode);

const metadataUrl = new URL('/.well-known/oauth-authorization-server', issuer);

await converse({ port, server_url: resource.href }, {
  async sign_in() {
    const metadata = await (await fetch(metadataUrl)).json();
    return { ...(await signIn(metadata, resource.href, SCOPE)), issuer: metadata.issuer };
  },
  revoke({ refresh_token: token }) {
    refreshes.get(token).grant.ended = true;
  },
  forget({ client_id: id }) {
    clients.delete(id);
  },
});

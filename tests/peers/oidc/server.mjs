// `oidc-provider`, a certified authorization server, with an MCP server behind it, on loopback.
//
// Access tokens are short, refresh tokens rotate, and a spent one that comes back ends its grant:
// all by the provider's own code. What is ours is where it keeps things (a file, if it is to
// outlive a restart), that it can sign everybody in without asking, and the list of what it was asked.
// It must not reach beyond loopback. Where to read next: `tests/src/oidc.rs`, which starts it.
//
// Options: `port`, `issuer` (another origin in front of it), `store` (a file), `life_seconds`,
// `grace_ms` (for how long a spent refresh token is taken as if it were not; see `Shelf`), `asks`
// (it shows its own pages of login and consent, and signs nobody in who does not go through them).

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';

import Provider from 'oidc-provider';

import { converse, listen, options } from './control.mjs';
import { bearer, challenge, serveMcpNode } from './mcp.mjs';
import { follow, signIn } from './walk.mjs';

const SCOPE = 'mcp';
const ACCOUNT = 'lamp';

/// Everything the provider remembers, by `Model:id`.
const kept = new Map(
  options.store && existsSync(options.store) ? JSON.parse(readFileSync(options.store)) : [],
);

function keep() {
  if (!options.store) return;
  writeFileSync(`${options.store}.new`, JSON.stringify([...kept]));
  renameSync(`${options.store}.new`, options.store);
}

/// Where the provider keeps one kind of thing.
///
/// With a grace, a token that was spent a moment ago is handed out as unspent, so that whoever did
/// not get the answer may ask again; the moment is that of the first use.
class Shelf {
  constructor(model) {
    this.model = model;
  }

  key(id) {
    return `${this.model}:${id}`;
  }

  async upsert(id, payload) {
    kept.set(this.key(id), payload);
    keep();
  }

  async find(id) {
    const payload = kept.get(this.key(id));
    if (!payload?.spent_at_ms) return payload;
    const { spent_at_ms: at, ...rest } = payload;
    if (Date.now() - at < (options.grace_ms ?? 0)) delete rest.consumed;
    return rest;
  }

  async findByUid(uid) {
    return this.first((payload) => payload.uid === uid);
  }

  async findByUserCode(code) {
    return this.first((payload) => payload.userCode === code);
  }

  first(fits) {
    for (const [key, payload] of kept) {
      if (key.startsWith(`${this.model}:`) && fits(payload)) return payload;
    }
    return undefined;
  }

  async consume(id) {
    const payload = kept.get(this.key(id));
    payload.consumed ??= Math.floor(Date.now() / 1000);
    payload.spent_at_ms ??= Date.now();
    keep();
  }

  async destroy(id) {
    kept.delete(this.key(id));
    keep();
  }

  async revokeByGrantId(grant) {
    for (const [key, payload] of kept) {
      if (payload.grantId === grant) kept.delete(key);
    }
    keep();
  }
}

const server = createServer();
const port = await listen(server, options.port);
const issuer = options.issuer ?? `http://127.0.0.1:${port}`;
const resource = `${issuer}/mcp`;

// The account is there and has consented to all that a client asks for, with a grant of its own
// each time.
function withoutAsking() {
  return {
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    async loadExistingGrant({ oidc }) {
      const grant = new oidc.provider.Grant({
        accountId: oidc.session.accountId,
        clientId: oidc.client.clientId,
      });
      grant.addOIDCScope('openid offline_access');
      grant.addResourceScope(resource, SCOPE);
      await grant.save();
      return grant;
    },
  };
}

const provider = new Provider(issuer, {
  adapter: Shelf,
  clientDefaults: { grant_types: ['authorization_code'], token_endpoint_auth_method: 'none' },
  cookies: { keys: ['on loopback, for a test'] },
  expiresWithSession: () => false,
  features: {
    devInteractions: { enabled: options.asks === true },
    introspection: { enabled: true, allowedPolicy: () => true },
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      getResourceServerInfo: () => ({
        accessTokenFormat: 'opaque',
        accessTokenTTL: options.life_seconds ?? 3600,
        audience: resource,
        scope: SCOPE,
      }),
      useGrantedResource: () => true,
    },
    revocation: { enabled: true },
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
  ...(options.asks ? {} : withoutAsking()),
  pkce: { required: () => true },
  rotateRefreshToken: true,
});

// What was asked of the token endpoint with refresh tokens, oldest first.
const log = [];
const isSpent = ([key, payload]) => key.startsWith('RefreshToken:') && payload.consumed;
const spent = new Set([...kept].filter(isSpent).map(([key]) => key.slice('RefreshToken:'.length)));

provider.on('grant.error', (ctx, error) => {
  ctx.state.why = [error.error, error.error_detail].filter(Boolean).join(': ');
});
provider.use(async (ctx, next) => {
  await next();
  const { client_id: client, grant_type: type, refresh_token: token } = ctx.oidc?.params ?? {};
  if (type !== 'refresh_token') return;
  log.push({
    agent: ctx.get('user-agent'),
    client,
    outcome: ctx.state.why ?? 'issued',
    reuse: spent.has(token),
    token: createHash('sha256').update(String(token)).digest('hex').slice(0, 12),
  });
  if (ctx.status === 200) spent.add(token);
});

const callback = provider.callback();

server.on('request', async (req, res) => {
  const { pathname } = new URL(req.url, issuer);
  if (pathname === '/mcp') {
    const token = bearer(req.headers.authorization);
    const found = token && (await provider.AccessToken.find(token));
    if (found?.isValid && found.aud === resource) return serveMcpNode(req, res);
    return challenge(res, issuer, token !== undefined);
  }
  if (pathname === '/.well-known/oauth-protected-resource/mcp') {
    res.writeHead(200, { 'content-type': 'application/json' });
    return res.end(JSON.stringify({
      authorization_servers: [issuer],
      resource,
      scopes_supported: [SCOPE],
    }));
  }
  if (pathname.startsWith('/interaction/') && !options.asks) {
    return provider.interactionFinished(req, res, { consent: {}, login: { accountId: ACCOUNT } });
  }
  return callback(req, res);
});

async function revoke(grant) {
  await provider.Grant.adapter.destroy(grant);
  await provider.Grant.adapter.revokeByGrantId(grant);
}

await converse({ issuer, port, server_url: resource }, {
  // Here, or at a server that has this one behind it.
  async sign_in({ at = issuer }) {
    const metadata = await (await fetch(`${at}/.well-known/oauth-authorization-server`)).json();
    return { ...(await signIn(metadata, `${at}/mcp`, SCOPE)), issuer: metadata.issuer };
  },
  // As a person with a browser: from the first page to the redirect that leads back to the client.
  async walk({ cancels, until, url }) {
    const pages = [];
    const callback = await follow(new URL(url), { cancels, pages, until });
    return { callback: callback.href, pages };
  },
  async revoke({ refresh_token: token }) {
    const found = await provider.RefreshToken.find(token);
    await revoke(found.grantId);
  },
  async revoke_all() {
    const grants = [...kept.keys()].filter((key) => key.startsWith('Grant:'));
    await Promise.all(grants.map((key) => revoke(key.slice('Grant:'.length))));
  },
  async forget({ client_id: client }) {
    await provider.Client.adapter.destroy(client);
  },
  async is_live({ access_token: access, refresh_token: refresh }) {
    const found = [await provider.AccessToken.find(access), await provider.RefreshToken.find(refresh)];
    return found.every((token) => token?.isValid === true);
  },
  log: () => log,
});

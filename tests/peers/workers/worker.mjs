// The Worker: `@cloudflare/workers-oauth-provider` in front of an MCP server, approving by itself.
//
// It runs inside workerd. It must not reach beyond it. Where to read next: `server.mjs`.

import { AuthorizationError, OAuthProvider } from '@cloudflare/workers-oauth-provider';

import { serveMcp } from './mcp.mjs';

const USER = 'lamp';

async function authorize(request, helpers) {
  let asked;
  try {
    asked = await helpers.parseAuthRequest(request);
  } catch (error) {
    if (!(error instanceof AuthorizationError)) throw error;
    return new Response(error.description, { status: 400 });
  }
  const { redirectTo } = await helpers.completeAuthorization({
    metadata: {},
    props: {},
    request: asked,
    scope: asked.scope,
    userId: USER,
  });
  return Response.redirect(redirectTo, 302);
}

// What only the test asks, on a path that no client knows.
async function told({ client_id: client, do: what }, helpers) {
  if (what === 'forget') return helpers.deleteClient(client);
  const { items } = await helpers.listUserGrants(USER);
  const grants = items.filter((grant) => grant.clientId === client);
  return Promise.all(grants.map((grant) => helpers.revokeGrant(grant.id, USER)));
}

export default {
  fetch(request, env, context) {
    const provider = new OAuthProvider({
      accessTokenTTL: env.LIFE_SECONDS,
      apiHandler: { fetch: serveMcp },
      apiRoute: '/mcp',
      authorizeEndpoint: '/authorize',
      clientRegistrationEndpoint: '/register',
      defaultHandler: {
        async fetch(asked, { OAUTH_PROVIDER: helpers }) {
          const { pathname } = new URL(asked.url);
          if (pathname === '/authorize') return authorize(asked, helpers);
          if (pathname === '/told') return Response.json((await told(await asked.json(), helpers)) ?? null);
          return new Response('Not found', { status: 404 });
        },
      },
      resourceMetadata: { resource: new URL('/mcp', request.url).href, scopes_supported: ['mcp'] },
      scopesSupported: ['mcp'],
      tokenEndpoint: '/token',
    });
    return provider.fetch(request, env, context);
  },
};

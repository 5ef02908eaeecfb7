// A sign-in without a browser: what an MCP client does, and what a person does on the way.
//
// It must use public endpoints only, so that a grant made here is one that anybody would get.
// Where to read next: the MCP specification, "Authorization".

import { createHash, randomBytes } from 'node:crypto';

const REDIRECT = 'http://localhost:3118/callback';

/// Registers a client, authorizes it and exchanges the code; all that a client would store.
export async function signIn(metadata, resource, scope) {
  const client = await post(metadata.registration_endpoint, 'application/json', JSON.stringify({
    application_type: 'native',
    client_name: 'A client of a test',
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: [REDIRECT],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  }));
  const verifier = randomBytes(32).toString('base64url');
  const state = randomBytes(16).toString('base64url');
  const url = new URL(metadata.authorization_endpoint);
  url.search = new URLSearchParams({
    client_id: client.client_id,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    redirect_uri: REDIRECT,
    resource,
    response_type: 'code',
    scope,
    state,
  });
  const callback = await follow(url, { until: REDIRECT });
  if (callback.searchParams.get('state') !== state) throw new Error(`another state: ${callback}`);
  const tokens = await post(
    metadata.token_endpoint,
    'application/x-www-form-urlencoded',
    new URLSearchParams({
      client_id: client.client_id,
      code: callback.searchParams.get('code'),
      code_verifier: verifier,
      grant_type: 'authorization_code',
      redirect_uri: REDIRECT,
      resource,
    }).toString(),
  );
  return {
    access_token: tokens.access_token,
    client_id: client.client_id,
    expires_at_ms: Date.now() + tokens.expires_in * 1000,
    redirect_uri: REDIRECT,
    refresh_token: tokens.refresh_token,
    scope: tokens.scope ?? scope,
  };
}

/// Follows redirects with cookies and agrees to every form, as a person with a browser does, up to
/// the redirect whose address begins with `until`. The headings of the pages go into `pages`; who
/// `cancels` does so where consent is asked for.
export async function follow(url, { cancels = false, pages = [], until }) {
  const cookies = new Map();
  let form;
  for (let hop = 0; hop < 20; hop += 1) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const method = form ? 'POST' : 'GET';
    const headers = { cookie, ...(form && { origin: url.origin }) };
    const response = await fetch(url, { body: form, headers, method, redirect: 'manual' });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      cookies.set(name, value);
    }
    const location = response.headers.get('location');
    if (location) {
      url = new URL(location, url);
      form = undefined;
      if (url.href.startsWith(until)) return url;
      continue;
    }
    const page = await response.text();
    pages.push(/<h1>([^<]*)/.exec(page)?.[1] ?? '');
    const way = /href="([^"]*\/abort)"/.exec(page)?.[1];
    form = cancels && pages.at(-1) === 'Authorize' ? undefined : agreement(page);
    if (form) continue;
    if (!cancels || !way) throw new Error(`${response.status} at ${url.pathname}`);
    url = new URL(way, url);
  }
  throw new Error('too many redirects');
}

/// What a page's form sends when it is filled in and its first button is pressed; nothing where there
/// is no form.
function agreement(page) {
  if (!page.includes('<form')) return undefined;
  const fields = new URLSearchParams();
  const attribute = (tag, name) => new RegExp(` ${name}="([^"]*)"`).exec(tag)?.[1] ?? '';
  for (const [tag] of page.matchAll(/<input[^>]*>/g)) {
    const typed = / required[ >]/.test(tag) ? 'lamp' : '';
    fields.set(attribute(tag, 'name'), attribute(tag, 'value') || typed);
  }
  const [button] = /<button[^>]*>/.exec(page) ?? [''];
  fields.set(attribute(button, 'name'), attribute(button, 'value'));
  return fields;
}

async function post(url, type, body) {
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': type }, body });
  if (!response.ok) throw new Error(`${response.status} at ${url}: ${await response.text()}`);
  return response.json();
}

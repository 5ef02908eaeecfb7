// `@cloudflare/workers-oauth-provider` in workerd, on loopback: the code that large services run.
//
// The refresh token before the newest stays good until the newest is used. It remembers nothing
// beyond its end. Where to read next: `worker.mjs`, `tests/src/workers.rs`.
//
// Options: `port`, `life_seconds`.

import { build } from 'esbuild';
import { Miniflare } from 'miniflare';

import { converse, options } from './control.mjs';
import { signIn } from './walk.mjs';

const { outputFiles: [bundle] } = await build({
  bundle: true,
  entryPoints: ['worker.mjs'],
  external: ['cloudflare:*'],
  format: 'esm',
  write: false,
});
const miniflare = new Miniflare({
  bindings: { LIFE_SECONDS: options.life_seconds ?? 3600 },
  // Neither a picture of the caller's place nor anything else is fetched.
  cf: false,
  compatibilityDate: '2026-07-01',
  host: '127.0.0.1',
  kvNamespaces: ['OAUTH_KV'],
  modules: true,
  port: options.port ?? 0,
  script: bundle.text,
});
const { origin, port } = await miniflare.ready;
const resource = `${origin}/mcp`;

async function told(asked) {
  const response = await fetch(`${origin}/told`, { body: JSON.stringify(asked), method: 'POST' });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
}

await converse({ port: Number(port), server_url: resource }, {
  // Here, or at what stands in front: it calls itself by the name that it is asked at.
  async sign_in({ at = origin }) {
    const metadata = await (await fetch(`${at}/.well-known/oauth-authorization-server`)).json();
    return { ...(await signIn(metadata, `${at}/mcp`, 'mcp')), issuer: metadata.issuer };
  },
  revoke: told,
  forget: told,
});

// The MCP server that every peer protects: Streamable HTTP without sessions, one tool.
//
// It must not know anything about tokens: whoever calls it has let the request in.
// Where to read next: the MCP specification, "Transports".

const VERSIONS = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25'];

const ECHO = {
  name: 'echo',
  description: 'Gives back the text it is given.',
  inputSchema: { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] },
};

const METHODS = {
  initialize: ({ protocolVersion }) => ({
    protocolVersion: VERSIONS.includes(protocolVersion) ? protocolVersion : VERSIONS.at(-1),
    capabilities: { tools: {} },
    serverInfo: { name: 'peer', version: '1' },
  }),
  ping: () => ({}),
  'tools/list': () => ({ tools: [ECHO] }),
  'tools/call': (params) => ({ content: [{ type: 'text', text: String(params.arguments?.text) }] }),
};

/// The answer to one message; `null` where none is wanted.
function answer({ id, method, params }) {
  if (id === undefined || method === undefined) return null;
  const run = Object.hasOwn(METHODS, method) ? METHODS[method] : null;
  if (!run) return { jsonrpc: '2.0', id, error: { code: -32601, message: 'Method not found' } };
  return { jsonrpc: '2.0', id, result: run(params ?? {}) };
}

/// Answers a request that carries a good token, in the terms of the Fetch standard.
export async function serveMcp(request) {
  if (request.method !== 'POST') return new Response(null, { status: 405, headers: { allow: 'POST' } });
  const reply = answer(await request.json());
  return reply ? Response.json(reply) : new Response(null, { status: 202 });
}

/// The same for a request of `node:http`.
export async function serveMcpNode(req, res) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const body = req.method === 'POST' ? Buffer.concat(chunks) : undefined;
  const response = await serveMcp(new Request('http://127.0.0.1/mcp', { method: req.method, body }));
  res.writeHead(response.status, Object.fromEntries(response.headers));
  res.end(Buffer.from(await response.arrayBuffer()));
}

/// Refuses a request of `node:http` as RFC 6750 and RFC 9728 want it.
export function challenge(res, origin, hadToken) {
  const why = hadToken ? 'error="invalid_token", ' : '';
  const metadata = `resource_metadata="${origin}/.well-known/oauth-protected-resource/mcp"`;
  res.writeHead(401, { 'www-authenticate': `Bearer ${why}${metadata}` }).end();
}

/// The token of an `Authorization` header, if there is one.
export function bearer(header) {
  return /^Bearer (\S+)$/i.exec(header ?? '')?.[1];
}

// Serves ui/ and dev/ on loopback under the policy that the shell sets, and nothing else.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** What is served: the page as it is shipped, and its fixtures beside it. */
const SERVED = ["ui", "tests/page/dev"].map((folder) => join(ROOT, folder, sep));
const SHELL = new URL("../../src-tauri/tauri.conf.json", import.meta.url);
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };

/** @returns {Promise<{ origin: string, close: () => void }>} */
export async function serve() {
  const policy = JSON.parse(await readFile(SHELL, "utf8")).app.security.csp;
  const server = createServer(async (request, response) => {
    const path = normalize(join(ROOT, decodeURIComponent(new URL(request.url, "http://ui").pathname)));
    const type = TYPES[extname(path)];
    if (!SERVED.some((folder) => path.startsWith(folder)) || !type) {
      response.writeHead(path.endsWith("favicon.ico") ? 204 : 404).end();
      return;
    }
    try {
      const body = await readFile(path);
      response.writeHead(200, { "content-type": `${type}; charset=utf-8`, "content-security-policy": policy, "cache-control": "max-age=3600" }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.closeAllConnections() || server.close() };
}

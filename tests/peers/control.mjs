// How a test talks with a server it started: one JSON document a line, an answer for each, in order.
//
// The first line on standard output says where the server is. It ends with its standard input, so
// that none outlives its test. It must print nothing else there. Where to read next: `tests/src/script.rs`.

import { createInterface } from 'node:readline';

// What packages have to say must not get in between.
console.log = console.error;
console.info = console.error;

/// The one argument of the script: its options.
export const options = JSON.parse(process.argv[2] ?? '{}');

/// Says `ready`, then does what is asked until the input ends. `commands` are by name, and may fail.
export async function converse(ready, commands) {
  const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
  say(ready);
  for await (const line of createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    try {
      say({ ok: (await commands[asked.do](asked)) ?? null });
    } catch (error) {
      say({ error: `${asked.do}: ${error.stack ?? error}` });
    }
  }
  process.exit(0);
}

/// Listens on loopback, on this port or a free one; the port.
export async function listen(server, port) {
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port ?? 0, '127.0.0.1', resolve);
  });
  return server.address().port;
}

// The page's tests: types, units, then every state in a real browser.
//
//   node tests/page/run.mjs [--pictures DIR] [--only WORD]
//
// Needs `npm ci` in this folder and a Chromium (Debian: `apt-get install chromium`); downloads
// nothing. Ends with a line `N passed, N failed`. Read next: checks/.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = fileURLToPath(new URL(".", import.meta.url));
const { values: asked } = parseArgs({ options: { pictures: { type: "string" }, only: { type: "string" } } });

let passed = 0;
let failed = 0;

/**
 * Runs one check; its name is a sentence.
 * @param {string} name
 * @param {() => Promise<void> | void} body
 */
async function check(name, body) {
  if (asked.only && !name.includes(asked.only)) {
    return;
  }
  try {
    await body();
    passed += 1;
  } catch (error) {
    failed += 1;
    console.log(`failed: ${name}\n${String(error instanceof Error ? error.message : error).replace(/^/gm, "    ")}`);
  }
}

/** Runs Node on something, and fails with what it printed. @param {string[]} args */
function must(args) {
  const ran = spawnSync(process.execPath, args, { cwd: here, encoding: "utf8" });
  if (ran.status !== 0) {
    throw new Error(`${ran.stdout}${ran.stderr}`);
  }
}

function finish() {
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 && passed > 0 ? 0 : 1);
}

if (!existsSync(join(here, "node_modules/typescript"))) {
  console.log("tests/page needs its packages first: npm ci --prefix tests/page");
  failed += 1;
  finish();
}

await check("types: the page agrees with the shell's types", () => must(["node_modules/typescript/bin/tsc", "-p", "."]));
for (const file of readdirSync(join(here, "unit")).filter((name) => name.endsWith(".test.mjs"))) {
  await check(`unit: ${file}`, () => must(["--test", join("unit", file)]));
}

const { chromium, launch } = await import("./browser.mjs");
const { serve } = await import("./server.mjs");
const path = chromium();
if (!path) {
  console.log("no Chromium was found: apt-get install chromium, or name one by CHROMIUM");
  failed += 1;
  finish();
}
if (asked.pictures) {
  mkdirSync(asked.pictures, { recursive: true });
}
const server = await serve();
const window = await launch(/** @type {string} */ (path), server.origin);
try {
  await window.begin();
  for (const part of ["states", "acts", "keyboard", "pushes", "edges"]) {
    const { checks } = await import(`./checks/${part}.mjs`);
    await checks({ check: (name, body) => check(`${part}: ${name}`, body), window, pictures: asked.pictures });
  }
} finally {
  await window.end();
  server.close();
}
finish();

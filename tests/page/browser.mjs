// A headless Chromium of the system's, with a home of its own, and one page in it.

import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

import puppeteer from "puppeteer-core";

/** As the tray opens it. */
export const SIZE = { width: 400, height: 600 };

/** What each theme asks the page for. */
export const THEMES = {
  light: { "prefers-color-scheme": "light" },
  dark: { "prefers-color-scheme": "dark" },
  contrast: { "prefers-color-scheme": "light", "prefers-contrast": "more" },
  "contrast-dark": { "prefers-color-scheme": "dark", "prefers-contrast": "more" },
  forced: { "prefers-color-scheme": "light", "forced-colors": "active" },
  "forced-dark": { "prefers-color-scheme": "dark", "forced-colors": "active" },
};

/** The path of a Chromium, or nothing. */
export function chromium() {
  const places = (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, "chromium"));
  return [process.env.CHROMIUM, ...places].find((path) => path && existsSync(path));
}

/** @param {string} executablePath @param {string} origin */
export async function launch(executablePath, origin) {
  const home = await mkdtemp(join(tmpdir(), "lamplighter-page-"));
  const browser = await puppeteer.launch({
    executablePath,
    userDataDir: home,
    env: { ...process.env, HOME: home, TZ: "UTC" },
    // Chromium's own sandbox can't be had as root.
    args: ["--hide-scrollbars", ...(process.getuid?.() === 0 ? ["--no-sandbox"] : [])],
  });
  await browser.defaultBrowserContext().overridePermissions(origin, ["clipboard-read", "clipboard-sanitized-write"]);
  const axe = await readFile(fileURLToPath(import.meta.resolve("axe-core/axe.min.js")), "utf8");
  return new Window(browser, await browser.newPage(), origin, axe, home);
}

/** The page under test, and what it complained about. */
export class Window {
  /** @type {string[]} */
  complaints = [];

  constructor(browser, page, origin, axe, home) {
    Object.assign(this, { browser, page, origin, axe, home });
    page.on("console", (message) => {
      if (["error", "warn", "warning"].includes(message.type())) {
        this.complaints.push(message.text());
      }
    });
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    page.on("requestfailed", (request) => this.complaints.push(`not loaded: ${request.url()}`));
    page.on("request", (request) => {
      if (!request.url().startsWith(origin)) {
        this.complaints.push(`asked another origin: ${request.url()}`);
      }
    });
  }

  async begin() {
    this.devtools = await this.page.createCDPSession();
    const userAgent = await this.browser.userAgent();
    await this.devtools.send("Emulation.setUserAgentOverride", { userAgent, acceptLanguage: "en-GB" });
    await this.page.evaluateOnNewDocument(() => {
      window.violations = [];
      addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
    });
  }

  async end() {
    await this.browser.close();
    await rm(this.home, { recursive: true, force: true });
  }

  /** Opens a state in a theme. @param {string} state @param {keyof typeof THEMES} [theme] */
  async open(state, theme = "light", { size = SIZE, scale = 1, reduced = false } = {}) {
    const features = Object.entries(THEMES[theme]).map(([name, value]) => ({ name, value }));
    if (reduced) {
      features.push({ name: "prefers-reduced-motion", value: "reduce" });
    }
    await this.devtools.send("Emulation.setEmulatedMedia", { features });
    await this.page.setViewport({ ...size, deviceScaleFactor: scale });
    this.complaints.length = 0;
    // A number of its own, since another fragment alone would not load the page again.
    this.opened = (this.opened ?? 0) + 1;
    await this.page.goto(`${this.origin}/tests/page/dev/index.html?state=${state}&opened=${this.opened}`, { waitUntil: "load" });
    await this.page.waitForFunction(() => document.querySelector("lamp-page main") && (window.dev.view === null || document.documentElement.dataset.state === "shown"));
  }

  /** Turns to a page of the three. @param {string} name */
  async turn(name) {
    await this.page.click(`nav [data-page=${name}]`);
  }

  /** Opens every row, and both hosts wherever they can be looked at. */
  async openRows() {
    await this.page.evaluate(() => {
      for (const toggle of document.querySelectorAll('.toggle[aria-expanded="false"]')) {
        toggle.click();
      }
      for (const review of document.querySelectorAll('[data-button="review"]')) {
        review.click();
      }
    });
  }

  /** Everything that is wrong with what is shown now, one line each. */
  async faults() {
    if (!(await this.page.evaluate(() => "axe" in window))) {
      await this.page.evaluate(this.axe);
    }
    const found = await this.page.evaluate(async () => {
      const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
      const told = violations.flatMap(({ id, nodes }) =>
        nodes.map((node) => `axe ${id}: ${node.target.join(" ")} ${node.any[0]?.message ?? ""}`),
      );
      const wide = [document.documentElement, document.querySelector("main")].filter((part) => part.scrollWidth > part.clientWidth);
      const styled = document.querySelectorAll("[style], style, script:not([src])");
      return [
        ...told,
        ...window.violations.map((directive) => `policy violated: ${directive}`),
        ...wide.map((part) => `${part.localName} scrolls sideways: ${part.scrollWidth} > ${part.clientWidth}`),
        ...Array.from(styled, (element) => `inline style or script: ${element.localName}`),
      ];
    });
    return [...found, ...this.complaints];
  }

  /** What was sent since the last time this was asked. */
  async sent() {
    return this.page.evaluate(async () => {
      // An act is sent within the click's own task; its answer takes a few more.
      await new Promise((after) => setTimeout(after));
      return window.dev.acts.splice(0);
    });
  }

  /** Pushes the view with a change made to it in the page. */
  async push(change, ...args) {
    await this.page.evaluate(
      (source, given) => {
        const next = structuredClone(window.dev.view);
        next.seq += 1;
        // As the shell does: a view asks to turn somewhere, and the next one does not.
        next.focus = null;
        next.linked = null;
        next.turn_to_settings = false;
        new Function("view", "args", `(${source})(view, ...args)`)(next, given);
        window.dev.view = next;
        window.dev.push(next);
      },
      String(change),
      args,
    );
  }

  /** What has the focus, in words. */
  async focused() {
    return this.page.evaluate(() => {
      const element = document.activeElement;
      const row = element.closest("server-row")?.dataset.grant;
      const name = element.getAttribute("aria-label") ?? element.textContent.trim().replace(/\s+/g, " ");
      return { tag: element.localName, row: row ?? null, name, button: element.dataset.button ?? null, toggle: element.matches(".toggle") };
    });
  }
}

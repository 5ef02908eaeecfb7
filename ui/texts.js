// Every word of the page that does not come from the shell.
//
// Sentence case, no blame, the server and the client by name, what happens next. *Renew*, *check*
// and *reconnect* are what people read; OAuth's own terms stay in the code. No markup.

/** @import { Button, Health, Past, Row, Shape } from "./bindings/index.ts" */

/** @param {string} client */
const byClient = (client) => `by ${client}`;

export const texts = {
  name: "Lamplighter",
  loading: "Looking…",
  noShell: "Open this page from Lamplighter's lamp.",
  noClipboard: "The clipboard can't be reached.",
  nothingToCopy: "There is nothing to copy.",
  failed: "That didn't work.",

  /** @type {Record<Shape, string>} */
  shape: { lit: "Lit", half: "Half lit", alert: "Needs you", hollow: "Not lit" },

  length: {
    moment: "under a minute",
    now: "now",
    /** @param {string} count */
    minute: (count) => `${count}\u00a0min`,
    /** @param {string} count */
    hour: (count) => `${count}\u00a0h`,
    /** @param {string} count */
    day: (count) => `${count}\u00a0days`,
  },
  /** @param {string} day @param {string} time */
  dayAndTime: (day, time) => `${day} ${time}`,
  /** @param {string} moment @param {string} relative */
  both: (moment, relative) => `${moment}, ${relative}`,

  pages: { label: "Pages", servers: "Servers", activity: "Activity", settings: "Settings" },
  keepOpen: "Keep open",
  dismiss: "Dismiss",
  /** @param {string} length */
  next: (length) => `Next renewal in ${length}`,

  needsYou: "Needs you",
  checkAll: "Check all",
  pauseAll: "Pause all",
  resumeAll: "Resume all",
  /** @param {string} id @param {string} phrase */
  spoken: (id, phrase) => `${id}: ${phrase}`,

  /** @type {Record<Exclude<Button, "copy_update">, string>} */
  button: {
    renew: "Renew now",
    check: "Check now",
    reconnect: "Reconnect",
    sign_in: "Sign in",
    cancel: "Cancel",
    review: "Review",
    pause: "Pause",
    resume: "Resume",
    unlock: "Unlock",
    show_file: "Show file",
    sign_out: "Sign out…",
  },
  /** Where a state has a better word for a button. @type {Partial<Record<Health, Partial<Record<Button, string>>>>} */
  buttonIn: {
    retrying: { renew: "Try now" },
    retrying_ended: { renew: "Try now" },
    refused: { renew: "Renew again" },
  },
  /** @param {string} command */
  copyCommand: (command) => `Copy “${command}”`,
  copy: "Copy",
  copied: "Copied",
  /** What a button is for, for who hears it alone. @param {string} label @param {string} server */
  buttonFor: (label, server) => `${label}: ${server}`,

  life: {
    unknown: "The token's life is not known.",
    ended: "The token has ended.",
    /** @param {string} left @param {string} whole */
    left: (left, whole) => `Token: ${left} of ${whole} left.`,
    /** @param {string} at */
    renewal: (at) => `Renewal comes at ${at}.`,
    /** @param {string} at */
    signInEnds: (at) => `The sign-in itself ends at ${at}.`,
  },

  details: {
    server: "Server",
    account: "Signed in as",
    issuer: "Signs in at",
    scopes: "May use",
    tools: "Tools",
    tokenEnds: "Token ends",
    signInEnds: "Sign-in ends",
    next: "Next renewal",
    last: "Last renewal",
    name: "Known as",
    /** @param {string} time @param {string | null} who */
    lastBy: (time, who) => (who ? `${time}, ${who}` : time),
    /** @param {number} count @param {string} shown */
    toolCount: (count, shown) => (count === 1 ? "1, confirmed by the server" : `${shown}, confirmed by the server`),
    signInEndsUnknown: "Not announced by the server",
    cannotRenew: "Can't be renewed: the server gave nothing to renew with",
    copyDiagnostics: "Copy diagnostics",
    byLamplighter: "by Lamplighter",
    byClient,
  },

  past: {
    label: "What happened lately",
    none: "No renewals seen yet.",
    /** @param {number} count */
    title: (count) => (count === 1 ? "Last renewal" : `Last ${count} renewals and sign-ins`),
    /** @param {string} time @param {string} words */
    one: (time, words) => `${time} · ${words}`,
    /** @param {string} time @param {string} words @param {number} place @param {number} count */
    spoken: (time, words, place, count) => `${time}: ${words}, ${place} of ${count}`,
  },
  /** The words of the strip's legend. @type {Record<string, string>} */
  mark: {
    renewed: "renewed",
    client: "by the client",
    failed: "failed",
    signed_in: "signed in",
    sign_in_failed: "sign-in failed",
    restored: "put back",
    signed_out: "signed out",
  },

  signIn: {
    label: "Signing in",
    stages: ["Find the sign-in page", "Agree in your browser", "Save and check"],
    /** @param {string} step */
    step: (step) => `${step.charAt(0).toUpperCase()}${step.slice(1)}`,
    /** @param {string} name */
    named: (name) => `The page will ask you to let “${name}” in.`,
    /** @param {string} host @param {string} name */
    namedAt: (host, name) => `${host} will ask you to let “${name}” in.`,
    scheme: "Then your browser asks to open Lamplighter. Allow it, and nothing needs to be pasted.",
    loopback: "Then the page comes back by itself. Nothing needs to be pasted.",
    copyLink: "Copy link",
    otherWay: "Page shows an error? Try another way",
  },

  approval: {
    /** @param {string} server */
    title: (server) => `${server} signs in at another address now`,
    known: "Trusted until now",
    now: "Named now",
    words:
      "Nothing was sent to the new address. If you trust it, Lamplighter renews there from now on. If you didn't expect this, ask who runs the server first.",
    /** @param {string} host */
    trust: (host) => `Trust ${host}`,
    dont: "Don't trust",
  },

  signOut: {
    /** @param {string} server */
    title: (server) => `Sign out of ${server}?`,
    /** @param {string} client @param {string} server */
    words: (client, server) =>
      `${client} loses this sign-in, and ${server} is asked to end it. You can sign in again at any time.`,
    yes: "Sign out",
    no: "Stay signed in",
  },

  firstRun: {
    title: "Keep these signed in?",
    words:
      "Lamplighter renews each sign-in before it ends, in the place where your client keeps it. Nothing has been changed or sent yet.",
    keep: "Keep them signed in",
    watch: "Only watch",
    later: "You can change this in Settings.",
  },

  nothing: {
    title: "Nothing to keep signed in yet",
    words: "Sign in to an MCP server in your client once, and it appears here.",
    looked: "Where it looked",
    absent: "claude.ai connectors and servers with API keys don't appear: there is nothing to renew.",
    demo: "Try the demo",
    demoWords: "Or see it at work first: the demo has servers of its own and touches nothing of yours.",
  },

  folder: {
    label: "Another config folder",
    placeholder: "~/.claude-work",
    add: "Add folder",
    /** @param {string} folder */
    addThis: (folder) => `Add folder ${folder}`,
    remove: "Remove",
    /** @param {string} folder */
    removeThis: (folder) => `Remove ${folder}`,
    offered: "Found, and left alone until you add it",
  },

  demo: { words: "This is the demo. Its servers are its own; nothing of yours is touched.", leave: "Leave the demo" },
  watching: "Only watching: nothing is renewed.",
  hints: { label: "For open sessions" },

  activity: { title: "Activity", none: "Nothing has happened yet." },

  settings: {
    title: "Settings",
    keeping: "Sign-ins",
    keep: "Keep them signed in",
    keepWords: "Renew each one before it ends.",
    watch: "Only watch",
    watchWords: "Show how they are, and change nothing.",
    general: "General",
    startAtLogin: "Start at login",
    startAtLoginNot: "Not possible on this desktop. Add Lamplighter to its startup programs by hand.",
    notices: "Notices",
    noticesWords: "One, when a person is needed.",
    probe: "Ask servers by itself",
    probeWords: "Make sure that a server takes its token where the client says it doesn't.",
    keepOpen: "Keep this window open",
    clients: "Clients",
    folders: "More config folders",
    /** @param {string} client @param {string | null} version */
    client: (client, version) => (version ? `${client} ${version}` : client),
    file: "Settings file",
    fileWords: "Redirects and when to renew are set there. Changes count at once.",
    openFile: "Open settings file",
    showFile: "Show file",
    demo: "Try the demo",
    end: "Lamplighter",
    quit: "Quit",
    remove: "Remove Lamplighter…",
    removeTitle: "Remove Lamplighter?",
    removeWords:
      "What it keeps for itself is deleted, and it no longer starts at login. Your clients keep their sign-ins, and renew them as they did before. What is on its way is brought home first, which may take two minutes.",
    removeYes: "Remove",
    removeNo: "Keep Lamplighter",
  },
};

/**
 * Who renewed, in words.
 * @param {Row["renewed_by"] | Past["by"]} by
 * @param {string} client
 */
export function who(by, client) {
  if (by === null) {
    return null;
  }
  return by === "lamplighter" ? texts.details.byLamplighter : texts.details.byClient(client);
}

/**
 * What a button says in a row.
 * @param {Button} button
 * @param {Row} row
 * @param {string} updateCommand
 */
export function buttonLabel(button, row, updateCommand) {
  if (button === "copy_update") {
    return texts.copyCommand(updateCommand);
  }
  return texts.buttonIn[row.health]?.[button] ?? texts.button[button];
}

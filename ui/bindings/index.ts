// Made from the Rust types by the test that compares them; do not edit.

/** A piece of a phrase: a text, a length of time until a moment, or a moment. */
export type Part = string | { in: number } | { at: number };
export type Wall = number;
export type GrantId = string;
export type StoreId = string;
export type Phrase = Array<Part>;
export type Shape = "hollow" | "lit" | "half" | "alert";
export type Health = "healthy" | "refreshing" | "retrying" | "retrying_ended" | "offline" | "signing_in" | "sign_in_required" | "refused" | "approval_required" | "not_signed_in" | "no_refresh_token" | "standing_by" | "paused" | "store_locked" | "store_broken" | "unknown";
export type Button = "renew" | "check" | "reconnect" | "sign_in" | "cancel" | "review" | "pause" | "resume" | "copy_update" | "unlock" | "show_file" | "sign_out";
export type Renewer = "lamplighter" | "client";
export type NewAddress = { 
/**
 * The host that was trusted.
 */
known: string, 
/**
 * The host that is named now. Nothing was sent there.
 */
now: string, };
export type SigningIn = { 
/**
 * What happens, in words.
 */
step: string, 
/**
 * Whose name the consent page shows, once that is known.
 */
client_name: string | null, 
/**
 * The host of the consent page, once that is known.
 */
host: string | null, 
/**
 * Whether it waits for the browser.
 */
waiting: boolean, 
/**
 * Whether the browser comes back by our scheme, and will ask to open Lamplighter.
 */
scheme: boolean, 
/**
 * Whether there is another way, should the page show an error.
 */
other_way: boolean, };
export type Row = { 
/**
 * What people call it.
 */
id: GrantId, 
/**
 * The store.
 */
store: StoreId, 
/**
 * The client program.
 */
client: string, 
/**
 * The provider profile, if one is known.
 */
profile: string | null, 
/**
 * The server's name as configured.
 */
name: string, 
/**
 * The server's name for people: the provider's where known.
 */
title: string, 
/**
 * The server's URL without user info and query.
 */
url: string, 
/**
 * Its health.
 */
health: Health, 
/**
 * Its lamp.
 */
shape: Shape, 
/**
 * Its one phrase.
 */
phrase: Phrase, 
/**
 * What can be done, the likeliest first.
 */
buttons: Array<Button>, 
/**
 * The exit code it gives by itself.
 */
exit: number, 
/**
 * When the access token ends.
 */
expires_at: Wall | null, 
/**
 * When it is renewed, or should be.
 */
next_renewal_at: Wall | null, 
/**
 * When it was last renewed, by anyone.
 */
last_renewal_at: Wall | null, 
/**
 * By whom.
 */
renewed_by: Renewer | null, 
/**
 * When the sign-in itself ends, where known.
 */
sign_in_ends_at: Wall | null, 
/**
 * Whether there is a refresh token.
 */
has_refresh_token: boolean, 
/**
 * The issuer, where known.
 */
issuer: string | null, 
/**
 * The granted scopes.
 */
scopes: Array<string>, 
/**
 * How many tools the server offered when it was last asked.
 */
tools: number | null, 
/**
 * What is wrong, in words.
 */
reason: string | null, 
/**
 * When the access token was received, where that is known.
 */
issued_at: Wall | null, 
/**
 * Who is signed in, where the server said.
 */
account: string | null, 
/**
 * Both hosts, where the server signs in at another address now.
 */
approval: NewAddress | null, 
/**
 * How far a sign-in under way is.
 */
sign_in: SigningIn | null, };
export type StoreRow = { 
/**
 * Its name.
 */
id: StoreId, 
/**
 * The client program.
 */
client: string, 
/**
 * Where it lies.
 */
place: string, 
/**
 * The client's installed version, where it could be told.
 */
client_version: string | null, 
/**
 * What is wrong with it, in words.
 */
fault: string | null, 
/**
 * What a person should know about it.
 */
advice: Array<string>, };
export type Consent = "unasked" | "keep" | "watch";
export type What = "renewed" | "failed" | "signed_in" | "sign_in_failed" | "restored" | "signed_out";
export type Past = { 
/**
 * When.
 */
at: Wall, 
/**
 * What.
 */
what: What, 
/**
 * Who did it, where that is known.
 */
by: Renewer | null, 
/**
 * In words.
 */
words: string, };
export type Hint = { 
/**
 * Whose.
 */
grant: GrantId, 
/**
 * In words.
 */
words: string, 
/**
 * What to type there.
 */
command: string, 
/**
 * It goes then.
 */
until: Wall, };
export type Line = { 
/**
 * When.
 */
at: Wall, 
/**
 * About which grant, if about one.
 */
grant: GrantId | null, 
/**
 * In words.
 */
words: string, };
export type Settings = { 
/**
 * The file with all of it.
 */
file: string, 
/**
 * Whether it starts with the desktop; `None` where that cannot be had.
 */
start_at_login: boolean | null, 
/**
 * Whether notices are shown.
 */
notices: boolean, 
/**
 * Whether servers are asked unasked.
 */
probe: boolean, 
/**
 * Whether sign-ins are kept, not only watched.
 */
keep: boolean, 
/**
 * Config folders besides the usual one.
 */
folders: Array<string>, };
export type Around = { 
/**
 * What was answered.
 */
consent: Consent, 
/**
 * Whether these are the demo's own servers.
 */
demo: boolean, 
/**
 * Where another process does the work: a sentence.
 */
elsewhere: string | null, 
/**
 * Whether the page stays open.
 */
pinned: boolean, 
/**
 * What a person should know about Lamplighter itself.
 */
notes: Array<string>, 
/**
 * What happened to each grant, oldest first.
 */
past: { [key in GrantId]: Array<Past> }, 
/**
 * What open sessions need.
 */
hints: Array<Hint>, 
/**
 * What happened at all, newest first.
 */
activity: Array<Line>, 
/**
 * Other config folders that hold sign-ins.
 */
offered: Array<string>, 
/**
 * Where it looked.
 */
looked: Array<string>, 
/**
 * A row to open and bring forward, once: the next view asks for nothing, or anew.
 */
focus: GrantId | null, 
/**
 * A row to open and bring forward because a link asked for it, likewise once. Any page of the web may
 * send one: the focus stays where it is.
 */
linked: GrantId | null, 
/**
 * Whether to turn to the settings, likewise once.
 */
turn_to_settings: boolean, 
/**
 * What can be set on the page.
 */
settings: Settings, 
/**
 * What updates the client.
 */
update_command: string, };
export type View = { 
/**
 * Grows by one with each; an older one is dropped.
 */
seq: number, 
/**
 * When it was made.
 */
now: Wall, 
/**
 * The one sentence that matters.
 */
sentence: string, 
/**
 * The lamp that stands for everything.
 */
shape: Shape, 
/**
 * The question that is asked once.
 */
question: string, 
/**
 * The servers, needing a person first.
 */
rows: Array<Row>, 
/**
 * The stores.
 */
stores: Array<StoreRow>, 
/**
 * What was answered.
 */
consent: Consent, 
/**
 * Whether these are the demo's own servers.
 */
demo: boolean, 
/**
 * Where another process does the work: a sentence.
 */
elsewhere: string | null, 
/**
 * Whether the page stays open.
 */
pinned: boolean, 
/**
 * What a person should know about Lamplighter itself.
 */
notes: Array<string>, 
/**
 * What happened to each grant, oldest first.
 */
past: { [key in GrantId]: Array<Past> }, 
/**
 * What open sessions need.
 */
hints: Array<Hint>, 
/**
 * What happened at all, newest first.
 */
activity: Array<Line>, 
/**
 * Other config folders that hold sign-ins.
 */
offered: Array<string>, 
/**
 * Where it looked.
 */
looked: Array<string>, 
/**
 * A row to open and bring forward, once: the next view asks for nothing, or anew.
 */
focus: GrantId | null, 
/**
 * A row to open and bring forward because a link asked for it, likewise once. Any page of the web may
 * send one: the focus stays where it is.
 */
linked: GrantId | null, 
/**
 * Whether to turn to the settings, likewise once.
 */
turn_to_settings: boolean, 
/**
 * What can be set on the page.
 */
settings: Settings, 
/**
 * What updates the client.
 */
update_command: string, };
export type Answer = "keep" | "watch";
export type Act = { "act": "renew", 
/**
 * Which.
 */
grant: GrantId, } | { "act": "check", 
/**
 * Which.
 */
grant: GrantId, } | { "act": "reconnect", 
/**
 * Which.
 */
grant: GrantId, } | { "act": "another_way", 
/**
 * Which.
 */
grant: GrantId, } | { "act": "cancel_sign_in", 
/**
 * Which.
 */
grant: GrantId, } | { "act": "trust", 
/**
 * Which.
 */
grant: GrantId, 
/**
 * What was shown, word for word.
 */
now: string, } | { "act": "sign_out", 
/**
 * Which.
 */
grant: GrantId, } | { "act": "pause", 
/**
 * Which.
 */
grant: GrantId, } | { "act": "resume", 
/**
 * Which.
 */
grant: GrantId, } | { "act": "copy_link", 
/**
 * Which.
 */
grant: GrantId, } | { "act": "copy_diagnostics", 
/**
 * Which.
 */
grant: GrantId, } | { "act": "show", 
/**
 * Which.
 */
grant: GrantId, } | { "act": "show_file", 
/**
 * Which.
 */
store: StoreId, } | { "act": "unlock", 
/**
 * Which.
 */
store: StoreId, } | { "act": "check_all" } | { "act": "pause_all" } | { "act": "resume_all" } | { "act": "open" } | { "act": "open_settings" } | { "act": "open_settings_file" } | { "act": "demo" } | { "act": "leave_demo" } | { "act": "close" } | { "act": "ready" } | { "act": "remove_lamplighter" } | { "act": "quit" } | { "act": "consent", 
/**
 * With this.
 */
answer: Answer, } | { "act": "start_at_login", 
/**
 * Whether.
 */
on: boolean, } | { "act": "notices", 
/**
 * Whether.
 */
on: boolean, } | { "act": "probe", 
/**
 * Whether.
 */
on: boolean, } | { "act": "pin", 
/**
 * Whether.
 */
on: boolean, } | { "act": "add_folder", 
/**
 * Its path.
 */
folder: string, } | { "act": "remove_folder", 
/**
 * Its path.
 */
folder: string, };

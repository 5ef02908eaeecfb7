// Times as words, for readers in several places.

import assert from "node:assert/strict";
import { test } from "node:test";

import { english, reader } from "../../../ui/time.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Tuesday, 24 November 2026, 9:42 UTC. */
const NOW = Date.UTC(2026, 10, 24, 9, 42);

const utc = reader(NOW, "en-GB", "UTC");

test("a length is told in its largest unit of which there are two", () => {
  const told = [0, 59_000, MINUTE, 119 * MINUTE, 2 * HOUR, 47 * HOUR, 2 * DAY, 400 * DAY].map(utc.length);
  assert.deepEqual(told, ["under a minute", "under a minute", "1\u00a0min", "119\u00a0min", "2\u00a0h", "47\u00a0h", "2\u00a0days", "400\u00a0days"]);
});

test("a moment today is a time of day, another day has its day, another year its year", () => {
  const told = [NOW + HOUR, NOW + DAY, NOW - 2 * DAY].map(utc.moment);
  assert.deepEqual(told, ["10:42", "Wed 9:42", "Sun 9:42"]);
  // Commas and "Sept" differ from one edition of the Unicode tables to the next.
  assert.match(utc.moment(NOW + 30 * DAY), /^Thu,? 24 Dec 9:42$/);
  assert.match(utc.moment(NOW + 300 * DAY), /^20 Sept? 2027$/);
});

test("today ends at the reader's midnight and not at another's", () => {
  const late = Date.UTC(2026, 10, 24, 23, 30);
  assert.equal(reader(late, "en-GB", "UTC").moment(late + HOUR), "Wed 0:30");
  assert.equal(reader(late, "en-GB", "Asia/Tokyo").moment(late + HOUR), "9:30");
});

test("the day on which the clocks change is a day like any other", () => {
  const berlin = reader(Date.UTC(2026, 2, 28, 12), "en-GB", "Europe/Berlin");
  assert.equal(berlin.day(Date.UTC(2026, 2, 28, 22, 30)), "Today");
  assert.equal(berlin.moment(Date.UTC(2026, 2, 29, 12)), "Sun 14:00");
});

test("a distance has a direction", () => {
  const told = [NOW + 3 * HOUR, NOW - 12 * MINUTE, NOW, NOW + 30_000, NOW - 3 * DAY].map(utc.relative);
  assert.deepEqual(told, ["in 3 hours", "12 minutes ago", "now", "now", "3 days ago"]);
});

test("a heading names the day", () => {
  const told = [NOW, NOW - DAY, NOW - 8 * DAY].map(utc.day);
  assert.deepEqual(told, ["Today", "Yesterday", "Monday 16 November"]);
});

test("a phrase puts words to its times, and a time gone by is no length at all", () => {
  assert.equal(utc.phrase(["Signed in · renews in ", { in: NOW + 3 * HOUR }]), "Signed in · renews in 3\u00a0h");
  assert.equal(utc.phrase(["next try ", { at: NOW + HOUR }]), "next try 10:42");
  assert.equal(utc.phrase(["renews in ", { in: NOW - HOUR }]), "renews in under a minute");
});

test("an American reads twelve hours", () => {
  assert.match(reader(NOW, "en-US", "UTC").moment(NOW + 5 * HOUR), /^2:42\sPM$/);
});

test("the first English that the system asks for is taken, else the one with the day first", () => {
  assert.equal(english(["de-DE", "en-US", "en-GB"]), "en-US");
  assert.equal(english(["de-DE", "eno"]), "en-GB");
  assert.equal(english([]), "en-GB");
});

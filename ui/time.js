// Turns absolute times into a reader's words.
//
// It must not read a clock: `now` comes with the call. Numbers, days and the hour's form are the
// reader's, by Intl; the language is English, like all texts. Read next: texts.js.

import { texts } from "./texts.js";

/** @import { Part } from "./bindings/index.ts" */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * A reader's form of English: the first English the system asks for, else with the day first.
 * @param {readonly string[]} languages
 */
export function english(languages) {
  return languages.find((language) => /^en\b/i.test(language)) ?? "en-GB";
}

/** @type {Map<string, ReturnType<typeof formats>>} */
const made = new Map();

/**
 * @param {string} locale
 * @param {string | undefined} timeZone
 */
function formats(locale, timeZone) {
  /** @param {Intl.DateTimeFormatOptions} options */
  const date = (options) => new Intl.DateTimeFormat(locale, { timeZone, ...options });
  return {
    number: new Intl.NumberFormat(locale),
    relative: new Intl.RelativeTimeFormat(locale, { numeric: "always" }),
    nearby: new Intl.RelativeTimeFormat(locale, { numeric: "auto" }),
    clock: date({ hour: "numeric", minute: "2-digit" }),
    weekday: date({ weekday: "short" }),
    day: date({ weekday: "short", day: "numeric", month: "short" }),
    year: date({ day: "numeric", month: "short", year: "numeric" }),
    heading: date({ weekday: "long", day: "numeric", month: "long" }),
    // Sorts and compares: 2026-11-23.
    key: new Intl.DateTimeFormat("en-CA", { timeZone, year: "numeric", month: "2-digit", day: "2-digit" }),
  };
}

/**
 * What turns times into words for one reader at one moment.
 * @typedef {ReturnType<typeof reader>} Reader
 */

/**
 * @param {number} now milliseconds since 1970
 * @param {string} locale
 * @param {string} [timeZone] the reader's, unless told
 */
export function reader(now, locale, timeZone) {
  const name = `${locale} ${timeZone ?? ""}`;
  const form = made.get(name) ?? formats(locale, timeZone);
  made.set(name, form);

  /** Whole days on the calendar from today to then. @param {number} at */
  const daysAway = (at) =>
    Math.round((Date.parse(form.key.format(at)) - Date.parse(form.key.format(now))) / DAY);

  /** A length of time in its largest unit: `3 h`. @param {number} millis */
  const length = (millis) => {
    const [unit, size] = unitOf(millis);
    return size === 0 ? texts.length.moment : texts.length[unit](form.number.format(size));
  };

  /** A moment: `10:42`, with the day where it is not today. @param {number} at */
  const moment = (at) => {
    const away = daysAway(at);
    if (away === 0) {
      return form.clock.format(at);
    }
    if (form.key.format(at).slice(0, 4) !== form.key.format(now).slice(0, 4) && Math.abs(away) >= 7) {
      return form.year.format(at);
    }
    const day = Math.abs(away) < 7 ? form.weekday : form.day;
    return texts.dayAndTime(day.format(at), form.clock.format(at));
  };

  /** From now: `in 3 hours`, `12 minutes ago`. @param {number} at */
  const relative = (at) => {
    const [unit, size] = unitOf(Math.abs(at - now));
    if (size === 0) {
      return texts.length.now;
    }
    return form.relative.format(at < now ? -size : size, unit);
  };

  return {
    now,
    length,
    moment,
    relative,

    /** Both: `23:50, in 9 hours`. @param {number} at */
    both: (at) => texts.both(moment(at), relative(at)),

    /** A day as a heading: `Today`, `Yesterday`, `Monday 16 November`. @param {number} at */
    day: (at) => {
      const away = daysAway(at);
      const words = away === 0 || away === -1 ? form.nearby.format(away, "day") : form.heading.format(at);
      return words.charAt(0).toUpperCase() + words.slice(1);
    },

    /** The time of day alone. @param {number} at */
    clock: (at) => form.clock.format(at),

    /** @param {number} count */
    number: (count) => form.number.format(count),

    /** A phrase as text. @param {readonly Part[]} parts */
    phrase: (parts) =>
      parts
        .map((part) => {
          if (typeof part === "string") {
            return part;
          }
          return "in" in part ? length(Math.max(0, part.in - now)) : moment(part.at);
        })
        .join(""),
  };
}

/**
 * The largest unit of which there are two, and how many; under a minute is none.
 * @param {number} millis
 * @returns {["minute" | "hour" | "day", number]}
 */
function unitOf(millis) {
  if (millis < 2 * HOUR) {
    return ["minute", Math.floor(millis / MINUTE)];
  }
  return millis < 2 * DAY ? ["hour", Math.floor(millis / HOUR)] : ["day", Math.floor(millis / DAY)];
}

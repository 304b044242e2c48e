/** Durations that pass only while people work. */

export const weekdays = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
export type Weekday = (typeof weekdays)[number];

export interface WorkingHours {
  /** Default Monday to Friday. */
  readonly days?: readonly Weekday[];
  /** `09:00`. */
  readonly from: string;
  /** After `from`, up to `24:00`. */
  readonly to: string;
  /** IANA name such as `Europe/Berlin`. Default UTC. */
  readonly zone?: string;
}

const minute = 60_000;
const day = 86_400_000;
/** Ten years: nobody waits that long, and a loop must end. */
const daysMax = 3_660;

/** The first problem, as a sentence, or null. */
export function problemOfHours({ days, from, to, zone }: WorkingHours): string | null {
  const [start, end] = [minutesOf(from), minutesOf(to)];
  if (start === null) return `"from" is "${from}"; expected a time such as 09:00.`;
  if (end === null) return `"to" is "${to}"; expected a time such as 17:00.`;
  if (end <= start) return `"to" is ${to}, which is not after "from" (${from}).`;
  if (days !== undefined && days.length === 0) return '"days" is empty; expected at least one of mon to sun.';
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone ?? 'UTC' });
  } catch {
    return `"zone" is "${zone}"; expected the name of a time zone such as Europe/Berlin.`;
  }
  return null;
}

/** The moment (ms since 1970) at which so much working time has passed after `startMs`. */
export function afterWorkingTime(startMs: number, durationMs: number, hours: WorkingHours): number {
  const zone = hours.zone ?? 'UTC';
  const days = hours.days ?? ['mon', 'tue', 'wed', 'thu', 'fri'];
  const [from, to] = [minutesOf(hours.from)!, minutesOf(hours.to)!];
  let left = durationMs;
  // Local midnight, counted as if it were UTC.
  let midnight = Math.floor((startMs + offsetAt(startMs, zone)) / day) * day;
  for (let passed = 0; passed < daysMax; passed++, midnight += day) {
    if (!days.includes(weekdays[new Date(midnight).getUTCDay()]!)) continue;
    const opens = Math.max(startMs, toInstant(midnight + from * minute, zone));
    const closes = toInstant(midnight + to * minute, zone);
    if (closes <= opens) continue;
    if (left <= closes - opens) return opens + left;
    left -= closes - opens;
  }
  return startMs + daysMax * day;
}

function minutesOf(time: string): number | null {
  const match = /^(\d{2}):(\d{2})$/.exec(time);
  if (match === null) return null;
  const minutes = Number(match[1]) * 60 + Number(match[2]);
  return Number(match[2]) < 60 && minutes <= 24 * 60 ? minutes : null;
}

/** Local time minus UTC at an instant, in ms. */
function offsetAt(ms: number, timeZone: string): number {
  const parts = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  }).formatToParts(ms);
  const part = (type: string) => Number(parts.find((one) => one.type === type)!.value);
  const local = Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'));
  return local - Math.floor(ms / 1_000) * 1_000;
}

/** From local time, counted as if it were UTC. Twice, because the offset changes in the night of a clock change. */
function toInstant(local: number, zone: string): number {
  const guess = local - offsetAt(local, zone);
  return local - offsetAt(guess, zone);
}

/** Durations as people write them: `30s`, `4h`, `7d`, `1h30m`. */

const unitsMs: { readonly [unit: string]: number } = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** What a duration looks like, for messages. */
export const durationForm = 'a duration such as 30s, 45m, 4h, 7d or 1h30m';

/** Milliseconds of a duration; null where it is none. */
export function parseDurationMs(text: string): number | null {
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d|w))+$/.test(text)) return null;
  let ms = 0;
  for (const [, count, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d|w)/g)) ms += Number(count) * unitsMs[unit!]!;
  return Number.isFinite(ms) ? Math.round(ms) : null;
}

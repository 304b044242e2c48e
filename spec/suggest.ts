/** "Did you mean": the known name nearest to a mistyped one. */

/** The nearest of `names` within a third of the word's length (at least one slip), else the shortest that it begins, or null. */
export function nearestName(word: string, names: Iterable<string>): string | null {
  // A slip changes case, leaves out, adds, swaps or replaces a letter.
  const slipsMax = Math.max(1, Math.floor(word.length / 3));
  let nearest: string | null = null;
  let fewest = slipsMax + 1;
  for (const name of names) {
    if (name.toLowerCase() === word.toLowerCase()) return name;
    if (Math.abs(name.length - word.length) >= fewest) continue;
    const slips = slipsBetween(word.toLowerCase(), name.toLowerCase());
    if (slips < fewest) {
      nearest = name;
      fewest = slips;
    }
  }
  return nearest ?? shortestBegunBy(word, names);
}

/** Fewer letters begin too much. */
const beginningMin = 3;

/** `label` begins `labelErrors`, and so it does `label_errors`. */
function shortestBegunBy(word: string, names: Iterable<string>): string | null {
  const beginning = plainForm(word);
  if (beginning.length < beginningMin) return null;
  let shortest: string | null = null;
  for (const name of names) {
    if (shortest !== null && name.length >= shortest.length) continue;
    if (plainForm(name).startsWith(beginning)) shortest = name;
  }
  return shortest;
}

/** The one name that can be meant, or null: the nearest where no other is as near. Case and separators do not count. */
export function clearName(word: string, names: Iterable<string>): string | null {
  const plain = plainForm(word);
  const lower = word.toLowerCase();
  let fewest = Math.max(1, Math.floor(word.length / 3));
  const alike = new Set<string>();
  let nearest = new Set<string>();
  for (const name of names) {
    if (Math.abs(name.length - plain.length) <= separatorsMax && plainForm(name) === plain) alike.add(name);
    if (alike.size > 0 || Math.abs(name.length - word.length) > fewest) continue;
    const slips = slipsBetween(lower, name.toLowerCase());
    if (slips < fewest) nearest = new Set();
    if (slips <= fewest) {
      nearest.add(name);
      fewest = slips;
    }
  }
  const [only, ...others] = alike.size > 0 ? alike : nearest;
  return only === undefined || others.length > 0 ? null : only;
}

/** More than so many of them make another word. */
const separatorsMax = 8;

/**
 * So many names are looked at for the mistakes of one file. With thousands of steps and a mistake in each, nobody reads
 * what the last of them may have meant, and to find out would take minutes.
 */
const looksMax = 500_000;

/** Whether to look for what a name may have meant, after so many problems. */
export const isWorthLooking = (problemsBefore: number, names: number): boolean => problemsBefore * names <= looksMax;

/** `batch_size`, `batch-size` and `BatchSize` are one word. */
const plainForm = (word: string): string => word.replaceAll(/[-_ ]/g, '').toLowerCase();

/** "Did you mean "train"? Steps here: data, train." `look`: false leaves the question out. */
export function suggestion(word: string, names: readonly string[], label: string, look = true): string {
  const nearest = look ? (clearName(word, names) ?? nearestName(word, names)) : null;
  const question = nearest === null ? '' : `Did you mean "${nearest}"? `;
  if (names.length === 0) return `${question}${label}: none.`;
  const shown = names.slice(0, 40).join(', ');
  return `${question}${label}: ${shown}${names.length > 40 ? `, and ${names.length - 40} more` : ''}.`;
}

/** Optimal string alignment distance. */
function slipsBetween(a: string, b: string): number {
  // A word of a thousand letters is no slip of the hand.
  if (a.length > 100 || b.length > 100) return Math.abs(a.length - b.length) + 100;
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let slips = Math.min(replaced, last[j]! + 1, row[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        slips = Math.min(slips, beforeLast[j - 2]! + 1);
      }
      row.push(slips);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}

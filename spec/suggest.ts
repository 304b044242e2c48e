/** "Did you mean": the known name nearest to a mistyped one. */

/** The nearest of `names` within a third of the word's length (at least one slip), or null. */
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
  return nearest;
}

/** The one name that can be meant, or null: the nearest where no other is as near. Case and separators do not count. */
export function clearName(word: string, names: Iterable<string>): string | null {
  const known = [...new Set(names)];
  const alike = known.filter((name) => plainForm(name) === plainForm(word));
  if (alike.length > 0) return alike.length === 1 ? alike[0]! : null;
  const nearest = nearestName(word, known);
  if (nearest === null) return null;
  const others = known.filter((name) => name !== nearest);
  const slips = slipsBetween(word.toLowerCase(), nearest.toLowerCase());
  return others.some((name) => slipsBetween(word.toLowerCase(), name.toLowerCase()) <= slips) ? null : nearest;
}

/** `batch_size`, `batch-size` and `BatchSize` are one word. */
const plainForm = (word: string): string => word.replaceAll(/[-_ ]/g, '').toLowerCase();

/** "Did you mean "train"? Steps here: data, train." */
export function suggestion(word: string, names: readonly string[], label: string): string {
  const nearest = clearName(word, names) ?? nearestName(word, names);
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

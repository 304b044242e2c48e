/** Splits: those that a folder names are checked, new ones are drawn by group from a seed. */

import { createRandom, hashSeed } from '../random.ts';
import { SPLITS, type Split } from '../types.ts';
import type { ReadLog } from './read-log.ts';

/** Shares of the images, of sum 1; a split that is absent or 0 stays empty. */
export type SplitShares = Readonly<Partial<Record<Split, number>>>;

/**
 * A split for each image, by id. All images of a group go to one split; sizes come as near to the shares as groups
 * allow, and no wanted split stays empty. Throws a RangeError where there are fewer groups than splits.
 */
export function assignSplits(
  images: readonly { readonly id: number; readonly group: string }[],
  shares: SplitShares,
  seed: number | string,
): Map<number, Split> {
  const wanted = SPLITS.filter((split) => (shares[split] ?? 0) > 0);
  const sum = wanted.reduce((total, split) => total + shares[split]!, 0);
  if (Math.abs(sum - 1) > 1e-6) {
    throw new RangeError(`The shares of the splits sum to ${sum}, expected 1.`);
  }
  const groups = new Map<string, number[]>();
  for (const { id, group } of images) {
    const members = groups.get(group);
    if (members) members.push(id);
    else groups.set(group, [id]);
  }
  if (images.length > 0 && groups.size < wanted.length) {
    throw new RangeError(
      `${groups.size} ${groups.size === 1 ? 'group' : 'groups'} of images cannot fill ${wanted.length} splits (${wanted.join(', ')}). Add images, set shares to 0, or group by something finer.`,
    );
  }

  // in order of a seeded draw, the large ones first, because small ones fill gaps better
  const drawn = shuffle([...groups.keys()].sort(byText), seed);
  const order = drawn.sort((a, b) => groups.get(b)!.length - groups.get(a)!.length);
  const missing = new Map(wanted.map((split) => [split, shares[split]! * images.length]));
  const empty = new Set(wanted);
  const assigned = new Map<number, Split>();
  order.forEach((group, index) => {
    const left = order.length - index;
    const choice = left <= empty.size ? [...empty] : wanted;
    const split = choice.reduce((best, other) => (missing.get(other)! > missing.get(best)! ? other : best));
    const members = groups.get(group)!;
    for (const id of members) assigned.set(id, split);
    missing.set(split, missing.get(split)! - members.length);
    empty.delete(split);
  });
  return assigned;
}

/** Reports splits that are named and empty, and groups that several splits share. */
export function checkSplits(
  images: readonly { readonly split: Split | null; readonly group: string }[],
  splits: readonly Split[],
  log: ReadLog,
): void {
  for (const split of splits) {
    if (images.some((image) => image.split === split)) continue;
    log.error('', split, `Split "${split}" has no image. Give it images, or remove it from the folder.`);
  }
  const splitsOfGroup = new Map<string, Set<Split>>();
  for (const { split, group } of images) {
    if (split === null) continue;
    const own = splitsOfGroup.get(group) ?? new Set();
    splitsOfGroup.set(group, own.add(split));
  }
  const shared = [...splitsOfGroup].filter(([, own]) => own.size > 1);
  if (shared.length === 0) return;
  const [group, own] = shared[0]!;
  log.warning(
    '',
    'splits',
    `${shared.length} ${shared.length === 1 ? 'group is' : 'groups are'} in several splits (first: "${group}" in ${[...own].join(' and ')}), so that test is not independent of train. Draw new splits by group (split.keep: false).`,
  );
}

function shuffle(items: string[], seed: number | string): string[] {
  const random = createRandom(hashSeed('splits', seed));
  for (let i = items.length - 1; i > 0; i--) {
    const j = random.int(i + 1);
    [items[i], items[j]] = [items[j]!, items[i]!];
  }
  return items;
}

/** Not by locale: the same on every machine. */
function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Decisions across all runs, by image, so that nobody is asked twice. A decision belongs to what it is about (image
 * digest, box, category), not to the run in which it was asked.
 *
 *     decisions/IMAGE-DIGEST/HASH.json   list of LedgerEntry: what was decided about the image at one time, created once
 */

import type { Box, CandidateType, Decision } from '../detection/types.ts';
import { canonicalJson } from '../plan/canonical.ts';
import { sha256Hex } from './digest.ts';
import { mapInParallel } from './map-in-parallel.ts';
import type { Store } from './store.ts';

export interface LedgerEntry {
  readonly imageDigest: string;
  readonly type: CandidateType;
  /** The label in question, as it was (absent for `missing`). */
  readonly annotation?: { readonly id: string; readonly categoryId: number; readonly box: Box };
  /** The detection in question (absent for `spurious` and `duplicate`). */
  readonly detection?: { readonly categoryId: number; readonly box: Box };
  /** Names of the categories, because another dataset may number them otherwise. */
  readonly category: string;
  readonly decision: Decision;
  readonly by: string;
  readonly at: string;
  readonly run: string;
  readonly gate: string;
  /** Digest of what the reviewer was shown. */
  readonly shown?: string;
  /** Nobody had asked: the box was drawn, and stands here as the detection that it would be. */
  readonly drawn?: true;
  /** Name of the decided category, where the decision gives one. */
  readonly decidedCategory?: string;
  /** Of a simulated reviewer: the digest of the label version it led to. It holds for that version's descendants only. */
  readonly simulatedLabels?: string;
}

/** Above so many images, one listing of all images with decisions is cheaper than one of each. */
const LIST_EACH_MAX = 50;

export async function rememberDecisions(store: Store, entries: readonly LedgerEntry[]): Promise<void> {
  // One record an image, because a simulated reviewer decides thousands of candidates at a time.
  const byImage = new Map<string, LedgerEntry[]>();
  for (const entry of entries) byImage.set(entry.imageDigest, [...(byImage.get(entry.imageDigest) ?? []), entry]);
  await mapInParallel([...byImage], ([imageDigest, decided]) => {
    const bytes = Buffer.from(canonicalJson(decided));
    return store.createRecord(`decisions/${imageDigest}/${sha256Hex(bytes).slice(0, 16)}.json`, bytes);
  });
}

/** Entries of the given images, newest first within an image. Images nobody decided about are not in the map. */
export async function recallDecisions(
  store: Store,
  imageDigests: readonly string[],
): Promise<Map<string, LedgerEntry[]>> {
  const wanted = [...new Set(imageDigests)];
  const known = wanted.length > LIST_EACH_MAX ? new Set(await store.listNames('decisions/')) : null;
  const found = new Map<string, LedgerEntry[]>();
  const listed = wanted.filter((digest) => known === null || known.has(digest));
  const lists = await mapInParallel(listed, (digest) => entriesOf(store, digest));
  for (const [i, digest] of listed.entries()) {
    const entries = lists[i]!;
    if (entries.length > 0)
      found.set(
        digest,
        entries.sort((a, b) => (a.at > b.at ? -1 : a.at < b.at ? 1 : 0)),
      );
  }
  return found;
}

/** Each once, also where it was remembered twice among different others. */
async function entriesOf(store: Store, imageDigest: string): Promise<LedgerEntry[]> {
  const entries = new Map<string, LedgerEntry>();
  for (const key of await store.listRecords(`decisions/${imageDigest}/`)) {
    const bytes = await store.readRecord(key);
    if (bytes === null) continue;
    for (const entry of JSON.parse(bytes.toString()) as LedgerEntry[]) entries.set(canonicalJson(entry), entry);
  }
  return [...entries.values()];
}

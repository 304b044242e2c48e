/**
 * The decisions of a gate as a chain: each batch holds the hash of the record before it, so that nothing can be changed, left
 * out or put in between without a trace. The newest hash stands in the gate's record and in the corrections that came of it.
 */

import { canonicalJson } from '../plan/canonical.ts';
import { sha256Hex } from './digest.ts';
import type { DecisionBatch } from './gate-record.ts';

/** A batch as stored. */
export interface StoredBatch {
  readonly key: string;
  readonly bytes: Uint8Array;
  readonly batch: DecisionBatch;
}

/** How many batches a ledger has, and the hash of the newest. */
export interface ChainTip {
  readonly batches: number;
  readonly hash: string;
}

/** The first place where a chain does not hold. */
export interface BrokenLink {
  /** Key of the record, or of the gate where a record is gone. */
  readonly key: string;
  readonly sequence: number;
  readonly what: string;
}

/** What the first batch of a gate refers to. */
export function chainStart(run: string, gatePath: string): ChainTip {
  return { batches: 0, hash: sha256Hex(canonicalJson({ run, gate: gatePath })) };
}

/** The tip that the batches lead to, whether they hold together or not. */
export function tipOf(run: string, gatePath: string, batches: readonly StoredBatch[]): ChainTip {
  const last = inSequence(batches).at(-1);
  return last === undefined
    ? chainStart(run, gatePath)
    : { batches: last.batch.sequence ?? batches.length, hash: sha256Hex(last.bytes) };
}

/** Null where every batch refers to the one before it and the last is the one that is known to be. */
export function brokenLink(
  run: string,
  gatePath: string,
  batches: readonly StoredBatch[],
  known: ChainTip | undefined,
): BrokenLink | null {
  let before = chainStart(run, gatePath);
  for (const { key, bytes, batch } of inSequence(batches)) {
    const sequence = before.batches + 1;
    if (batch.sequence !== sequence) {
      const what =
        batch.sequence === undefined
          ? 'it has no place in the chain.'
          : batch.sequence < sequence
            ? `two records are batch ${batch.sequence}.`
            : `batch ${sequence} is gone: the next is ${batch.sequence}.`;
      return { key, sequence, what };
    }
    if (batch.previous !== before.hash) {
      const changed =
        sequence === 1
          ? 'it does not begin the chain of this gate'
          : `it refers to ${short(batch.previous)}, but batch ${sequence - 1} now has the hash ${short(before.hash)}: one of the two was changed`;
      return { key, sequence, what: `${changed}.` };
    }
    before = { batches: sequence, hash: sha256Hex(bytes) };
  }
  if (known === undefined || known.hash === before.hash) return null;
  const key = `runs/${run}/gates/${gatePath}.json`;
  if (before.batches < known.batches) {
    return {
      key,
      sequence: before.batches + 1,
      what: `the gate knows ${known.batches} batches, and ${before.batches} are there.`,
    };
  }
  if (before.batches > known.batches) {
    // A batch is written before the gate knows of it, and a worker may die in between.
    const at = inSequence(batches)[known.batches - 1];
    if (known.batches === 0 || (at !== undefined && sha256Hex(at.bytes) === known.hash)) return null;
  }
  return {
    key,
    sequence: known.batches,
    what: `batch ${known.batches} was changed: the gate knows it as ${short(known.hash)}.`,
  };
}

/** Those without a number come last. */
function inSequence(batches: readonly StoredBatch[]): StoredBatch[] {
  const place = ({ batch }: StoredBatch) => batch.sequence ?? Number.MAX_SAFE_INTEGER;
  return batches.toSorted((a, b) => place(a) - place(b) || (a.key < b.key ? -1 : 1));
}

function short(hash: string | undefined): string {
  return hash === undefined ? 'nothing' : hash.slice(0, 12);
}

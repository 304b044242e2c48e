/**
 * What a run's record keeps of its `approve` gates: what was asked, of whom, and the answer with who, when and why.
 *
 *     runs/RUN/approvals/PATH.json    ApprovalRecord
 */

import { canonicalJson } from '../plan/canonical.ts';
import type { Answer, Form } from '../plan/form.ts';
import type { Json } from '../plan/types.ts';
import { mapAhead, mapInParallel } from './map-in-parallel.ts';
import type { Store } from './store.ts';

export interface ApprovalRecord {
  /** Path of the `approve` step. */
  readonly path: string;
  readonly state: 'open' | 'answered' | 'expired' | 'closed';
  readonly openedAt: string;
  readonly closedAt?: string;
  readonly message: string;
  readonly form: Form;
  readonly show?: { readonly [name: string]: Json };
  /** Those whom an escalation adds come after the others. */
  readonly assignees?: readonly string[];
  readonly remindAt?: string;
  readonly escalateAt?: string;
  readonly expiresAt?: string;
  /** What follows at `expiresAt`. */
  readonly expired?: 'hold' | 'fail' | Answer;
  /** SHA-256 of message, form and shown values, as canonical JSON: what the answer is an answer to. */
  readonly shown: string;
  readonly given?: GivenAnswer;
  /** The run in which the question was answered, where that was another one: the answer was carried over into a fork. */
  readonly carriedFrom?: string;
}

export interface GivenAnswer {
  /** With the defaults of the form. */
  readonly answer: Answer;
  /** `nobody` where the time ran out. */
  readonly by: string;
  readonly at: string;
  readonly via: 'update' | 'signal' | 'timeout';
  readonly reason?: string;
}

/** Creates or replaces. */
export async function writeApproval(store: Store, run: string, approval: ApprovalRecord): Promise<void> {
  await store.writeRecord(`runs/${run}/approvals/${approval.path}.json`, Buffer.from(canonicalJson(approval)));
}

/** Null where the gate never opened. */
export async function readApproval(store: Store, run: string, path: string): Promise<ApprovalRecord | null> {
  const bytes = await store.readRecord(`runs/${run}/approvals/${path}.json`);
  return bytes === null ? null : (JSON.parse(bytes.toString()) as ApprovalRecord);
}

/** In order of opening. */
export async function listApprovals(store: Store, run: string): Promise<ApprovalRecord[]> {
  const keys = await store.listRecords(`runs/${run}/approvals/`);
  const records = await mapInParallel(keys, (key) => store.readRecord(key));
  return records
    .flatMap((bytes) => (bytes === null ? [] : [JSON.parse(bytes.toString()) as ApprovalRecord]))
    .sort((a, b) => (a.openedAt < b.openedAt ? -1 : a.openedAt > b.openedAt ? 1 : a.path < b.path ? -1 : 1));
}

/** All of a run by their keys, from the one with this key on, or from the first. What lies before it is not read. */
export async function* approvalsFrom(
  store: Store,
  run: string,
  from: string | null,
): AsyncGenerator<{ readonly key: string; readonly approval: ApprovalRecord }> {
  const keys = (await store.listRecords(`runs/${run}/approvals/`)).filter((key) => key >= (from ?? ''));
  const read = async (key: string) => ({ key, bytes: await store.readRecord(key) });
  for await (const { key, bytes } of mapAhead(keys, read)) {
    if (bytes !== null) yield { key, approval: JSON.parse(bytes.toString()) as ApprovalRecord };
  }
}

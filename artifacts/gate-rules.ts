/** How a gate asks about each of its candidates, as its record says. */

import type { GateRules } from '../detection/standings.ts';
import type { Asking } from '../detection/verdicts.ts';
import { type GateRecord, readKnown } from './gate-record.ts';
import type { Store } from './store.ts';

export async function readRules(store: Store, gate: GateRecord): Promise<GateRules> {
  const known = new Set((await readKnown(store, gate)).map(({ candidateId }) => candidateId));
  const asking = new Map((await readAsking(store, gate)).map((one) => [one.candidateId, one]));
  return {
    wanted: (id) => asking.get(id)?.opinions ?? 1,
    isKnown: (id) => known.has(id),
    isBlind: (id) => asking.get(id)?.blind ?? false,
    ...(gate.adjudicators === undefined ? {} : { adjudicators: gate.adjudicators }),
  };
}

async function readAsking(store: Store, { asking }: GateRecord): Promise<readonly Asking[]> {
  if (asking === undefined) return [];
  const bytes = await store.getObject(asking);
  if (bytes === null) throw new Error(`The list ${asking} of how candidates are asked is not in the store.`);
  return JSON.parse(bytes.toString()) as Asking[];
}

/** How a gate asks about each of its candidates, and where each stands by the ledger. */

import type { Candidate } from '../detection/types.ts';
import { type Asking, type Standing, standingOf } from '../detection/verdicts.ts';
import { type GateRecord, type RecordedDecision, readKnown } from './gate-record.ts';
import type { Store } from './store.ts';

export interface GateRules {
  /** How many people must look. */
  wanted(candidateId: string): number;
  /** A question whose answer is known: nothing of it is applied, and nobody must settle it. */
  isKnown(candidateId: string): boolean;
  readonly adjudicators?: readonly string[];
}

export async function readRules(store: Store, gate: GateRecord): Promise<GateRules> {
  const known = new Set((await readKnown(store, gate)).map(({ candidateId }) => candidateId));
  const asking = new Map((await readAsking(store, gate)).map((one) => [one.candidateId, one]));
  return {
    wanted: (id) => asking.get(id)?.opinions ?? 1,
    isKnown: (id) => known.has(id),
    ...(gate.adjudicators === undefined ? {} : { adjudicators: gate.adjudicators }),
  };
}

async function readAsking(store: Store, { asking }: GateRecord): Promise<readonly Asking[]> {
  if (asking === undefined) return [];
  const bytes = await store.getObject(asking);
  if (bytes === null) throw new Error(`The list ${asking} of how candidates are asked is not in the store.`);
  return JSON.parse(bytes.toString()) as Asking[];
}

/** Where each candidate of a gate stands, kept up as decisions come. */
export class Standings {
  readonly #candidates: ReadonlyMap<string, Candidate>;
  readonly #rules: GateRules;
  readonly #decisions = new Map<string, RecordedDecision[]>();
  readonly #standings = new Map<string, Standing<RecordedDecision>>();

  /** `decisions` are those of the whole gate, oldest first; those about other candidates are left out. */
  constructor(candidates: readonly Candidate[], decisions: readonly RecordedDecision[], rules: GateRules) {
    this.#candidates = new Map(candidates.map((candidate) => [candidate.id, candidate]));
    this.#rules = rules;
    for (const decision of decisions) this.#keep(decision);
    for (const id of this.#candidates.keys()) this.#place(id);
  }

  /** Null where the gate does not ask about it. */
  of(candidateId: string): Standing<RecordedDecision> | null {
    return this.#standings.get(candidateId) ?? null;
  }

  /** All that was said about it, oldest first. */
  said(candidateId: string): readonly RecordedDecision[] {
    return this.#decisions.get(candidateId) ?? [];
  }

  add(decision: RecordedDecision): void {
    this.#keep(decision);
    this.#place(decision.candidateId);
  }

  count(state: Standing['state']): number {
    let count = 0;
    for (const standing of this.#standings.values()) if (standing.state === state) count++;
    return count;
  }

  /** The decision that counts for each candidate that has one, in the order of the candidates. */
  verdicts(): Map<string, RecordedDecision> {
    const verdicts = new Map<string, RecordedDecision>();
    for (const [id, standing] of this.#standings) if (standing.state === 'settled') verdicts.set(id, standing.verdict);
    return verdicts;
  }

  #keep(decision: RecordedDecision): void {
    const { candidateId } = decision;
    if (!this.#candidates.has(candidateId)) return;
    const own = this.#decisions.get(candidateId);
    if (own === undefined) this.#decisions.set(candidateId, [decision]);
    else own.push(decision);
  }

  #place(id: string): void {
    const candidate = this.#candidates.get(id);
    if (candidate === undefined) return;
    const decisions = this.#decisions.get(id) ?? [];
    this.#standings.set(id, standingOf(candidate, decisions, this.#rules.wanted(id), this.#rules.isKnown(id)));
  }
}

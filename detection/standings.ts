/** Where each candidate of a gate stands, by its rules and by what people have said. */

import type { Candidate } from './types.ts';
import { type Opinion, type Standing, standingOf } from './verdicts.ts';

/** How a gate asks. */
export interface GateRules {
  /** How many people must look. */
  wanted(candidateId: string): number;
  /** A question whose answer is known: nothing of it is applied, and nobody must settle it. */
  isKnown(candidateId: string): boolean;
  /** It is asked without the model's box. */
  isBlind(candidateId: string): boolean;
  readonly adjudicators?: readonly string[];
}

/** Where each candidate of a gate stands, kept up as decisions come. */
export class Standings<Said extends Opinion> {
  readonly #candidates: ReadonlyMap<string, Candidate>;
  readonly #rules: GateRules;
  readonly #decisions = new Map<string, Said[]>();
  readonly #standings = new Map<string, Standing<Said>>();

  /** `decisions` are those of the whole gate, oldest first; those about other candidates are left out. */
  constructor(candidates: readonly Candidate[], decisions: readonly Said[], rules: GateRules) {
    this.#candidates = new Map(candidates.map((candidate) => [candidate.id, candidate]));
    this.#rules = rules;
    for (const decision of decisions) this.#keep(decision);
    for (const id of this.#candidates.keys()) this.#place(id);
  }

  /** Null where the gate does not ask about it. */
  of(candidateId: string): Standing<Said> | null {
    return this.#standings.get(candidateId) ?? null;
  }

  /** All that was said about it, oldest first. */
  said(candidateId: string): readonly Said[] {
    return this.#decisions.get(candidateId) ?? [];
  }

  add(decision: Said): void {
    this.#keep(decision);
    this.#place(decision.candidateId);
  }

  count(state: Standing['state']): number {
    let count = 0;
    for (const standing of this.#standings.values()) if (standing.state === state) count++;
    return count;
  }

  /** The decision that counts for each candidate that has one, in the order of the candidates. */
  verdicts(): Map<string, Said> {
    const verdicts = new Map<string, Said>();
    for (const [id, standing] of this.#standings) if (standing.state === 'settled') verdicts.set(id, standing.verdict);
    return verdicts;
  }

  #keep(decision: Said): void {
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

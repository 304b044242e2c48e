/**
 * Decisions on their way to the run. Each is in the browser's storage from the moment it is made until the server has
 * confirmed it, so a reload, a lost connection or a closed window loses none. For a few seconds it can be taken back;
 * after that it is sent.
 */

import type { Decision } from '../../detection/types.ts';
import type { DecisionOutcome, DecisionsAnswer } from '../api.ts';
import { AwayError, type Connection, HeldBackError, LockedError } from './connection.ts';

export interface KeptDecision {
  readonly run: string;
  readonly gate: string;
  readonly decision: Decision;
  /** When it was made (ms). */
  readonly at: number;
  /** Whose it is: another person at the same browser must not send it. */
  readonly by: string;
  readonly client: string;
}

export interface OutboxEvents {
  /** Something was added, taken back, confirmed or refused. */
  changed(): void;
  confirmed(answer: DecisionsAnswer, run: string, gate: string): void;
  refused(outcome: DecisionOutcome, kept: KeptDecision): void;
}

/** How long a decision can be taken back. */
export const undoMs = 6_000;
/** What another tab of this browser has left behind for so long, its tab will not send any more. */
const orphanMs = 30_000;
const perRequestMax = 200;
const prefix = 'hardcase.decision ';

const keyOf = (run: string, gate: string, candidateId: string): string => `${prefix}${run} ${gate} ${candidateId}`;

export class Outbox {
  readonly #connection: Connection;
  readonly #listeners = new Set<OutboxEvents>();
  readonly #client: string;
  readonly #by: string;
  readonly #sending = new Set<string>();
  #busy = false;
  #failures = 0;
  #waitUntil = 0;
  #heldBack = '';

  constructor(connection: Connection, by: string, client: string) {
    this.#connection = connection;
    this.#by = by;
    this.#client = client;
    setInterval(() => void this.flush(), 500);
    // The last chance before the page is gone: what is not confirmed stays, and is sent again by the next page.
    addEventListener('pagehide', () => this.#sendOff());
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'hidden') void this.flush(true);
    });
    addEventListener('online', () => {
      this.#waitUntil = 0;
      void this.flush();
    });
  }

  /** Why what was sent last cannot reach the run now, as the server says it; empty where it did, or was not tried. */
  get heldBack(): string {
    return this.#heldBack;
  }

  /** Answers how to stop listening. */
  listen(events: OutboxEvents): () => void {
    this.#listeners.add(events);
    return () => void this.#listeners.delete(events);
  }

  /** Several are one act: they are taken back together. */
  add(run: string, gate: string, decisions: readonly Decision[]): void {
    const at = Date.now();
    for (const decision of decisions) {
      const kept: KeptDecision = { run, gate, decision, at, by: this.#by, client: this.#client };
      localStorage.setItem(keyOf(run, gate, decision.candidateId), JSON.stringify(kept));
    }
    this.#tell((events) => events.changed());
  }

  /** Takes back what was decided last in this gate; empty where all has been sent. */
  undo(run: string, gate: string): KeptDecision[] {
    const own = this.#all().filter((kept) => kept.run === run && kept.gate === gate && this.#isFree(kept));
    const newest = own.filter(({ at }) => at === own.at(-1)?.at);
    for (const { decision } of newest) localStorage.removeItem(keyOf(run, gate, decision.candidateId));
    if (newest.length > 0) this.#tell((events) => events.changed());
    return newest;
  }

  /** Of this person, oldest first. */
  pending(run: string, gate: string): KeptDecision[] {
    return this.#all().filter((kept) => kept.run === run && kept.gate === gate);
  }

  /** `now`: also those that could still be taken back. */
  async flush(now = false): Promise<void> {
    if (this.#busy || (Date.now() < this.#waitUntil && !now)) return;
    const due = this.#all().filter((kept) => this.#isDue(kept, now));
    const first = due[0];
    if (first === undefined) return;
    const together = due.filter(({ run, gate }) => run === first.run && gate === first.gate).slice(0, perRequestMax);
    const keys = together.map(({ run, gate, decision }) => keyOf(run, gate, decision.candidateId));
    this.#busy = true;
    for (const key of keys) this.#sending.add(key);
    this.#tell((events) => events.changed());
    try {
      const answer = await this.#connection.json<DecisionsAnswer>(pathOf(first.run, first.gate), {
        batch: await nameOf(together),
        decisions: together.map(({ decision }) => decision),
      });
      this.#failures = 0;
      this.#waitUntil = 0;
      this.#heldBack = '';
      for (const [index, kept] of together.entries()) {
        localStorage.removeItem(keys[index]!);
        const outcome = answer.outcomes.find(({ candidateId }) => candidateId === kept.decision.candidateId);
        if (outcome?.outcome === 'refused') this.#tell((events) => events.refused(outcome, kept));
      }
      this.#tell((events) => events.confirmed(answer, first.run, first.gate));
    } catch (error) {
      if (error instanceof AwayError || error instanceof LockedError) {
        this.#failures++;
        this.#heldBack = error instanceof HeldBackError ? error.message : '';
        this.#waitUntil = Date.now() + Math.min(10_000, 500 * 2 ** Math.min(5, this.#failures));
      } else {
        // The server will not have them: to send them again would block those that come after.
        for (const [index, kept] of together.entries()) {
          localStorage.removeItem(keys[index]!);
          const { candidateId } = kept.decision;
          const why = (error as Error).message;
          this.#tell((events) => events.refused({ candidateId, outcome: 'refused', why }, kept));
        }
      }
    } finally {
      this.#busy = false;
      for (const key of keys) this.#sending.delete(key);
      this.#tell((events) => events.changed());
    }
  }

  #tell(event: (events: OutboxEvents) => void): void {
    for (const listener of this.#listeners) event(listener);
  }

  #sendOff(): void {
    const all = this.#all().filter((kept) => kept.client === this.#client && this.#isFree(kept));
    const groups = new Map<string, KeptDecision[]>();
    for (const kept of all) {
      const path = pathOf(kept.run, kept.gate);
      groups.set(path, [...(groups.get(path) ?? []), kept]);
    }
    for (const [path, group] of groups) {
      // Browsers let some 64 kB outlive a page.
      const decisions = group.slice(0, perRequestMax).map(({ decision }) => decision);
      const batch = `leaving-${this.#client.slice(0, 12)}-${Date.now().toString(36)}`;
      void this.#connection.json(path, { batch, decisions }, { keepalive: true }).catch(() => {});
    }
  }

  #all(): KeptDecision[] {
    const all: KeptDecision[] = [];
    for (let i = 0; i < localStorage.length; i++) {
      const key = localStorage.key(i)!;
      if (!key.startsWith(prefix)) continue;
      try {
        const kept = JSON.parse(localStorage.getItem(key)!) as KeptDecision;
        if (kept.by === this.#by) all.push(kept);
      } catch {
        // Not ours to read; left as it is.
      }
    }
    return all.sort((a, b) => a.at - b.at);
  }

  #isFree({ run, gate, decision }: KeptDecision): boolean {
    return !this.#sending.has(keyOf(run, gate, decision.candidateId));
  }

  #isDue(kept: KeptDecision, now: boolean): boolean {
    const age = Date.now() - kept.at;
    return kept.client === this.#client ? now || age >= undoMs : age >= orphanMs;
  }
}

const pathOf = (run: string, gate: string): string =>
  `/api/runs/${encodeURIComponent(run)}/gates/${encodeURIComponent(gate)}/decisions`;

/** The same decisions, sent again because the answer was lost, are the same batch. */
async function nameOf(together: readonly KeptDecision[]): Promise<string> {
  const text = JSON.stringify(together.map(({ decision, at, by }) => [decision, at, by]));
  // Outside of loopback and TLS browsers have no crypto.subtle; such pages are not served.
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));
  return Array.from(digest.subarray(0, 12), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Leases: for some minutes a candidate is one client's, so that two people do not decide the same one. */

export interface Lease {
  /** Names a tab of a browser. */
  readonly client: string;
  /** Two tabs of one person do not get the same candidate, not even where two people are wanted. */
  readonly person: string;
  /** By the clock of the server that gave it (ms since 1970). */
  readonly until: number;
  /** It was answered: other servers learn that from the record, and a moment later. */
  readonly answered?: true;
}

/** Who has which candidate. */
export type LeaseTable = ReadonlyMap<string, readonly Lease[]>;

export interface LeaseQuestion {
  readonly id: string;
  /** How many people may have it at once. */
  readonly slots: number;
  /** Who has answered it: a page that has not yet given it back keeps nobody away. */
  readonly answeredBy?: readonly string[];
}

export interface LeaseTaking {
  readonly client: string;
  readonly person: string;
  /** What this person may be asked, in the order of asking. */
  readonly questions: readonly LeaseQuestion[];
  /** Its own already: their time begins anew, and they count for nothing. */
  readonly keep: readonly string[];
  readonly count: number;
  /** Which ids may be given; all, where it is left out. */
  readonly wanted?: (id: string) => boolean;
  /** Whether the candidate is still asked about, of whomever. */
  readonly isOpen: (id: string) => boolean;
}

export interface TakenLeases {
  /** The first `count` that are free, which the client has from now on. */
  readonly ids: readonly string[];
  /** Questions that others have at the moment. */
  readonly elsewhere: number;
}

/** A page asks again far more often; one that was closed blocks its candidates no longer than this. */
export const leaseMs = 3 * 60_000;

/** Nobody is asked again about what this person has just answered, for as long as the record may not say so yet. */
export function holdAnswered(before: LeaseTable, person: string, ids: readonly string[], now: number): LeaseTable {
  const held: Lease = { client: `${person} answered`, person, until: now + leaseMs, answered: true };
  return new Map([
    ...before,
    ...ids.map((id) => [id, [...(before.get(id) ?? []).filter((one) => one.person !== person), held]] as const),
  ]);
}

export function takeLeases(
  before: LeaseTable,
  { client, person, questions, keep, count, wanted = () => true, isOpen }: LeaseTaking,
  now: number,
): TakenLeases & { readonly table: LeaseTable } {
  const kept = new Set(keep);
  const table = new Map<string, readonly Lease[]>();
  for (const [id, leases] of before) {
    // What the client has and no longer names it has given back: skipped, or the page was reloaded.
    const left = leases.filter((one) => one.until > now && (one.client !== client || kept.has(id)));
    if (left.length > 0 && isOpen(id)) table.set(id, left);
  }
  const mine: Lease = { client, person, until: now + leaseMs };
  const ids: string[] = [];
  let elsewhere = 0;
  for (const { id, slots, answeredBy = [] } of questions) {
    const others = (table.get(id) ?? []).filter((one) => one.client !== client && !answeredBy.includes(one.person));
    const isTaken = others.length >= slots || others.some((one) => one.person === person);
    if (isTaken) {
      if (!others.some((one) => one.answered && one.person === person)) elsewhere++;
      continue;
    }
    if (!kept.has(id)) {
      if (ids.length >= count || !wanted(id)) continue;
      ids.push(id);
    }
    table.set(id, [...others, mine]);
  }
  return { ids, elsewhere, table };
}

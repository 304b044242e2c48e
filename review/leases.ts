/** Leases: for some minutes a candidate is one client's, so that two people do not decide the same one. */

export interface Leases {
  /**
   * The first `count` ids that nobody else has, in the given order, which the client has from now on. Those of `keep`
   * are its own already: their time begins anew, and they count for nothing.
   */
  take(
    client: string,
    undecided: readonly string[],
    keep: readonly string[],
    count: number,
    /** Which ids may be given; all, where it is left out. */
    wanted?: (id: string) => boolean,
    now?: number,
  ): { readonly ids: readonly string[]; readonly elsewhere: number };
}

/** A page asks again far more often; one that was closed blocks its candidates no longer than this. */
export const leaseMs = 3 * 60_000;

/** In memory: after a restart the pages name what they have, and have it again. */
export function createLeases(): Leases {
  const held = new Map<string, { client: string; until: number }>();
  return {
    take: (client, undecided, keep, count, wanted = () => true, now = Date.now()) => {
      const open = new Set(undecided);
      const kept = new Set(keep);
      for (const [id, lease] of held) {
        // What the client has and no longer names it has given back: skipped, or the page was reloaded.
        if (lease.until <= now || !open.has(id) || (lease.client === client && !kept.has(id))) held.delete(id);
      }
      for (const id of keep) {
        if (open.has(id) && !held.has(id)) held.set(id, { client, until: now + leaseMs });
        const lease = held.get(id);
        if (lease?.client === client) lease.until = now + leaseMs;
      }
      const ids: string[] = [];
      let elsewhere = 0;
      for (const id of undecided) {
        const lease = held.get(id);
        if (lease !== undefined && lease.client !== client) elsewhere++;
        if (lease !== undefined || kept.has(id) || ids.length >= count || !wanted(id)) continue;
        held.set(id, { client, until: now + leaseMs });
        ids.push(id);
      }
      return { ids, elsewhere };
    },
  };
}

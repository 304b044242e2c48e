/**
 * Successive halving (Jamieson and Talwalkar, 2016): trials are compared after some epochs, and only the best go on.
 *
 * As in its asynchronous form, ASHA (Li et al., 2020), no worker need wait until a rung is full: whoever is among the
 * best so far may go on. But that holds only until better ones report, so that in the end those have gone on who are
 * the best of the full rung, in whatever order the reports came.
 */

export interface Halving {
  /** One in so many goes on from a rung. */
  readonly eta: number;
  /** Epochs of the first rung; each next one has `eta` times as many. */
  readonly minEpochs: number;
  /** At least so many are trained to the end. */
  readonly finalists: number;
}

export interface Rung {
  readonly epoch: number;
  readonly compared: number;
  /** How many of those go on. */
  readonly kept: number;
}

/** The rungs below the last epoch at which some trial stops. */
export function rungsOf(trials: number, epochs: number, { eta, minEpochs, finalists }: Halving): Rung[] {
  const rungs: Rung[] = [];
  let compared = trials;
  for (let epoch = minEpochs; epoch < epochs; epoch *= eta) {
    const kept = Math.min(compared, Math.max(finalists, Math.ceil(compared / eta)));
    if (kept < compared) rungs.push({ epoch, compared, kept });
    compared = kept;
  }
  return rungs;
}

/** What a trial has reached at a rung. */
export interface Reached {
  readonly AP: number;
  readonly flops: number;
  readonly parameters: number;
}

/** A trial that is to be trained, to a rung by its index, or to the end (the number of rungs). */
export interface Wanted {
  readonly trial: number;
  readonly rung: number;
  /** Whether it is wanted whatever the others report. */
  readonly certain: boolean;
}

export interface Standings {
  /** In the order of the rungs. */
  readonly wanted: readonly Wanted[];
  /** Trials that are out whatever else is reported, with the rung at which they lost. */
  readonly stopped: ReadonlyMap<number, number>;
}

/** `reached[trial][rung]`, the last of which is the end, is what was reported so far. */
export function standingsOf(rungs: readonly Rung[], reached: readonly (readonly (Reached | undefined)[])[]): Standings {
  const wanted: Wanted[] = [];
  const stopped = new Map<number, number>();
  let members = reached.map((_, trial) => trial);
  let certain = new Set(members);
  // Whether all that were compared before have reported, so that nobody is here by favour of the moment.
  let settled = true;
  for (const [index, { kept }] of rungs.entries()) {
    const reported = members.filter((trial) => reached[trial]![index] !== undefined);
    for (const trial of members)
      if (reached[trial]![index] === undefined) wanted.push({ trial, rung: index, certain: certain.has(trial) });
    const ranked = reported.toSorted((a, b) => compare(reached[a]![index]!, reached[b]![index]!) || a - b);
    if (settled) for (const trial of ranked.slice(kept)) stopped.set(trial, index);
    // Each who has not reported may yet turn out better.
    certain = new Set(settled ? ranked.slice(0, Math.max(0, kept - (members.length - reported.length))) : []);
    settled &&= reported.length === members.length;
    members = ranked.slice(0, kept).sort((a, b) => a - b);
  }
  for (const trial of members) {
    if (reached[trial]![rungs.length] === undefined)
      wanted.push({ trial, rung: rungs.length, certain: certain.has(trial) });
  }
  return { wanted, stopped };
}

/** By AP, the highest first; of equals the cheaper. */
function compare(a: Reached, b: Reached): number {
  return b.AP - a.AP || a.flops - b.flops || a.parameters - b.parameters;
}

/** A step's fingerprint, by the row of its kind. */

import { fingerprintOf, stepSeed } from '../artifacts/fingerprint.ts';
import { stepKinds } from '../plan/step-kinds.ts';
import type { StepRequest } from '../plan/types.ts';

/** The parts of a capacity search have no rows of their own. */
const partOf: { readonly [kind: string]: string } = {
  'capacity-rung': 'search-capacity',
  'capacity-trial': 'search-capacity',
  'choose-capacity': 'search-capacity',
};

export function rowOf(kind: string) {
  return stepKinds.get(partOf[kind] ?? kind);
}

export function fingerprintOfStep({
  kind,
  version,
  with: parameters,
  secrets,
  seed,
  path,
  fresh,
  outputs,
}: StepRequest): string {
  // A kind without a row is not ours; that its results hang on the seed is the safe guess.
  const seeded = rowOf(kind)?.seeded ?? true;
  const own = seeded ? stepSeed(seed, path) : undefined;
  return fingerprintOf({ kind, version, with: parameters, secrets, seed: own, fresh, outputs });
}

/** Whether an earlier result may stand for the step. */
export function isReusable(kind: string): boolean {
  return rowOf(kind)?.reusable ?? true;
}

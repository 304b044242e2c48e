/** The name of a plan: the digest of its canonical JSON. Apart from `canonical.ts`, because workflows have no crypto. */

import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical.ts';
import type { Plan } from './types.ts';

/** SHA-256, hex. */
export function digestPlan(plan: Plan): string {
  return createHash('sha256').update(canonicalJson(plan)).digest('hex');
}

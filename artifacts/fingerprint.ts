/** The identity of a step's work: equal fingerprints mean equal results. */

import { canonicalJson } from '../plan/canonical.ts';
import { isArtifactRef, type Json } from '../plan/types.ts';
import { sha256Hex } from './digest.ts';

/** Parameters that say when to wait, how often to save, or where to copy, but change no result. */
const OUTSIDE_IDENTITY: ReadonlySet<string> = new Set(['after', 'to', 'checkpointEvery']);

export interface StepIdentity {
  readonly kind: string;
  /** Code version of the kind: raised when new code gives other results from the same inputs. */
  readonly version: number;
  /** Inputs and parameters, defaults filled in, so that writing a default out changes nothing. */
  readonly with: { readonly [name: string]: Json };
  /** Where in `with` secrets stand by their names: data that looks like one is other work. */
  readonly secrets?: readonly string[];
  /** The step's own seed; absent for kinds that draw no random numbers, whose results no seed changes. */
  readonly seed?: number;
  /** Sets work apart that must not be reused from elsewhere: the steps that a fork runs anew. */
  readonly fresh?: string;
  /** Declared outputs of an activity of another program. */
  readonly outputs?: Json;
}

/**
 * SHA-256 (hex) of the identity. The path, the run, the queue, the timeout and the retries are no part of it: the same
 * work elsewhere gives the same result. Nor is the environment (threads, CPU, build): it is kept with the result, or
 * else no result would survive a change of machine.
 */
export function fingerprintOf(identity: StepIdentity): string {
  const { kind, version, with: parameters, secrets, seed, fresh, outputs } = identity;
  const inputs = digestsOnly(identityParameters(parameters));
  return sha256Hex(canonicalJson({ kind, version, with: inputs, secrets, seed, fresh, outputs }));
}

/** The parameters that count: without those that change no result. */
export function identityParameters(parameters: StepIdentity['with']): { readonly [name: string]: Json } {
  return Object.fromEntries(Object.entries(parameters).filter(([name]) => !OUTSIDE_IDENTITY.has(name)));
}

/** A step's own seed, 32 bits unsigned: a hash of the pipeline's seed and the path, so that no two steps share one. */
export function stepSeed(pipelineSeed: number, path: string): number {
  return Number.parseInt(sha256Hex(canonicalJson([pipelineSeed, path])).slice(0, 8), 16);
}

/** References count by digest alone: what else they carry (the size, perhaps more one day) says nothing new. */
function digestsOnly(value: Json): Json {
  if (isArtifactRef(value)) return { digest: value.digest };
  if (Array.isArray(value)) return value.map(digestsOnly);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, digestsOnly(item)]));
  }
  return value;
}

/** What every step's code is given, apart from its inputs. */

import type { Store } from '../artifacts/store.ts';
import type { Json, RunEnvironment } from '../plan/types.ts';

export interface StepContext {
  readonly store: Store;
  readonly run: string;
  readonly path: string;
  /** The step's own seed: a hash of the pipeline's and the path. */
  readonly seed: number;
  /** Names the step's checkpoints and its record. */
  readonly fingerprint: string;
  readonly environment: RunEnvironment;
  /** Aborted when the step is cancelled, timed out, or its worker stops; long work ends soon after, with a checkpoint. */
  readonly signal: AbortSignal;
  /** Tells Temporal that the step lives, and the live view what it does (written to the run record, throttled). */
  progress(message: string, share?: number): void;
  /** Adds to the record of this attempt: from which training step it was resumed. */
  resumed(fromStep: number, exact: boolean): void;
  /** A warning for people, kept with the run and shown by `status` and the report. */
  notice(message: string): Promise<void>;
}

/** One step kind's code: inputs and parameters (defaults filled in) to outputs. */
export type StepImplementation<With, Outputs> = (context: StepContext, parameters: With) => Promise<Outputs>;

/** As registered: parameters were checked against the kind's schema before the run. */
export type AnyStepImplementation = StepImplementation<never, { readonly [name: string]: Json }>;

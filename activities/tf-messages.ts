/** What an activity and its TensorFlow process tell each other over their IPC channel. */

import type { Json, RunEnvironment } from '../plan/types.ts';

/** The first message to the child: the step it is to run. */
export interface StartMessage {
  readonly type: 'start';
  readonly kind: string;
  readonly storeUrl: string;
  readonly run: string;
  readonly path: string;
  readonly seed: number;
  readonly fingerprint: string;
  readonly environment: RunEnvironment;
  readonly parameters: Json;
}

export type ToChild =
  | StartMessage
  /** The step was cancelled or the worker stops: save what there is, and end. */
  | { readonly type: 'stop' }
  /** The notice with this number is kept. */
  | { readonly type: 'noticed'; readonly id: number };

export type FromChild =
  | { readonly type: 'progress'; readonly message: string; readonly share?: number }
  | { readonly type: 'resumed'; readonly step: number; readonly exact: boolean }
  | { readonly type: 'notice'; readonly id: number; readonly message: string }
  | { readonly type: 'done'; readonly outputs: Json }
  | { readonly type: 'failed'; readonly failure: ChildFailure };

/** An error as it crosses the channel. */
export interface ChildFailure {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
  /** Type of an ApplicationFailure. */
  readonly type?: string;
  /** True where no retry can mend it. */
  readonly nonRetryable: boolean;
  /** Of a store's errors. */
  readonly digest?: string;
  readonly place?: string;
  readonly transient?: boolean;
}

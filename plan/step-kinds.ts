/** One row a step kind: what it takes from and gives to other steps, where and how long it runs. */

import type { ArtifactKind, DeclaredType, RetryPolicy } from './types.ts';

/** Type of an input or output, as expressions see it. */
export type ValueType = DeclaredType;

export interface StepKind {
  readonly kind: string;
  /** Raised when the kind's code changes its results; part of every fingerprint. */
  readonly version: number;
  /** How the interpreter runs it. */
  readonly type: 'activity' | 'gate' | 'search' | 'approve' | 'foreign';
  /** Parameters (keys of `with`) that take artifacts; all others are plain values, checked by the kind's schema. */
  readonly inputs: { readonly [name: string]: ValueType };
  readonly outputs: { readonly [name: string]: ValueType };
  /** Whether its seed is part of the fingerprint. */
  readonly seeded: boolean;
  /** False for a kind that reads the run record or writes outside of the store, and so must run anew in each run. */
  readonly reusable: boolean;
  readonly queue: 'cpu' | 'train';
  readonly timeoutMs: number;
  readonly heartbeatMs: number;
  readonly retry: RetryPolicy;
}

const artifact = (kind: ArtifactKind): ValueType => ({ artifact: kind });
const list = (item: ValueType): ValueType => ({ list: item });

const minute = 60_000;
const hour = 60 * minute;
const retry: RetryPolicy = { max: 3, initialMs: 1_000, factor: 2, maxMs: 60_000 };
const light = { queue: 'cpu', timeoutMs: 6 * hour, heartbeatMs: 15_000, retry } as const;
const heavy = { queue: 'train', timeoutMs: 14 * 24 * hour, heartbeatMs: 15_000, retry } as const;

const kinds: readonly StepKind[] = [
  {
    kind: 'synthesize',
    version: 2,
    type: 'activity',
    inputs: {},
    outputs: { dataset: artifact('dataset'), truth: artifact('labels'), planted: artifact('planted') },
    seeded: true,
    reusable: true,
    ...light,
  },
  {
    kind: 'import-dataset',
    version: 1,
    type: 'activity',
    inputs: { source: artifact('tree') },
    outputs: { dataset: artifact('dataset'), coercions: artifact('coercions'), images: 'number' },
    seeded: true,
    reusable: true,
    ...light,
  },
  {
    kind: 'import-model',
    version: 1,
    type: 'activity',
    inputs: { source: artifact('tree') },
    outputs: { model: artifact('model') },
    seeded: true,
    reusable: true,
    ...light,
  },
  {
    kind: 'search-capacity',
    version: 2,
    type: 'search',
    inputs: { dataset: artifact('dataset') },
    outputs: {
      model: artifact('model'),
      trials: artifact('trials'),
      depth: 'number',
      width: 'number',
      imageSize: 'number',
      AP: 'number',
    },
    seeded: true,
    reusable: true,
    ...heavy,
  },
  {
    kind: 'train',
    version: 3,
    type: 'activity',
    inputs: {
      init: artifact('model'),
      dataset: artifact('dataset'),
      select: artifact('selection'),
      'replay.from': artifact('selection'),
    },
    outputs: {
      model: artifact('model'),
      curves: artifact('curves'),
      chain: artifact('chain'),
      dynamics: artifact('dynamics'),
      steps: 'number',
      newShare: 'number',
      AP: 'number',
    },
    seeded: true,
    reusable: true,
    ...heavy,
  },
  {
    kind: 'detect',
    version: 1,
    type: 'activity',
    inputs: { model: artifact('model'), dataset: artifact('dataset'), select: artifact('selection') },
    outputs: { detections: artifact('detections') },
    seeded: false,
    reusable: true,
    ...heavy,
  },
  {
    kind: 'mine',
    version: 5,
    type: 'activity',
    inputs: {
      model: artifact('model'),
      crossFit: list(artifact('model')),
      dataset: artifact('dataset'),
      select: artifact('selection'),
    },
    outputs: {
      candidates: artifact('candidates'),
      hardImages: artifact('selection'),
      hardShare: 'number',
      crops: 'number',
      truePositives: 'number',
      falsePositives: 'number',
      falseNegatives: 'number',
    },
    seeded: false,
    reusable: true,
    ...heavy,
  },
  {
    kind: 'review-labels',
    version: 1,
    type: 'gate',
    inputs: {
      dataset: artifact('dataset'),
      candidates: artifact('candidates'),
      'reviewer.oracle.truth': artifact('labels'),
    },
    outputs: {
      dataset: artifact('dataset'),
      allImages: artifact('selection'),
      corrections: artifact('corrections'),
      changed: 'number',
    },
    seeded: true,
    reusable: true,
    ...light,
  },
  {
    kind: 'profile-loss',
    version: 2,
    type: 'activity',
    inputs: { models: list(artifact('model')), dataset: artifact('dataset'), select: artifact('selection') },
    outputs: { profile: artifact('profile') },
    seeded: false,
    reusable: true,
    ...heavy,
  },
  {
    kind: 'quarantine',
    version: 1,
    type: 'activity',
    inputs: {
      dataset: artifact('dataset'),
      dynamics: artifact('dynamics'),
      profiles: list(artifact('profile')),
      previous: artifact('quarantined'),
    },
    outputs: {
      dataset: artifact('dataset'),
      quarantined: artifact('quarantined'),
      candidates: artifact('candidates'),
      held: 'number',
      released: 'number',
    },
    seeded: false,
    reusable: true,
    ...light,
  },
  {
    kind: 'promote',
    version: 1,
    type: 'activity',
    inputs: { old: artifact('model'), new: artifact('model'), dataset: artifact('dataset') },
    outputs: {
      model: artifact('model'),
      promoted: 'boolean',
      change: 'number',
      gain: 'number',
      gainLow: 'number',
      gainHigh: 'number',
      hardImages: 'number',
      reason: 'string',
    },
    seeded: true,
    reusable: true,
    ...heavy,
  },
  {
    kind: 'track-forgetting',
    version: 1,
    type: 'activity',
    inputs: { models: list(artifact('model')), dataset: artifact('dataset') },
    outputs: {
      ledger: artifact('forgetting'),
      learnt: 'number',
      forgotten: 'number',
      relearnt: 'number',
      never: 'number',
    },
    seeded: false,
    reusable: true,
    ...heavy,
  },
  {
    kind: 'merge',
    version: 1,
    type: 'activity',
    inputs: { models: list(artifact('model')) },
    outputs: {
      models: list(artifact('model')),
      prefixes: list(artifact('ensemble')),
      ensemble: artifact('ensemble'),
    },
    seeded: false,
    reusable: true,
    ...light,
  },
  {
    kind: 'evaluate',
    version: 1,
    type: 'activity',
    inputs: {
      models: list(artifact('model')),
      merged: list(artifact('ensemble')),
      baseline: artifact('model'),
      control: list(artifact('ensemble')),
      dataset: artifact('dataset'),
      truth: artifact('labels'),
      // Put there by the compiler for `labels: all`: every later label version of the run.
      versions: list(artifact('dataset')),
    },
    outputs: { metrics: artifact('metrics'), AP: 'number', AP50: 'number' },
    seeded: true,
    reusable: true,
    ...heavy,
  },
  {
    // Put into a round by the compiler where an expression reads `round.gain`; not for use in a file.
    kind: 'compare-models',
    version: 1,
    type: 'activity',
    inputs: { old: artifact('model'), new: artifact('model'), dataset: artifact('dataset') },
    outputs: { value: 'number', low: 'number', high: 'number' },
    seeded: true,
    reusable: true,
    ...heavy,
  },
  {
    kind: 'report',
    version: 1,
    type: 'activity',
    inputs: { tables: list(artifact('metrics')) },
    outputs: { report: artifact('report') },
    seeded: false,
    reusable: false,
    ...light,
  },
  {
    kind: 'export',
    version: 2,
    type: 'activity',
    inputs: { model: artifact('model'), dataset: artifact('dataset') },
    outputs: { files: artifact('tree') },
    seeded: false,
    reusable: false,
    ...light,
  },
];

export const stepKinds: ReadonlyMap<string, StepKind> = new Map(kinds.map((row) => [row.kind, row]));

/** Kinds that a pipeline file may use. */
export const publicKinds: readonly string[] = kinds.map((row) => row.kind).filter((kind) => kind !== 'compare-models');

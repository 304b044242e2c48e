/** Numbers that are none: how a training notices them, and what it says. */

import type { StepReport, TrainState } from './train-graph.ts';

/** A loss, gradient or weight that is not a finite number: the weights after this step are worthless. */
export class NonFiniteLossError extends Error {
  override name = 'NonFiniteLossError';
  readonly step: number;
  readonly imageIds: readonly number[];
  /** Names of the loss terms, `gradientNorm`, or `weights`. */
  readonly terms: readonly string[];

  constructor(failure: NonFinite, images: readonly string[], checkpoint: number | null, returns: number) {
    const tried =
      returns === 0 ? '' : ` The training had gone back ${returns === 1 ? 'once' : `${returns} times`} already.`;
    const kept =
      checkpoint === null ? 'There is no checkpoint yet.' : `The last good checkpoint is step ${checkpoint}.`;
    super(
      `Step ${failure.step}: ${failure.said}. Images of the batch: ${images.join(', ')}. ${kept}${tried} ` +
        'A lower learningRate, clip: { when: always } or onNonFinite: { returns: 2 } usually helps; ' +
        'so does looking at those images and their boxes.',
    );
    this.step = failure.step;
    this.imageIds = failure.imageIds;
    this.terms = failure.terms;
  }
}

/** What was not finite after a step. */
export interface NonFinite {
  readonly step: number;
  readonly imageIds: readonly number[];
  readonly terms: readonly string[];
  /** `objectness is NaN, gradientNorm is Infinity`. */
  readonly said: string;
}

/** Null where all is well. */
export function nonFiniteReport(step: number, imageIds: readonly number[], report: StepReport): NonFinite | null {
  const wrong = Object.entries(report).filter(([, value]) => !Number.isFinite(value));
  if (wrong.length === 0) return null;
  return {
    step,
    imageIds,
    terms: wrong.map(([name]) => name),
    said: wrong.map(([name, value]) => `${name} is ${value}`).join(', '),
  };
}

/** Null where all is well. A finite loss does not show what the update after it did to the weights. */
export function nonFiniteState(step: number, imageIds: readonly number[], state: TrainState): NonFinite | null {
  const wrong = Object.keys(state).filter((name) => !allFinite(state[name]!));
  if (wrong.length === 0) return null;
  const said = `${wrong.join(', ')} ${wrong.length === 1 ? 'holds' : 'hold'} numbers that are not finite after the update`;
  return { step, imageIds, terms: ['weights'], said };
}

function allFinite(values: Float32Array): boolean {
  // Nothing times zero is zero, but infinity and NaN are NaN: no comparison for each of millions of values.
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * 0;
  return sum === 0;
}

/** How far a step is from the reference, in figures and in words, and the reference in short, as the fixtures hold it. */

import { createHash } from 'node:crypto';
import type { ParityCase, ParityInputs, ParityResult } from './parity-cases.ts';

/** Relative, for loss terms. */
export const TERM_TOLERANCE = 1e-5;
/** Relative, for gradients and for what a step adds to a variable: to the norm of a tensor, and to its largest element. */
export const GRADIENT_TOLERANCE = 1e-4;
/**
 * Float32 alone loses more than that in some nets, the more or less by the CPU's order of sums: there so many times what PyTorch's
 * own gradient is off by in float32 is the measure.
 */
export const OWN_ERROR = 3;
/** A tensor whose gradient is this share of the whole gradient's norm, or less, counts as zero. */
const ZERO_SHARE = 1e-7;
/** What float32 may lose of a number. */
const ROUNDING = 2 ** -23;

/** A vector as its norm, its largest element, and some or all elements at even distances. */
interface Sampled {
  readonly size: number;
  readonly norm: number;
  readonly largest: number;
  readonly sample: readonly number[];
}

/** A step in short. */
export interface StepSummary {
  readonly name: string;
  /** Digest of the targets: with another one, it is another step under the old name. */
  readonly targets: string;
  readonly report: ParityResult['report'];
  /** By tensor. */
  readonly gradients: Readonly<Record<string, Sampled>>;
  /** By variable: what the step added to it. */
  readonly changes: Readonly<Record<string, Sampled>>;
}

/** `samples` elements of each tensor; all of them unless given. */
export function summarise(
  { name }: ParityCase,
  { layout, state, targets }: ParityInputs,
  result: ParityResult,
  samples: { gradients: number; changes: number } | null = null,
): StepSummary {
  const gradients: Record<string, Sampled> = {};
  let offset = 0;
  for (const { name: tensor, size } of layout.parameters) {
    const values = Float64Array.from({ length: size }, (_, i) => result.gradient[offset + i]!);
    gradients[tensor] = sampled(values, samples?.gradients ?? size);
    offset += size;
  }
  const changes: Record<string, Sampled> = {};
  for (const [variable, before] of Object.entries(state)) {
    const after = result.state[variable]!;
    const added = Float64Array.from(before, (value, i) => after[i]! - value);
    changes[variable] = sampled(added, samples?.changes ?? added.length);
  }
  const hash = createHash('sha256');
  for (const array of [targets.objectness, targets.counted, targets.rows, targets.boxes, targets.classes]) {
    hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  }
  return { name, targets: hash.digest('hex').slice(0, 16), report: result.report, gradients, changes };
}

function sampled(values: Float64Array, count: number): Sampled {
  const step = Math.max(1, values.length / count);
  const length = Math.min(count, values.length);
  let square = 0;
  let largest = 0;
  for (const value of values) {
    square += value ** 2;
    largest = Math.max(largest, Math.abs(value));
  }
  const sample = Array.from({ length }, (_, i) => values[Math.floor(i * step)]!);
  return { size: values.length, norm: Math.sqrt(square), largest, sample };
}

/** A step of the fixtures. */
export interface FixtureStep extends StepSummary {
  /** What PyTorch's own step in float32 is off by: the largest of any tensor's gradient. */
  readonly single: number;
}

export const gradientTolerance = (single: number): number => Math.max(GRADIENT_TOLERANCE, OWN_ERROR * single);

/** The largest relative distances of a step from the reference. */
export interface Distances {
  readonly term: number;
  /** Of any tensor's gradient: its norm-wise distance where all elements are known, and that of an element from the largest. */
  readonly tensor: number;
  readonly element: number;
  /** Of what was added to any variable, beyond what float32 rounds away. */
  readonly change: number;
  /** One line for each that is too far. */
  readonly problems: readonly string[];
}

/**
 * Both summaries with the same samples. `magnitudes`: the largest value of each variable, for what float32 rounds away.
 * `tolerance` is for gradients, and for what a step adds.
 */
export function distances(
  ours: StepSummary,
  reference: StepSummary,
  magnitudes: Readonly<Record<string, number>>,
  tolerance: number = GRADIENT_TOLERANCE,
): Distances {
  const problems: string[] = [];
  const note = (what: string, distance: number, limit: number): number => {
    if (!(distance <= limit)) problems.push(`${what} is off by ${distance.toExponential(2)}, allowed ${limit}`);
    return distance;
  };
  let [term, tensor, element, change] = [0, 0, 0, 0];
  for (const [name, expected] of Object.entries(reference.report)) {
    const limit = name === 'gradientNorm' ? tolerance : TERM_TOLERANCE;
    const found = ours.report[name as keyof StepSummary['report']];
    const off = note(name, Math.abs(found - expected) / Math.max(Math.abs(expected), ZERO_SHARE), limit);
    if (name !== 'gradientNorm') term = Math.max(term, off);
  }
  const total = Math.hypot(...Object.values(reference.gradients).map(({ norm }) => norm));
  for (const [name, expected] of Object.entries(reference.gradients)) {
    const zero = ZERO_SHARE * total;
    const off = offBy(ours.gradients[name]!, expected, zero);
    tensor = Math.max(tensor, note(`The gradient of ${name}`, off.norm, tolerance));
    element = Math.max(element, note(`An element of the gradient of ${name}`, off.element, 2 * tolerance));
  }
  for (const [name, expected] of Object.entries(reference.changes)) {
    const rounded = ROUNDING * magnitudes[name]!;
    const off = offBy(ours.changes[name]!, expected, Number.MIN_VALUE, rounded);
    change = Math.max(change, note(`What was added to ${name}`, Math.max(off.norm, off.element), tolerance));
  }
  return { term, tensor, element, change, problems };
}

/** `zero`: a norm that counts as none. `rounded`: what may be off in each element for rounding alone. */
function offBy(ours: Sampled, expected: Sampled, zero: number, rounded = 0): { norm: number; element: number } {
  let square = 0;
  let largest = 0;
  for (const [i, value] of expected.sample.entries()) {
    const off = Math.max(0, Math.abs(ours.sample[i]! - value) - rounded);
    square += off ** 2;
    largest = Math.max(largest, off);
  }
  const isComplete = expected.sample.length === expected.size;
  const distance = isComplete ? Math.sqrt(square) : Math.abs(ours.norm - expected.norm);
  const slack = isComplete ? 0 : rounded * Math.sqrt(expected.size);
  return {
    norm: Math.max(0, distance - slack) / Math.max(expected.norm, zero),
    element: largest / Math.max(expected.largest, zero),
  };
}

import { expect, test } from 'vitest';
import { flatten, initialWeights, networkLayout } from '../../../detection/model/network.ts';
import { createTargetBuilder } from '../../../detection/model/targets.ts';
import { type Tensor, tf, type Values } from '../../../detection/model/tf.ts';
import { GraphSession, type Tracer } from '../../../detection/model/traced-graph.ts';
import { defaultTrainOptions } from '../../../detection/model/train.ts';
import {
  buildTrainGraph,
  decayVector,
  type GraphOptions,
  readReport,
  stepFeeds,
  traceTrainStep,
} from '../../../detection/model/train-graph.ts';
import { batchOf, discImage, tiny } from './scenes.ts';

// A smooth activation: at a kink, a difference of 1e-6 can become one of percents.
const architecture = { ...tiny, activation: 'silu' as const };
const layout = networkLayout(architecture);
const settings = {
  learningRate: 0.01,
  clipNorm: Number.POSITIVE_INFINITY,
  emaDecay: 0.5,
  statisticsRate: 0.03,
  correction1: 10,
  correction2: 1000,
};
const targetsOf = createTargetBuilder(architecture, 4, { ...defaultTrainOptions, labelSmoothing: 0 });

function graphOptions(changes: Partial<GraphOptions>): GraphOptions {
  return { ...defaultTrainOptions, batchSize: 4, ...changes };
}

function startState(optimizer: 'momentum' | 'adam'): Record<string, Float32Array> {
  const { parameters, statistics } = flatten(layout, initialWeights(architecture, 5));
  const zeros = () => new Float32Array(parameters.length);
  const state = { weights: parameters, statistics, slot1: zeros(), emaWeights: parameters, emaStatistics: statistics };
  return optimizer === 'adam' ? { ...state, slot2: zeros() } : state;
}

/** Runs the same code op by op instead of noting it. */
class EagerTracer implements Tracer {
  readonly results: Record<string, Float32Array> = {};
  readonly #feeds: Record<string, Values>;
  readonly #state: Record<string, Float32Array>;

  constructor(feeds: Record<string, Values>, state: Record<string, Float32Array>) {
    this.#feeds = feeds;
    this.#state = state;
  }

  input(name: string, shape: readonly number[], type: string): Tensor {
    const values = this.#feeds[name]!;
    if (type === 'int32') return tf.tensor(values, [...shape], 'int32');
    return tf.tensor(Float32Array.from(values), [...shape], 'float32');
  }

  variable(name: string, shape: readonly number[]): Tensor {
    return tf.tensor(this.#state[name]!, [...shape]);
  }

  signature(_name: string, outputs: Record<string, Tensor>, updates: Record<string, Tensor> = {}): void {
    for (const [name, tensor] of Object.entries({ ...outputs, ...updates })) {
      this.results[name] = tensor.dataSync() as Float32Array;
    }
  }
}

function difference(a: Float32Array, b: Float32Array): number {
  let error = 0;
  let norm = 0;
  for (let i = 0; i < a.length; i++) {
    error += (a[i]! - b[i]!) ** 2;
    norm += b[i]! ** 2;
  }
  return Math.sqrt(error / Math.max(norm, 1e-30));
}

const batch = batchOf([1, 2, 3, 4].map((id) => discImage(id)));

test.each(['momentum', 'adam'] as const)('a step of the traced graph equals the eager step: %s', (optimizer) => {
  const options = graphOptions({ optimizer });
  const feeds = stepFeeds(batch.pixels, targetsOf(batch), settings);
  const session = new GraphSession(buildTrainGraph(architecture, options));
  session.load(startState(optimizer));
  const { report } = session.run('train', feeds);
  const state = session.save();
  session.dispose();

  const eager = new EagerTracer(feeds, startState(optimizer));
  tf.tidy(() => traceTrainStep(eager, architecture, options));
  expect(difference(report!, eager.results.report!)).toBeLessThan(1e-5);
  for (const [name, values] of Object.entries(state)) {
    // The change is what the gradients made, so the comparison is of that.
    const start = startState(optimizer)[name]!;
    const change = (to: Float32Array) => to.map((value, i) => value - start[i]!);
    expect(difference(change(values), change(eager.results[name]!)), name).toBeLessThan(1e-3);
    expect(difference(values, eager.results[name]!), name).toBeLessThan(1e-4);
  }
});

test('a step with momentum moves the weights by rate times (gradient + decay), and the averages halfway', () => {
  const options = graphOptions({ optimizer: 'momentum', weightDecay: 0.1 });
  const session = new GraphSession(buildTrainGraph(architecture, options));
  const start = startState('momentum');
  session.load(start);
  const feeds = stepFeeds(batch.pixels, targetsOf(batch), settings);
  const first = readReport(session.run('train', feeds).report!);
  const state = session.save();
  let squares = 0;
  const decay = decayVector(architecture, 0.1);
  for (const [i, velocity] of state.slot1!.entries()) {
    squares += (velocity - decay[i]! * start.weights![i]!) ** 2;
    expect(Math.abs(state.weights![i]! - (start.weights![i]! - 0.01 * velocity))).toBeLessThan(1e-6);
    expect(Math.abs(state.emaWeights![i]! - (start.weights![i]! + state.weights![i]!) / 2)).toBeLessThan(1e-6);
  }
  expect(Math.sqrt(squares)).toBeCloseTo(first.gradientNorm, 4);

  // The same step with a bound of half the norm moves half as far, decay apart.
  session.load(start);
  const clipped = session.run(
    'train',
    stepFeeds(batch.pixels, targetsOf(batch), { ...settings, clipNorm: first.gradientNorm / 2 }),
  );
  expect(readReport(clipped.report!).gradientNorm).toBeCloseTo(first.gradientNorm, 4);
  const halved = session.save().slot1!;
  const expected = state.slot1!.map((v, i) => (v + decay[i]! * start.weights![i]!) / 2);
  expect(difference(halved, expected)).toBeLessThan(1e-4);
  session.dispose();
});

test('only kernels decay', () => {
  const decay = decayVector(architecture, 0.5);
  let offset = 0;
  for (const { kind, size } of layout.parameters) {
    const expected = kind === 'kernel' ? 0.5 : 0;
    expect([decay[offset], decay[offset + size - 1]]).toEqual([expected, expected]);
    offset += size;
  }
});

test('a batch of empty images adds no box or class loss, and stays finite', () => {
  const empty = { ...discImage(1, 48, 2), boxes: new Float32Array(0), classes: new Int32Array(0), annotationIds: [] };
  const nothing = batchOf([empty, empty, empty, empty]);
  const session = new GraphSession(buildTrainGraph(architecture, graphOptions({})));
  session.load(startState('adam'));
  const report = readReport(session.run('train', stepFeeds(nothing.pixels, targetsOf(nothing), settings)).report!);
  expect(report.box).toBe(0);
  expect(report.class).toBe(0);
  expect(report.objectness).toBeGreaterThan(0);
  for (const values of Object.values(session.save())) expect(values.every(Number.isFinite)).toBe(true);
  session.dispose();
});

test('ignore regions change the loss of background, and nothing else', () => {
  const session = new GraphSession(buildTrainGraph(architecture, graphOptions({})));
  const run = (ignore: Float32Array) => {
    session.load(startState('adam'));
    const targets = targetsOf({ ...batch, ignore: batch.ignore.map(() => ignore) });
    return readReport(session.run('train', stepFeeds(batch.pixels, targets, settings)).report!);
  };
  const [without, withRegion] = [run(new Float32Array(0)), run(Float32Array.of(0, 0, 48, 48))];
  session.dispose();
  expect(withRegion.box).toBe(without.box);
  expect(withRegion.objectness).toBeLessThan(without.objectness);
  expect(withRegion.objectness).toBeGreaterThan(0);
});

import { expect, test } from 'vitest';
import { flatten, initialWeights, networkLayout } from '../../../detection/model/network.ts';
import { createTargetBuilder } from '../../../detection/model/targets.ts';
import { type Tensor, tf, type Values } from '../../../detection/model/tf.ts';
import { ANY_NUMBER, GraphSession, type Tracer } from '../../../detection/model/traced-graph.ts';
import { defaultTrainOptions } from '../../../detection/model/train.ts';
import {
  buildTrainGraph,
  decayVector,
  freshState,
  type GraphOptions,
  readReport,
  readTargetNorms,
  stepFeeds,
  type TrainState,
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
  readonly #state: TrainState;
  readonly #signature: string;

  constructor(feeds: Record<string, Values>, state: TrainState, signature = 'train') {
    this.#signature = signature;
    this.#feeds = feeds;
    this.#state = state;
  }

  input(name: string, shape: readonly number[], type: string): Tensor {
    const values = this.#feeds[name]!;
    const known = shape.slice(1).reduce((a, b) => a * b, 1);
    const full = shape.map((side) => (side === ANY_NUMBER ? values.length / known : side));
    if (type === 'int32') return tf.tensor(values, full, 'int32');
    return tf.tensor(Float32Array.from(values), full, 'float32');
  }

  variable(name: string, shape: readonly number[]): Tensor {
    return tf.tensor(this.#state[name]!, [...shape]);
  }

  signature(name: string, outputs: Record<string, Tensor>, updates: Record<string, Tensor> = {}): void {
    if (name !== this.#signature) return;
    for (const [key, tensor] of Object.entries({ ...outputs, ...updates })) {
      this.results[key] = tensor.dataSync() as Float32Array;
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

test('the graph with every switch on equals the eager step, and leaves frozen statistics alone', () => {
  const twoClasses = {
    ...architecture,
    activation: 'mish' as const,
    categories: [
      { id: 1, name: 'a' },
      { id: 2, name: 'b' },
    ],
  };
  const options = graphOptions({
    optimizer: 'momentum',
    accumulate: 2,
    focal: { gamma: 1.5, alpha: 0.4, class: true },
    ignore: { by: 'prediction', threshold: 0.3 },
    clip: { ...defaultTrainOptions.clip, by: 'per-target' },
    freezeStatistics: true,
  });
  const start = freshState(flatten(networkLayout(twoClasses), initialWeights(twoClasses, 5)), options);
  // Statistics that are not those of a fresh network.
  for (const values of [start.statistics!, start.emaStatistics!])
    for (const i of values.keys()) values[i]! += 0.3 + (i % 7) / 10;
  const targets = createTargetBuilder(twoClasses, 4, { ...defaultTrainOptions, ...options })(batch);
  const feeds = stepFeeds(batch.pixels, targets, { ...settings, targetBound: 0.5, gatherShare: 0.5 });
  const session = new GraphSession(buildTrainGraph(twoClasses, options));
  for (const signature of ['gather', 'train'] as const) {
    session.load(start);
    const answer = session.run(signature, feeds);
    const state = session.save();
    const eager = new EagerTracer(feeds, start, signature);
    tf.tidy(() => traceTrainStep(eager, twoClasses, options));
    expect(difference(answer.report!, eager.results.report!)).toBeLessThan(1e-5);
    const norms = readTargetNorms(answer.targetNorms!, targets);
    expect(norms).toHaveLength(8);
    expect(difference(norms, readTargetNorms(eager.results.targetNorms!, targets))).toBeLessThan(1e-4);
    const changed = signature === 'gather' ? ['gathered'] : ['weights', 'slot1', 'emaWeights'];
    for (const [name, values] of Object.entries(state)) {
      if (!changed.includes(name)) expect(values, name).toEqual(start[name]);
      else expect(difference(values, eager.results[name]!), name).toBeLessThan(1e-4);
    }
  }
  session.dispose();
});

test('gathering two batches and updating is one step with the mean of their gradients', () => {
  const start = startState('momentum');
  const batches = [batch, batchOf([5, 6, 7, 8].map((id) => discImage(id)))];
  const feeds = batches.map((one) => stepFeeds(one.pixels, targetsOf(one), { ...settings, gatherShare: 0.5 }));
  const options = graphOptions({ optimizer: 'momentum', weightDecay: 0 });
  const single = new GraphSession(buildTrainGraph(architecture, options));
  const gradients = feeds.map((feed) => {
    single.load(start);
    single.run('train', feed);
    return single.save().slot1!;
  });
  single.dispose();

  const session = new GraphSession(buildTrainGraph(architecture, { ...options, accumulate: 2 }));
  session.load({ ...start, gathered: new Float32Array(start.weights!.length) });
  session.run('gather', feeds[0]!);
  const between = session.save();
  expect(between.weights).toEqual(start.weights);
  expect(between.emaWeights).toEqual(start.emaWeights);
  expect(between.statistics).not.toEqual(start.statistics);
  expect(difference(between.gathered!, gradients[0]!)).toBeLessThan(1e-5);
  const report = readReport(session.run('train', feeds[1]!).report!);
  const after = session.save();
  session.dispose();
  const mean = gradients[0]!.map((value, i) => (value + gradients[1]![i]!) / 2);
  expect(difference(after.slot1!, mean)).toBeLessThan(1e-5);
  expect(report.gradientNorm).toBeCloseTo(Math.sqrt(mean.reduce((sum, v) => sum + v * v, 0)), 3);
  expect(after.gathered!.every((value) => value === 0)).toBe(true);
});

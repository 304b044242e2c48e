/** A capacity search on a real Temporal server: who is trained how far, who is stopped, and what is done again. */

import { readFile } from 'node:fs/promises';
import { Worker } from '@temporalio/worker';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { stepSeed } from '../../artifacts/fingerprint.ts';
import type { Json } from '../../plan/types.ts';
import { workflowIdOf } from '../../workflows/messages.ts';
import { eventually, openRig, type Rig } from '../rig.ts';
import { search } from '../small-plans.ts';

let rig: Rig;
/** `width@epoch` in the order in which trials got there; `end` for the last. */
let trained: string[] = [];
let seeds = new Map<string, number>();
/** AP of a trial at an epoch; promises hold it back. */
let apOf: (width: number, epoch: number) => number | Promise<number> = (width) => width;

type Trial = { width: number; epochs: number; until?: number };

const trial = async ({ path, seed, signal }: StepContext, { width, epochs, until }: Trial) => {
  seeds.set(path, seed);
  const stopped = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  const AP = await Promise.race([apOf(width, until ?? epochs), stopped]);
  trained.push(`${width}@${until ?? 'end'}`);
  return { AP, AP50: AP, epoch: until ?? epochs, trainingLoss: 1, parameters: width, flops: width, seconds: 1 };
};

let chosenFrom: { trials: Json[]; stopped?: Json[]; rungs?: Json[] }[] = [];

const steps = {
  'capacity-rung': trial,
  'capacity-trial': trial,
  'choose-capacity': async (_: StepContext, given: { trials: { AP: number }[] }) => {
    chosenFrom.push(given as never);
    return { AP: Math.max(...given.trials.map(({ AP }) => AP)) };
  },
};

beforeAll(async () => {
  rig = await openRig();
  // As two workers, of which each takes one trial at a time.
  await rig.startWorker(steps);
  await rig.startWorker(steps);
});

afterAll(async () => {
  await rig?.close();
});

beforeEach(() => {
  trained = [];
  chosenFrom = [];
  seeds = new Map();
  apOf = (width) => width / 10;
});

function defer(): { readonly promise: Promise<void>; resolve(): void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve: () => resolve() };
}

const halvingOf = (width: number[], changes: { [name: string]: Json } = {}) => ({
  steps: [
    search('capacity', {
      with: {
        dataset: 'd',
        depth: 1,
        width,
        imageSize: 64,
        epochs: 12,
        strategy: 'halving',
        halving: { eta: 2, minEpochs: 3, finalists: 1 },
        ...changes,
      },
    }),
  ],
});
const path = (width: number, imageSize = 64, anchors = 3) => `capacity.trial[1,${width},${imageSize},${anchors}]`;

describe('successive halving', () => {
  test('trains all to the first rung and the best to the end; what is stopped is done, and says where', async () => {
    await (await rig.startRun('halving', halvingOf([1, 2, 3, 4, 5]))).result();
    expect(trained.filter((one) => one.endsWith('@3')).sort()).toEqual(['1@3', '2@3', '3@3', '4@3', '5@3']);
    expect(trained).toEqual(expect.arrayContaining(['3@6', '4@6', '5@6', '4@end', '5@end']));
    expect(await rig.step('halving', path(1))).toMatchObject({
      kind: 'capacity-trial',
      state: 'done',
      note: 'stopped at epoch 3 of 12: not among the best 3 of 5 there',
      outputs: { AP: 0.1, epoch: 3 },
    });
    expect((await rig.step('halving', path(3)))?.note).toBe(
      'stopped at epoch 6 of 12: not among the best 2 of 3 there',
    );
    const winner = await rig.step('halving', path(5));
    expect(winner).toMatchObject({ state: 'done', outputs: { AP: 0.5 } });
    expect(winner?.note).toBeUndefined();
    expect(winner?.attempts?.map(({ outcome }) => outcome)).toEqual(['done', 'done', 'done']);
    expect(chosenFrom[0]?.rungs).toEqual([
      { epoch: 3, compared: 5, kept: 3 },
      { epoch: 6, compared: 3, kept: 2 },
    ]);
    expect(chosenFrom[0]?.trials).toHaveLength(2);
    expect(chosenFrom[0]?.stopped).toMatchObject([
      { width: 1, depth: 1, imageSize: 64, anchors: 3, epochs: 3, AP: 0.1 },
      { width: 2, epochs: 3 },
      { width: 3, epochs: 6 },
    ]);
  });

  test('goes on with the best so far, and cancels it when better ones report', async () => {
    const begun = defer();
    const late = defer();
    apOf = async (width, epoch) => {
      if (epoch > 3) return width === 1 ? new Promise(() => {}) : 0.9;
      // The poor one reports once the good one has its worker, which then takes its time.
      if (width === 3) begun.resolve();
      await (width === 3 ? late : begun).promise;
      return width / 10;
    };
    const plan = halvingOf([1, 3], { epochs: 6, halving: { eta: 2, minEpochs: 3, finalists: 1 } });
    const handle = await rig.startRun('overtaken', plan);
    await eventually(async () => (await rig.step('overtaken', path(1)))?.attempts?.length === 2);
    expect(trained).toEqual(['1@3']);
    late.resolve();
    await handle.result();
    expect(trained).toEqual(['1@3', '3@3', '3@end']);
    expect(await rig.step('overtaken', path(1))).toMatchObject({
      state: 'done',
      note: 'stopped at epoch 3 of 6: not among the best 1 of 2 there',
      attempts: [{ outcome: 'done' }, { outcome: 'cancelled' }],
    });
  });

  test('a search that is cancelled ends its trials', async () => {
    apOf = () => new Promise(() => {});
    const handle = await rig.startRun('cancelled', halvingOf([6, 7, 8]));
    // Each worker has taken one.
    const trials = async () => (await rig.states('cancelled')).filter((state) => state.includes('.trial['));
    await eventually(async () => (await trials()).length === 2);
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow();
    expect((await trials()).every((state) => state.endsWith(': cancelled'))).toBe(true);
    expect(trained).toEqual([]);
  });

  test('its history replays', async () => {
    for (const [run, child] of [
      ['halving', 'capacity'],
      ['overtaken', 'capacity'],
      ['cancelled', 'capacity'],
      ['halving', ''],
    ] as const) {
      const workflowId = workflowIdOf(run, child);
      const history = await rig.client.workflow.getHandle(workflowId).fetchHistory();
      const code = await readFile(rig.bundlePath, 'utf8');
      await Worker.runReplayHistory({ workflowBundle: { code } }, history, workflowId);
    }
  });
});

describe('what was done before', () => {
  test('a larger grid trains only its new sizes, with seeds that hang on the size alone', async () => {
    const grid = { strategy: 'grid', epochs: 4 };
    await (await rig.startRun('grid', halvingOf([1, 2], grid))).result();
    const before = seeds;
    expect(trained.sort()).toEqual(['1@end', '2@end']);
    expect(before.get(path(2))).toBe(stepSeed(1, path(2)));
    trained = [];
    seeds = new Map();
    const larger = { ...grid, imageSize: [32, 64], anchors: [2, 3], depth: [1] };
    await (await rig.startRun('larger-grid', halvingOf([3, 1, 2], larger))).result();
    expect(seeds.has(path(1))).toBe(false);
    expect(trained).toHaveLength(12 - 2);
    expect((await rig.step('larger-grid', path(2)))?.reused).toBe(true);
    expect((await rig.step('larger-grid', path(2, 32)))?.reused).toBe(false);
  });

  test('halving trains none to the end that a grid has trained, and the other way round', async () => {
    const epochs = { epochs: 20 };
    await (await rig.startRun('grid-first', halvingOf([1, 2, 3], { ...epochs, strategy: 'grid' }))).result();
    trained = [];
    await (await rig.startRun('halving-then', halvingOf([1, 2, 3], epochs))).result();
    expect(trained.filter((one) => one.endsWith('end'))).toEqual([]);
    trained = [];
    await (await rig.startRun('again', halvingOf([1, 2, 3, 4], epochs))).result();
    // To a rung, another may be trained ahead while the fourth has not reported.
    expect(trained.filter((one) => one.endsWith('end') && !one.startsWith('4@'))).toEqual([]);
  });
});

test('a list that is none is an error that names it', async () => {
  const handle = await rig.startRun('no-list', halvingOf([], { width: 'wide' }));
  await eventually(async () => (await rig.step('no-list', 'capacity'))?.state === 'held');
  expect((await rig.step('no-list', 'capacity'))?.error).toBe(
    'The capacity search "capacity" has width "wide"; expected a number or a list of numbers.',
  );
  await handle.cancel();
  await expect(handle.result()).rejects.toThrow();
});

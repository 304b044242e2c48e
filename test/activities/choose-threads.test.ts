/** Threads of a training: measured where it is worth it, recorded, and the same for every later attempt. */

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { chooseThreads, type MeasureSpeed, type NetShape } from '../../activities/choose-threads.ts';
import { openRig, type StepRig, stepContext, testEnvironment } from './step-rig.ts';

let rig: StepRig;

beforeEach(async () => {
  rig = await openRig();
  vi.stubEnv('HARDCASE_THREADS', '');
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rig.close();
});

const shape: NetShape = {
  depth: 0.1,
  width: 0.25,
  imageSize: 320,
  strides: [8, 16],
  activation: 'leaky',
  categories: 1,
  batchSize: 4,
};
const long = { epochs: 100 };
const four = { ...testEnvironment, threads: 4 };
const context = (letter: string, environment = four) =>
  stepContext(rig.store, { fingerprint: letter.repeat(64), environment });

/** A made-up machine, and what it was asked. */
function machine(speeds: Readonly<Record<number, number>>): MeasureSpeed & { readonly asked: number[] } {
  const asked: number[] = [];
  const measure: MeasureSpeed = async (_shape, { threads }) => {
    asked.push(threads);
    return speeds[threads]!;
  };
  return Object.assign(measure, { asked });
}

test('a long training is measured once, and every later attempt has the first choice, whatever it would measure', async () => {
  const first = machine({ 1: 10, 4: 20 });
  expect(await chooseThreads(context('a'), shape, long, 400, first)).toBe(4);
  expect(first.asked).toEqual([1, 4]);
  const elsewhere = machine({ 1: 10, 2: 5 });
  const other = context('a', { ...four, threads: 2, cpu: 'another CPU' });
  expect(await chooseThreads(other, shape, long, 400, elsewhere)).toBe(4);
  vi.stubEnv('HARDCASE_THREADS', '3');
  expect(await chooseThreads(other, shape, long, 400, elsewhere)).toBe(4);
  expect(elsewhere.asked).toEqual([]);
});

test('another training of such a net on such a machine takes what was measured', async () => {
  await chooseThreads(context('a'), shape, long, 400, machine({ 1: 10, 4: 20 }));
  const again = machine({ 1: 10, 4: 1 });
  expect(await chooseThreads(context('b'), shape, long, 400, again)).toBe(4);
  expect(again.asked).toEqual([]);
  expect(await chooseThreads(context('c'), { ...shape, batchSize: 8 }, long, 400, again)).toBe(1);
  expect(again.asked).toEqual([1, 4]);
});

test('one thread is preferred unless the others are clearly faster', async () => {
  expect(await chooseThreads(context('a'), shape, long, 400, machine({ 1: 10, 4: 10.9 }))).toBe(1);
});

test('a short training follows the rule, and a given number is taken, without measuring', async () => {
  const never = machine({});
  expect(await chooseThreads(context('a'), shape, { steps: 5 }, 400, never)).toBe(4);
  expect(await chooseThreads(context('b'), { ...shape, imageSize: 64 }, { steps: 5 }, 400, never)).toBe(1);
  vi.stubEnv('HARDCASE_THREADS', '3');
  expect(await chooseThreads(context('c', { ...four, threads: 3 }), shape, long, 400, never)).toBe(3);
  expect(never.asked).toEqual([]);
});

test('of two attempts at once the first to record its choice decides for both', async () => {
  const [one, two] = await Promise.all([
    chooseThreads(context('a'), shape, long, 400, machine({ 1: 10, 4: 20 })),
    chooseThreads(context('a'), shape, long, 400, machine({ 1: 20, 4: 10 })),
  ]);
  expect(one).toBe(two);
});

test('a tiny net is really measured, in processes of their own', async () => {
  const tiny: NetShape = { ...shape, width: 0.125, imageSize: 64 };
  const two = { ...testEnvironment, threads: 2 };
  const chosen = await chooseThreads(context('a', two), tiny, { steps: 1_000_000 }, 400);
  expect([1, 2]).toContain(chosen);
  const [key] = await rig.store.listRecords('threads/machines/');
  const { imagesPerSecond } = JSON.parse((await rig.store.readRecord(key!))!.toString()) as {
    imagesPerSecond: Record<string, number>;
  };
  expect(Object.keys(imagesPerSecond)).toEqual(['1', '2']);
  for (const speed of Object.values(imagesPerSecond)) expect(speed).toBeGreaterThan(0);
}, 120_000);

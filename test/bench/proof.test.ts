/** The benchmarks of what hardcase claims: their arithmetic, their tables, and what they say to wrong arguments. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { withAddition } from '../../bench/proof/append-section.ts';
import { type ClaimJob, EXPERIMENTS, keyOf } from '../../bench/proof/claim-jobs.ts';
import { modelPath, resultPath } from '../../bench/proof/claim-process.ts';
import { armResults, experimentTables, forgotten, gammaFigure } from '../../bench/proof/claim-report.ts';
import { ordersOf, runJobs } from '../../bench/proof/claim-runner.ts';
import type { ClaimResult } from '../../bench/proof/claim-training.ts';
import { settingsOf, UsageError } from '../../bench/proof/command-line.ts';
import { evaluateEvery, meanSpeed, planEpochs } from '../../bench/proof/epoch-plan.ts';
import {
  isBeyondNoise,
  lateFluctuation,
  meanInterval,
  pairedInterval,
  standardDeviation,
} from '../../bench/proof/seed-intervals.ts';
import { decimal, markdownTable, percentWithInterval } from '../../bench/proof/tables.ts';

const folders: string[] = [];
function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'hardcase-bench-'));
  folders.push(folder);
  return folder;
}

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

test('epochs fill the time that decoding and validations leave, less a reserve', () => {
  const costs = { budgetSeconds: 1001, fixedSeconds: 30, epochSeconds: 10, validationSeconds: 5, validations: 10 };
  // 931 - 30 - 50 = 851
  expect(planEpochs(costs)).toEqual({ epochs: 85, evaluateEvery: 9 });
  expect(planEpochs({ ...costs, budgetSeconds: 60 })).toEqual({ epochs: 1, evaluateEvery: 1 });
});

test('validations are spread over the epochs, at most as many as asked for', () => {
  expect(evaluateEvery(24, 12)).toBe(2);
  expect(evaluateEvery(25, 12)).toBe(3);
  expect(evaluateEvery(5, 12)).toBe(1);
});

test('the speed of a training is all its images by all its seconds', () => {
  // 100 images in 10 s and 100 in 5 s
  expect(meanSpeed([10, 20])).toBeCloseTo(200 / 15, 12);
});

test('the interval of a mean is Student’s', () => {
  // sd 2, n 4: 3.182 * 2 / 2
  const { value, low, high } = meanInterval([8, 10, 12, 10]);
  expect(value).toBe(10);
  expect(high - value).toBeCloseTo((3.182 * Math.sqrt(8 / 3)) / 2, 12);
  expect(value - low).toBeCloseTo(high - value, 12);
});

test('one value has a mean, but no interval that leaves zero out', () => {
  const interval = meanInterval([5]);
  expect(interval.value).toBe(5);
  expect(isBeyondNoise(interval)).toBe(false);
});

test('pairing takes out what the seeds share', () => {
  const { value, low, high } = pairedInterval([11, 21, 31], [10, 20, 30]);
  expect([value, low, high]).toEqual([1, 1, 1]);
  expect(() => pairedInterval([1, 2], [1])).toThrow('2 and 1');
});

test('a curve that rises evenly does not fluctuate, one that trembles does', () => {
  const straight = Array.from({ length: 30 }, (_, i) => 3 + 0.1 * i);
  expect(lateFluctuation(straight)).toBeCloseTo(0, 12);
  const trembling = straight.map((value, i) => value + (i % 2 === 0 ? 0.5 : -0.5));
  expect(lateFluctuation(trembling)).toBeCloseTo(0.5, 0);
  // only the last third counts
  expect(lateFluctuation([9, 1, 9, 1, 9, 1, 2, 2, 2])).toBeCloseTo(0, 12);
  expect(lateFluctuation([1, 2])).toBe(0);
  expect(standardDeviation([1])).toBe(0);
});

test('figures are written with their intervals, and nothing is minus zero', () => {
  expect(percentWithInterval({ value: 0.3814, low: 0.345, high: 0.415 })).toBe('38.1 [34.5, 41.5]');
  expect(decimal(-0.004, 1)).toBe('0.0');
  expect(decimal(-0.06, 1)).toBe('-0.1');
  expect(markdownTable(['a', 'b'], [['1', '2']])).toBe('| a | b |\n|---|---|\n| 1 | 2 |');
});

test('an addition goes to the end of its own section, which is made where it is missing', () => {
  const document = '# Title\n\n## First\n\nOne.\n\n## Second\n\nTwo.\n';
  expect(withAddition(document, 'First', 'More.')).toBe('# Title\n\n## First\n\nOne.\n\nMore.\n\n## Second\n\nTwo.\n');
  expect(withAddition(document, 'Second', 'More.')).toBe('# Title\n\n## First\n\nOne.\n\n## Second\n\nTwo.\n\nMore.\n');
  expect(withAddition(document, 'Third', 'More.')).toBe(`${document}\n## Third\n\nMore.\n`);
});

test('settings are read as in YAML, with dots for what lies inside', () => {
  expect(settingsOf(['width=0.1875', 'augment.mosaic=0', 'augment.flip=false', 'strides=[4, 8]'])).toEqual({
    width: 0.1875,
    augment: { mosaic: 0, flip: false },
    strides: [4, 8],
  });
  expect(() => settingsOf(['width'])).toThrow(UsageError);
});

test('the share forgotten is of what was found before', () => {
  expect(forgotten(['a', 'b', 'c', 'd'], ['d', 'a', 'x'])).toBe(0.5);
  expect(forgotten([], ['a'])).toBe(0);
});

/** Results that depend on the arm and the seed alone. */
function madeUp(job: ClaimJob): ClaimResult {
  const level = job.options.focal?.gamma === 8 ? 0.1 : 1;
  const AP = 0.5 + 0.01 * job.seed - (job.tail === 'removed' ? 0.02 : 0);
  const epochs = Array.from({ length: 9 }, (_, i) => ({
    epoch: i + 1,
    loss: { total: level * (2 + (i % 2)), box: level, objectness: level * (1 + (i % 2)), class: 0 },
    gradientNorm: 1,
    clipped: 0,
    learningRate: 0.01,
    imagesPerSecond: 100,
    waited: 0,
    validation: { AP, AP50: AP },
  }));
  const found = job.start === undefined ? ['a', 'b'] : ['a', 'c'];
  return {
    epochs,
    clipSwitch: null,
    AP,
    AP50: AP,
    ordinaryAP: AP,
    foundInTrain: found,
    foundInTest: found,
    testTruths: 3,
    hardShare: 0.5,
    seconds: 1,
  };
}

test('every experiment has tables of means and of differences paired by seed', () => {
  for (const experiment of EXPERIMENTS) {
    const tables = experimentTables(experiment, armResults(experiment, [1, 2, 3], madeUp));
    for (const arm of experiment.arms) expect(tables).toContain(`| ${arm.name} |`);
    expect(tables).not.toMatch(/NaN|Infinity|undefined/);
  }
  const tail = EXPERIMENTS.find(({ name }) => name === 'rare-tail')!;
  const tables = experimentTables(tail, armResults(tail, [1, 2, 3], madeUp));
  expect(tables).toContain('| removed | **-2.0 [-2.0, -2.0]** |');
  const hard = EXPERIMENTS.find(({ name }) => name === 'hard-cases')!;
  expect(experimentTables(hard, armResults(hard, [1], madeUp))).toContain(
    '| all images again | 51.0 | 51.0 | 0.0 | 50.0 | 50.0 | 50 | 1 |',
  );
});

test('the figure of the loss has a line for every gamma and seed', () => {
  const gamma = EXPERIMENTS.find(({ name }) => name === 'gamma')!;
  const svg = gammaFigure(armResults(gamma, [1, 2], madeUp));
  expect(svg).toMatch(/^<svg/);
  for (const { name } of gamma.arms) expect(svg).toContain(name);
});

test('a training that several arms share is done once, and those that others start from come first', () => {
  const folder = temporaryFolder();
  const jobs = EXPERIMENTS.flatMap(({ arms }) => arms.map((arm) => arm.job(1)));
  const orders = ordersOf(jobs, folder);
  expect(new Set(orders.map(({ job }) => keyOf(job))).size).toBe(orders.length);
  expect(orders.length).toBeLessThan(jobs.length + 1);
  for (const { job } of orders) {
    if (job.start === undefined) continue;
    const start = orders.findIndex((order) => keyOf(order.job) === keyOf(job.start!));
    expect(start).toBeLessThan(orders.findIndex((order) => order.job === job));
    expect(orders[start]!.keepModel).toBe(true);
  }
});

test('trainings with a result are not done again', async () => {
  const folder = temporaryFolder();
  const jobs = EXPERIMENTS.flatMap(({ arms }) => arms.map((arm) => arm.job(1)));
  for (const { job, keepModel } of ordersOf(jobs, folder)) {
    writeFileSync(resultPath(folder, job), '{}');
    if (keepModel) writeFileSync(modelPath(folder, job), '');
  }
  const told: number[] = [];
  await runJobs(jobs, folder, 1, (done) => told.push(done));
  expect(told).toEqual([]);
});

test.each([
  ['real-data', [], 'Expected one folder, but 0 were given.'],
  ['real-data', ['somewhere', '--size', 'large'], '--size is "large", expected a number, at least 32.'],
  ['real-data', ['somewhere', '--epoch', '3'], '--epoch'],
  ['claims', ['--only', 'everything'], 'There is no experiment "everything"'],
  ['claims', ['--seeds', '1.5'], '--seeds is "1.5", expected a whole number.'],
])('%s %j is refused with the usage', (name, words, message) => {
  const main = fileURLToPath(new URL('../../dist/bench/main.js', import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, [main, name, ...words], { encoding: 'utf8' });
  expect(status).toBe(2);
  expect(stderr).toContain(message);
  expect(stderr).toContain(`Usage: npm run bench -- ${name}`);
});

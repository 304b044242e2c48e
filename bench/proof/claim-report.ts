/** From the results of the claims' trainings to tables, in Markdown, and to the figure of the loss at a large gamma. */

import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import type { Arm, ClaimJob, Experiment } from './claim-jobs.ts';
import type { ClaimResult } from './claim-training.ts';
import { isBeyondNoise, lateFluctuation, meanInterval, pairedInterval } from './seed-intervals.ts';
import { decimal, markdownTable } from './tables.ts';

/** Results of one experiment: [arm][seed]. */
export interface ArmResults {
  readonly arm: Arm;
  readonly results: readonly ClaimResult[];
  /** Of the trainings that these start from, where they do. */
  readonly starts: readonly ClaimResult[];
}

export function armResults(
  experiment: Experiment,
  seeds: readonly number[],
  read: (job: ClaimJob) => ClaimResult,
): ArmResults[] {
  return experiment.arms.map((arm) => {
    const jobs = seeds.map((seed) => arm.job(seed));
    return {
      arm,
      results: jobs.map(read),
      starts: jobs.flatMap(({ start }) => (start === undefined ? [] : [read(start)])),
    };
  });
}

/** One column: a figure of every training, in its own unit. */
interface Measure {
  readonly name: string;
  readonly digits: number;
  readonly of: (result: ClaimResult, start: ClaimResult | undefined) => number;
}

const percentOf = (share: number): number => 100 * share;

const ACCURACY: readonly Measure[] = [
  { name: 'AP', digits: 1, of: ({ AP }) => percentOf(AP) },
  { name: 'AP50', digits: 1, of: ({ AP50 }) => percentOf(AP50) },
];

/** In points of AP, and as a share of the loss itself: losses at different gammas differ in size. */
const FLUCTUATION: readonly Measure[] = [
  {
    name: 'late fluctuation of AP',
    digits: 2,
    of: ({ epochs }) =>
      percentOf(lateFluctuation(epochs.flatMap(({ validation }) => (validation ? [validation.AP] : [])))),
  },
  {
    name: 'late fluctuation of the loss, %',
    digits: 2,
    of: ({ epochs }) => {
      const losses = epochs.map(({ loss }) => loss.total);
      const late = losses.slice(Math.floor((2 * losses.length) / 3));
      return percentOf(lateFluctuation(losses) / meanInterval(late).value);
    },
  },
];

/** Whether clipping did anything at all: an arm that never clipped is the arm without it. */
const CLIPPED: readonly Measure[] = [
  {
    name: 'clipped, %',
    digits: 1,
    of: ({ epochs }) => percentOf(meanInterval(epochs.map(({ clipped }) => clipped)).value),
  },
  {
    name: 'epochs with clipping on',
    digits: 0,
    of: ({ epochs, clipSwitch }) => (clipSwitch === null ? 0 : epochs.length + 1 - clipSwitch.epoch),
  },
];

const MEASURES: { readonly [experiment: string]: readonly Measure[] } = {
  clipping: [...ACCURACY, ...FLUCTUATION, ...CLIPPED],
  'clipping-recipe': [...ACCURACY, ...FLUCTUATION, ...CLIPPED],
  gamma: [
    ...ACCURACY,
    ...FLUCTUATION,
    {
      name: 'of the objectness term, %',
      digits: 2,
      of: ({ epochs }) => {
        const losses = epochs.map(({ loss }) => loss.objectness);
        const late = losses.slice(Math.floor((2 * losses.length) / 3));
        return percentOf(lateFluctuation(losses) / meanInterval(late).value);
      },
    },
  ],
  'rare-tail': [
    ...ACCURACY,
    { name: 'AP without the rare kind', digits: 1, of: ({ ordinaryAP }) => percentOf(ordinaryAP) },
    ...FLUCTUATION,
  ],
  'rare-tail-recipe': [
    ...ACCURACY,
    { name: 'AP without the rare kind', digits: 1, of: ({ ordinaryAP }) => percentOf(ordinaryAP) },
    ...FLUCTUATION,
  ],
  'hard-cases': [
    ...ACCURACY,
    { name: 'AP less model 1', digits: 1, of: (result, start) => percentOf(result.AP - start!.AP) },
    {
      name: 'forgotten on train, %',
      digits: 1,
      of: (result, start) => percentOf(forgotten(start!.foundInTrain, result.foundInTrain)),
    },
    {
      name: 'forgotten on test, %',
      digits: 1,
      of: (result, start) => percentOf(forgotten(start!.foundInTest, result.foundInTest)),
    },
    // Near 100, the hard images are all images, and their arm says nothing.
    { name: 'hard images of train, %', digits: 0, of: (_result, start) => percentOf(start!.hardShare) },
    {
      name: 'newly found on test',
      digits: 0,
      of: (result, start) => newlyFound(start!.foundInTest, result.foundInTest),
    },
  ],
};

/** Share of what was found before that is found no longer. */
export function forgotten(before: readonly string[], after: readonly string[]): number {
  if (before.length === 0) return 0;
  const still = new Set(after);
  return before.filter((id) => !still.has(id)).length / before.length;
}

function newlyFound(before: readonly string[], after: readonly string[]): number {
  const known = new Set(before);
  return after.filter((id) => !known.has(id)).length;
}

/** The table of means, and that of differences from the first arm with 95 % intervals, paired over the seeds. */
export function experimentTables(experiment: Experiment, all: readonly ArmResults[]): string {
  const measures = MEASURES[experiment.name]!;
  const valuesOf = ({ results, starts }: ArmResults, measure: Measure): number[] =>
    results.map((result, i) => measure.of(result, starts[i]));
  const means = markdownTable(
    ['', ...measures.map(({ name }) => name)],
    all.map((one) => [
      one.arm.name,
      ...measures.map((measure) => decimal(meanInterval(valuesOf(one, measure)).value, measure.digits)),
    ]),
  );
  const [reference, ...others] = all;
  const differences = markdownTable(
    [`less "${reference!.arm.name}"`, ...measures.map(({ name }) => name)],
    others.map((one) => [
      one.arm.name,
      ...measures.map((measure) => difference(valuesOf(one, measure), valuesOf(reference!, measure), measure.digits)),
    ]),
  );
  return `${means}\n\n${differences}`;
}

/** `**+1.2 [0.4, 2.0]**`: bold where the interval leaves zero out. */
function difference(values: readonly number[], reference: readonly number[], digits: number): string {
  const interval = pairedInterval(values, reference);
  const sign = interval.value > 0 ? '+' : '';
  if (!Number.isFinite(interval.low)) return `${sign}${decimal(interval.value, digits)}`;
  const text = `${sign}${decimal(interval.value, digits)} [${decimal(interval.low, digits)}, ${decimal(interval.high, digits)}]`;
  return isBeyondNoise(interval) ? `**${text}**` : text;
}

/** The published figure 4: the loss over the epochs at each gamma, all seeds, each as a multiple of its last third's mean. */
export function gammaFigure(all: readonly ArmResults[]): string {
  const rows = all.flatMap(({ arm, results }) =>
    results.flatMap(({ epochs }, seed) => {
      const losses = epochs.map(({ loss }) => loss.objectness);
      const scale = meanInterval(losses.slice(Math.floor((2 * losses.length) / 3))).value;
      return epochs.map(({ epoch }, i) => ({
        arm: arm.name,
        line: `${arm.name} ${seed}`,
        epoch,
        loss: losses[i]! / scale,
      }));
    }),
  );
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const svg = Plot.plot({
    document,
    width: 640,
    height: 300,
    marginRight: 70,
    style: { background: 'white', fontSize: '12px' },
    x: { label: 'Epoch' },
    y: {
      label: 'Objectness loss, as a multiple of its late mean',
      type: 'log',
      grid: true,
      ticks: 4,
      tickFormat: '~g',
    },
    color: { domain: all.map(({ arm }) => arm.name), range: ['#0072B2', '#D55E00', '#009E73'] },
    marks: [
      Plot.lineY(rows, { x: 'epoch', y: 'loss', z: 'line', stroke: 'arm', strokeWidth: 1.2 }),
      Plot.text(
        rows.filter(({ line }) => line.endsWith(' 0')),
        Plot.selectFirst({
          x: 'epoch',
          y: 'loss',
          z: 'arm',
          text: 'arm',
          fill: 'arm',
          dx: 6,
          dy: -8,
          textAnchor: 'start',
        }),
      ),
    ],
  });
  svg.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  return `${svg.outerHTML}\n`;
}

/** The report's section on quarantine, and the figures of single targets. */

import { expect, test } from 'vitest';
import type { Curves, HeldBox, Metrics, Profile } from '../../artifacts/types.ts';
import { type Dynamics, SERIES } from '../../detection/dynamics.ts';
import { createRandom } from '../../detection/random.ts';
import type { ArtifactRef, StepRecord } from '../../plan/types.ts';
import { buildReport } from '../../report/build.ts';
import { renderHtml, renderMarkdown } from '../../report/render.ts';
import { cartographyFigure, featureFigure, profileFigure } from '../../report/target-figures.ts';
import type { ReportInput } from '../../report/types.ts';

const model = (letter: string): ArtifactRef => ({ artifact: 'model', digest: letter.repeat(64), bytes: 1 });

const curves = (APs: readonly number[], quarantined?: number): Curves =>
  ({
    epochs: APs.map((AP, i) => ({
      epoch: i + 1,
      loss: { total: 1, box: 0.1, objectness: 0.5, class: 0 },
      gradientNorm: 1,
      clipped: 0,
      learningRate: 0.001,
      imagesPerSecond: 100,
      validation: { AP, AP50: AP + 0.2 },
    })),
    clipSwitch: null,
    seconds: 10,
    ...(quarantined === undefined ? {} : { quarantined }),
  }) as unknown as Curves;

const early = [0.1, 0.2, 0.3, 0.35, 0.3, 0.4, 0.4, 0.4];

const heldBox = (id: string, over: Partial<HeldBox> = {}): HeldBox => ({
  annotation: { id, imageId: 3, categoryId: 1, box: [1.2, 2, 30, 40] },
  reason: 'never converged: late loss 4.1, confidence 0.1 ± 0.01',
  rounds: 1,
  category: 'unlearnable',
  confidence: 0.1,
  variability: 0.01,
  lateLoss: 4.1,
  aum: null,
  ...over,
});

const step = (path: string, letter: string): StepRecord => ({
  path,
  kind: 'train',
  state: 'done',
  reused: false,
  outputs: { model: model(letter) },
});

const around = (value: number, half: number) => ({ value, low: value - half, high: value + half });
const row = (name: string, letter: string): Metrics['rows'][number] => ({
  name,
  role: 'model',
  models: [model(letter)],
  cells: [{ split: 'test', labels: 'original', AP: around(0.4, 0.02), AP50: around(0.6, 0.02) }],
});

function dynamics(targets: number, epochs: number): Dynamics {
  const random = createRandom('dynamics of the report');
  const level = Array.from({ length: targets }, () => random.next() ** 0.4);
  const zeros = new Float32Array(targets * epochs);
  const pTrue = Float32Array.from({ length: targets * epochs }, (_, i) => {
    const p = level[Math.floor(i / epochs)]!;
    return Math.min(0.999, Math.max(0.001, p + 0.3 * p * (1 - p) * random.normal()));
  });
  return {
    epochs: Array.from({ length: epochs }, (_, e) => e + 1),
    targets: level.map((_, t) => ({ imageId: t, annotationId: `t${t}`, planted: t === 0 })),
    series: {
      ...(Object.fromEntries(SERIES.map((name) => [name, zeros])) as Dynamics['series']),
      pTrue,
      iou: pTrue.map((p) => Math.min(1, p + 0.2)),
      total: pTrue.map((p) => 3 - 2 * p),
    },
  };
}

function input(): ReportInput {
  return {
    title: 'Held',
    header: {
      run: 'r',
      pipeline: 'held',
      planDigest: 'c'.repeat(64),
      source: 'd'.repeat(64),
      file: 'held.yaml',
      params: {},
      createdAt: '2026-01-02T03:04:05.000Z',
    },
    state: { state: 'running' },
    operations: [],
    steps: [step('plain', 'a'), step('held', 'b')],
    metrics: [
      {
        path: 'table',
        value: {
          rows: [row('model 1', 'a'), row('model 2', 'b')],
          comparisons: [
            {
              name: 'model 2',
              against: 'model 1',
              split: 'test',
              labels: 'original',
              AP: around(0.002, 0.01),
              AP50: around(0, 0.01),
            },
          ],
          labelVersions: [],
          images: [],
          replicates: 1000,
        },
      },
    ],
    trials: [],
    curves: [
      { path: 'plain', value: curves([...early, 0.5, 0.3, 0.8, 0.6]) },
      { path: 'held', value: curves([...early, 0.4, 0.41, 0.42, 0.43], 2) },
    ],
    profiles: [],
    forgetting: [],
    dynamics: [{ path: 'plain', value: dynamics(200, 12) }],
    quarantined: [
      {
        path: 'hold',
        value: {
          by: 'never-converging',
          rule: 'loss among the highest 20 %',
          considered: 199,
          held: [heldBox('t3'), heldBox('t4', { rounds: 3, category: 'mislabelled', lateLoss: 5 })],
          released: [heldBox('t5')],
        },
      },
    ],
    heldPictures: [
      { annotationId: 't4', imageId: 3, data: 'data:image/jpeg;base64,AAAA', side: 112, box: [20, 20, 90, 90] },
    ],
    corrections: [],
    planted: [],
    coercions: [],
    source: 'name: held\n',
    now: '2026-01-02T04:00:00.000Z',
  };
}

test('the section counts what is held, lists the worst first, and compares trainings with and without', () => {
  const text = renderMarkdown(buildReport(input()));
  expect(text).toContain('| hold | never-converging | 199 | 2 | 1 | 1 | 1 | 1 | 0 |');
  const worst = text.split('\n').filter((line) => line.startsWith('| 3 | 1, 2, 30, 40 |'));
  expect(worst.map((line) => line.split(' | ')[2])).toEqual(['mislabelled', 'unlearnable']);
  expect(text).toMatch(/\| plain \| 0 \| 4 \| 15\.65 \[/);
  expect(text).toMatch(/\| held \| 2 \| 4 \| 0\.00 \[/);
  expect(text).toMatch(
    /\| held \| plain \| −15\.65 \[.*\] \| \+0\.20 \[−0\.80, \+1\.20\] on test \| .*as accurate within noise \|/,
  );
});

test('where the truth is known, the section says what the held boxes really are', () => {
  const errors = [{ type: 'spurious' as const, imageId: 3, annotationId: 't4' }];
  const planted = { errors, features: [1, 1], rareFeature: 1, featureOf: { t3: 1, t5: 0 } };
  const text = renderMarkdown(buildReport({ ...input(), planted: [{ path: 'data', value: planted }] }));
  expect(text).toContain('| hold | 2 | 1 | 1 | 0 | 0 | 0 |');
});

test('a run without quarantine has no such section, and one without its effect says so', () => {
  const none = { ...input(), quarantined: [], dynamics: [] };
  expect(buildReport(none).sections.map(({ id }) => id)).not.toContain('quarantine');
  const unused = { ...input(), curves: [] };
  expect(renderMarkdown(buildReport(unused))).toContain('their effect was not measured');
});

const profile: Profile = {
  models: ['model 1', 'model 2'].map((name, i) => ({ name, model: model('ab'[i]!) })),
  targets: [
    { imageId: 1, annotationId: 'a', loss: [-1, 0.5], pTrue: [0.1, 0.6] },
    { imageId: 1, annotationId: 'b', loss: [0.2, -1], pTrue: [0.8, 0.1] },
    { imageId: 2, annotationId: 'c', loss: [3, 3], pTrue: [0.8, 0.9], quarantined: true },
  ],
  features: {
    focal: { gamma: 2, alpha: 0.25 },
    clusters: [
      { count: 20, objectness: [0.01, 0.01], pTrue: [0.8, 0.8], missed: [0, 0] },
      { count: 2, objectness: [0.1, 0.05], pTrue: [0.3, 0.4], missed: [0.5, 0.5] },
    ],
    halfCount: [5, 4],
  },
};

test('the figures of targets leave out what is held, and say how many were missed', () => {
  const svg = profileFigure(profile);
  expect(svg.match(/1 of 2 missed/g)).toHaveLength(2);
  expect(svg.match(/<circle/g)).toHaveLength(4);
  expect(featureFigure(profile)!.match(/<circle/g)).toHaveLength(4);
  expect(featureFigure({ ...profile, features: undefined })).toBe(null);
  const text = renderMarkdown(buildReport({ ...input(), profiles: [{ path: 'profile', value: profile }] }));
  expect(text).toContain('under each model: 2 in all, and 1 in quarantine, which do not count here.');
});

test('threshold boxes are no dots in the map of a training', () => {
  const svg = cartographyFigure(dynamics(50, 6), new Set(['t3']));
  expect(svg.match(/<circle/g)).toHaveLength(50);
  const page = renderHtml(buildReport(input()));
  expect(page).toContain('Ringed: held in quarantine');
  // With its picture.
  expect(page).toContain('href="data:image/jpeg;base64,AAAA"');
  expect(page).toContain('image 3, mislabelled');
});

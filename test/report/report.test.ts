/** The report says what the numbers say, escapes what people wrote, and needs nothing but itself. */

import { describe, expect, it } from 'vitest';
import type { Curves, Metrics } from '../../artifacts/types.ts';
import type { ArtifactRef, RunEnvironment } from '../../plan/types.ts';
import { buildReport } from '../../report/build.ts';
import { renderHtml, renderMarkdown } from '../../report/render.ts';
import type { ReportInput } from '../../report/types.ts';

const ref = (artifact: ArtifactRef['artifact']): ArtifactRef => ({ artifact, digest: 'ab'.repeat(32), bytes: 1 });
const around = (value: number, half: number) => ({ value, low: value - half, high: value + half });

const cells = (AP: number): Metrics['rows'][number]['cells'] => [
  { split: 'val', labels: 'original', AP: around(AP - 0.01, 0.02), AP50: around(AP + 0.2, 0.02) },
  { split: 'test', labels: 'original', AP: around(AP, 0.02), AP50: around(AP + 0.2, 0.02) },
  { split: 'test', labels: 'final', AP: around(AP + 0.02, 0.02), AP50: around(AP + 0.22, 0.02) },
];

const metrics: Metrics = {
  rows: [
    { name: 'model 1', role: 'model', models: [ref('model')], cells: cells(0.4) },
    { name: 'model 2', role: 'model', models: [ref('model')], cells: cells(0.41) },
    { name: 'models 1+2', role: 'merged', models: [ref('model'), ref('model')], cells: cells(0.43) },
    { name: 'control 1+2', role: 'control', models: [ref('model'), ref('model')], cells: cells(0.42) },
  ],
  comparisons: [
    {
      name: 'models 1+2',
      against: 'control 1+2',
      split: 'test',
      labels: 'final',
      AP: around(0.01, 0.02),
      AP50: around(0, 0.02),
    },
    {
      name: 'models 1+2',
      against: 'model 1',
      split: 'test',
      labels: 'final',
      AP: around(0.03, 0.02),
      AP50: around(0.02, 0.01),
    },
  ],
  labelVersions: [
    { name: 'original', digest: '1', annotations: 20 },
    { name: 'final', digest: '2', annotations: 22 },
  ],
  images: [{ split: 'test', images: 10, groups: 4, boxes: 22 }],
  replicates: 1000,
};

const input = (over: Partial<ReportInput> = {}): ReportInput => ({
  title: 'Berries <b>',
  header: {
    run: 'berries-1',
    pipeline: 'berries',
    planDigest: 'cd'.repeat(32),
    source: 'ef'.repeat(32),
    file: 'berries.yaml',
    params: { rounds: 1 },
    createdAt: '2026-01-02T03:04:05.000Z',
  },
  state: { state: 'running', notices: ['80 % of the images are hard: consider scope: crop'] },
  operations: [
    {
      operation: 'retry',
      at: '2026-01-02T03:06:00.000Z',
      number: 1,
      by: 'ada',
      reason: 'the loss still fell',
      steps: ['train'],
      set: { epochs: 20 },
    },
  ],
  steps: [
    {
      path: 'train',
      kind: 'train',
      state: 'done',
      reused: false,
      startedAt: '2026-01-02T03:04:05.000Z',
      endedAt: '2026-01-02T03:07:25.000Z',
      seed: 7,
      attempts: [
        { startedAt: '2026-01-02T03:04:05.000Z', worker: 'a' },
        { startedAt: '2026-01-02T03:05:05.000Z', worker: 'b', resumedFrom: 120, exact: true },
      ],
    },
    { path: 'mine', kind: 'mine', state: 'done', reused: true },
  ],
  metrics: [{ path: 'table', value: metrics }],
  trials: [],
  curves: [],
  profiles: [],
  forgetting: [],
  dynamics: [],
  quarantined: [],
  heldPictures: [],
  corrections: [],
  planted: [],
  coercions: [],
  source: 'name: berries # <script>alert(1)</script>\n',
  now: '2026-01-02T04:00:00.000Z',
  ...over,
});

describe('the summary', () => {
  it('compares with the control first, and says that the gain cannot be told from noise', () => {
    expect(buildReport(input()).summary[0]).toBe(
      'Against a control with the same training and as many models, the AP of models 1+2 is +1.0 [−1.0, +3.0] points on test (final labels): not distinguishable from test sampling noise.',
    );
  });

  it('calls a difference a gain only where its whole interval lies above zero', () => {
    expect(buildReport(input()).summary[1]).toBe(
      'Against model 1 alone it is +3.0 [+1.0, +5.0] points of AP and +2.0 [+1.0, +3.0] points of AP50: a gain beyond test sampling noise.',
    );
  });

  it('shows test at the original and at the final labels, and that training was resumed', () => {
    const summary = buildReport(input()).summary;
    expect(summary).toContain(
      'On test at the original labels models 1+2 reaches AP50 63.0 [61.0, 65.0] and AP 43.0 [41.0, 45.0].',
    );
    expect(summary).toContain(
      'On test at the final labels models 1+2 reaches AP50 65.0 [63.0, 67.0] and AP 45.0 [43.0, 47.0].',
    );
    expect(summary.at(-1)).toBe('Training was resumed once, each time exactly.');
  });

  it('says where identity cannot hold: a training resumed, or made, on another kind of machine', () => {
    const here = { threads: 2, tensorflow: '2.18.1', oneDnn: true, cpu: 'Old avx2', hardcase: '1', node: 'v22' };
    const attempts = [
      { startedAt: '2026-01-02T03:05:05.000Z', worker: 'b', resumedFrom: 120, exact: true },
      { startedAt: '2026-01-02T03:06:05.000Z', worker: 'c', resumedFrom: 150, exact: false },
    ];
    const [train] = input().steps;
    const epoch = { epoch: 1, loss: { total: 1 }, imagesPerSecond: 100 };
    const curvesOf = (environment: RunEnvironment) =>
      ({ epochs: [epoch], clipSwitch: null, seconds: 1, environment }) as unknown as Curves;
    const report = buildReport(
      input({
        state: { state: 'running', environment: here },
        steps: [{ ...train!, attempts }],
        curves: [
          { path: 'model0', value: curvesOf({ ...here, threads: 1 }) },
          { path: 'train', value: curvesOf({ ...here, cpu: 'New avx512f' }) },
        ],
      }),
    );
    expect(report.summary.slice(-2)).toEqual([
      'Training was resumed 2 times, once on another kind of machine, where the last bits of the weights may differ.',
      'train was trained on another kind of machine than the run began with (cpu New avx512f instead of Old avx2): on one machine alone the last bits of the weights may be others.',
    ]);
    const [html, markdown] = [renderHtml(report), renderMarkdown(report)];
    for (const sentence of report.summary.slice(-2)) {
      expect(html).toContain(sentence);
      expect(markdown).toContain(sentence);
    }
    for (const page of [html, markdown]) expect(page).toContain('120, 150 (not exact)');
  });

  it('says so where a run made no table', () => {
    expect(buildReport(input({ metrics: [], steps: [] })).summary).toEqual(['This run made no table of results.']);
  });
});

describe('the pages', () => {
  it('set validation back, and show every row at every label version', () => {
    const html = renderHtml(buildReport(input()));
    expect(html).toContain('<td class="grey">39.0 [37.0, 41.0]</td>');
    expect(html).toContain('<td>40.0 [38.0, 42.0]</td>');
    expect(html.match(/models 1\+2/g)!.length).toBeGreaterThan(2);
  });

  it('escape what people wrote, and hold no script and no address to load from', () => {
    const html = renderHtml(buildReport(input()));
    expect(html).not.toContain('<script');
    expect(html).not.toContain('Berries <b>');
    expect(html).not.toMatch(/(src|href)="(https?:)?\/\//);
    expect(html).toContain("default-src 'none'");
  });

  it('say which steps were reused and where training was resumed', () => {
    const markdown = renderMarkdown(buildReport(input()));
    expect(markdown).toContain('| train | train | done | 3 min 20 s | 2 | 120 | 7 |');
    expect(markdown).toContain('| mine | mine | done, reused | – | 0 | – | – |');
    expect(markdown).toContain('- 80 % of the images are hard: consider scope: crop');
  });

  it('draw capacity and the loss of each target, with -1 for a missed one', () => {
    const report = buildReport(
      input({
        trials: [
          {
            path: 'capacity',
            value: {
              rule: 'one-se',
              reason: 'Depth 0.33, width 0.125 is the smallest.',
              trials: [
                {
                  depth: 0.33,
                  width: 0.125,
                  parameters: 270_000,
                  flops: 1.25e9,
                  trainingLoss: 1.5,
                  gap: around(0.05, 0.04),
                  trainingImagesPerSecond: 210.4,
                  inferenceImagesPerSecond: 801,
                  AP: around(0.4, 0.02),
                  AP50: 0.6,
                  seconds: 61,
                  chosen: true,
                  model: ref('model'),
                },
                {
                  depth: 0.33,
                  width: 0.25,
                  parameters: 1_000_000,
                  trainingLoss: 1.2,
                  AP: around(0.41, 0.02),
                  AP50: 0.6,
                  seconds: 122,
                  chosen: false,
                  model: ref('model'),
                },
              ],
            },
          },
        ],
        profiles: [
          {
            path: 'profile',
            value: {
              models: [
                { name: 'model 1', model: ref('model') },
                { name: 'model 2', model: ref('model') },
              ],
              targets: [
                { imageId: 1, annotationId: 'a', loss: [-1, 0.5], pTrue: [0.1, 0.6] },
                { imageId: 1, annotationId: 'b', loss: [0.2, -1], pTrue: [0.8, 0.1] },
                { imageId: 2, annotationId: 'c', loss: [0.4, 0.3], pTrue: [0.8, 0.9] },
              ],
            },
          },
        ],
      }),
    );
    const html = renderHtml(report);
    expect(html.match(/<svg/g)!.length).toBeGreaterThanOrEqual(4);
    const markdown = renderMarkdown(report);
    expect(markdown).toContain('| model 1 | 1 | – | – | 0.300 |');
    expect(markdown).toContain('| model 2 | 1 | 1 | 1 | 0.400 |');
    expect(markdown).toContain('| 0.33 | 0.125 | – | 1.500 | 40.0 [38.0, 42.0] | 60.0 | +5.0 [+1.0, +9.0] |');
    expect(markdown).toContain('| 0.33 | 0.125 | 270,000 | 1,250 million | 210 | 801 | 1 min 1 s |');
  });

  it('show the trials that were stopped early, where they got to and why', () => {
    const size = { depth: 0.33, width: 0.5, imageSize: 320, anchors: 3, parameters: 4_000_000, flops: 9e9 };
    const report = buildReport(
      input({
        steps: [
          {
            path: 'capacity.trial[0.33,0.5,320,3]',
            kind: 'capacity-trial',
            state: 'done',
            reused: false,
            note: 'stopped at epoch 5 of 30: not among the best 2 of 3 there',
          },
        ],
        trials: [
          {
            path: 'capacity',
            value: {
              rule: 'best',
              reason: 'It is the best.',
              trials: [0.125, 0.25].map((width) => ({
                ...size,
                width,
                trainingLoss: 1,
                AP: around(width, 0.02),
                AP50: 0.6,
                trainAP: around(width + 0.1, 0.02),
                epochs: 30,
                seconds: 61,
                chosen: width === 0.25,
                model: ref('model'),
              })),
              stopped: [{ ...size, epochs: 5, trainingLoss: 3, AP: 0.08, AP50: 0.2, seconds: 20 }],
              rungs: [{ epoch: 5, compared: 3, kept: 2 }],
            },
          },
        ],
      }),
    );
    const markdown = renderMarkdown(report);
    expect(markdown).toContain('| 0.33 | 0.5 | stopped at 5 | 3.000 | 8.0 | 20.0 | – |');
    expect(markdown).toContain('| 0.33 | 0.5 | 4,000,000 | 9,000 million | – | – | 20 s |');
    expect(markdown).toContain('after epoch 5 the best 2 of 3 went on.');
    expect(markdown).toContain('done, stopped at epoch 5 of 30: not among the best 2 of 3 there');
    expect(renderHtml(report)).toContain('Hollow: stopped early');
  });
});

it('tells what people asked of the run, and why', () => {
  const markdown = renderMarkdown(buildReport(input()));
  expect(markdown).toContain('| 2026-01-02 03:06:00 | ada | retry | train | {"epochs":20} | the loss still fell |');
});

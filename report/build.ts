/** From what a run left behind to the report: the summary in words, the tables, the figures. */

import type { Corrections, Interval, Metrics, Profile, TrialSize, Trials } from '../artifacts/types.ts';
import type { Split } from '../detection/types.ts';
import type { StepRecord } from '../plan/types.ts';
import { otherMachines } from './arithmetic.ts';
import { capacityFigure, varying } from './capacity-figure.ts';
import { lossFigure, tableFigure } from './figures.ts';
import { modelChainSection } from './model-chain.ts';
import { quarantineSection } from './quarantine.ts';
import { featureFigure, profileFigure } from './target-figures.ts';
import type { Block, Cell, Made, Report, ReportInput, Section, Table } from './types.ts';

/** AP in percent points, as the field writes it: 73.5. */
const points = (value: number): string => (100 * value).toFixed(1);

const interval = (estimate: Interval): string =>
  `${points(estimate.value)} [${points(estimate.low)}, ${points(estimate.high)}]`;

const signedPoints = (value: number): string => `${value < 0 ? '−' : '+'}${points(Math.abs(value))}`;

const difference = (estimate: Interval): string =>
  `${signedPoints(estimate.value)} [${signedPoints(estimate.low)}, ${signedPoints(estimate.high)}]`;

const plain = (text: string | number): Cell => ({ text: String(text) });

export function buildReport(input: ReportInput): Report {
  const sections: (Section | null)[] = [
    resultsSection(input.metrics),
    capacitySection(input),
    labelsSection(input),
    trainingSection(input),
    modelChainSection(input),
    quarantineSection(input),
    profileSection(input),
    runSection(input),
    reproduceSection(input),
  ];
  return {
    title: input.title,
    subtitle: `Run ${input.header.run} of pipeline ${input.header.pipeline}, started ${input.header.createdAt}, report made ${input.now}`,
    summary: summarize(input),
    sections: sections.filter((section) => section !== null),
  };
}

/** The first sentence compares with the control, because more training and more parameters alone already help. */
function summarize(input: ReportInput): string[] {
  const sentences: string[] = [];
  for (const { value: metrics } of input.metrics) {
    const final = lastMerged(metrics);
    const first = metrics.rows.find((row) => row.role === 'model');
    const control = metrics.comparisons.find((one) => one.name === final?.name && one.against.startsWith('control'));
    const gain = metrics.comparisons.find((one) => one.name === final?.name && one.against === first?.name);
    if (control) {
      sentences.push(
        `Against a control with the same training and as many models, the AP of ${control.name} is ${difference(control.AP)} points on ${control.split} (${control.labels} labels): ${verdict(control.AP)}.`,
      );
    }
    if (gain) {
      sentences.push(
        `Against ${gain.against} alone it is ${difference(gain.AP)} points of AP and ${difference(gain.AP50)} points of AP50: ${verdict(gain.AP)}.`,
      );
    }
    const best = final ?? metrics.rows.filter((row) => row.role === 'model').at(-1);
    for (const cell of best?.cells.filter((one) => one.split === 'test' && isShown(one.labels)) ?? []) {
      sentences.push(
        `On test at the ${cell.labels} labels ${best!.name} reaches AP50 ${interval(cell.AP50)} and AP ${interval(cell.AP)}.`,
      );
    }
  }
  if (input.metrics.length > 0) {
    sentences.push(
      'Intervals are 95 %, by a paired bootstrap over groups of images: they hold for these weights and cover test sampling only, not the spread between training seeds.',
    );
  }
  const changed = input.corrections.reduce((sum, one) => sum + one.value.changes.length, 0);
  if (input.corrections.length > 0) {
    const simulated = input.corrections.some((one) => one.value.reviewer === 'oracle');
    sentences.push(
      `Review changed ${changed} labels in ${input.corrections.length} ${input.corrections.length === 1 ? 'gate' : 'gates'}${simulated ? '; the reviewer was a simulation that knows the truth' : ''}.`,
    );
  }
  const resumed = input.steps
    .flatMap((step) => step.attempts ?? [])
    .filter((attempt) => attempt.resumedFrom !== undefined);
  if (resumed.length > 0) {
    const inexact = resumed.filter((attempt) => attempt.exact === false).length;
    sentences.push(
      `Training was resumed ${times(resumed.length)}${inexact > 0 ? `, ${times(inexact)} on another kind of machine, where the last bits of the weights may differ` : ', each time exactly'}.`,
    );
  }
  sentences.push(...otherMachines(input));
  if (sentences.length === 0) sentences.push('This run made no table of results.');
  return sentences;
}

const times = (count: number): string => (count === 1 ? 'once' : `${count} times`);

function verdict(gain: Interval): string {
  if (gain.low > 0) return 'a gain beyond test sampling noise';
  if (gain.high < 0) return 'a loss beyond test sampling noise';
  return 'not distinguishable from test sampling noise';
}

/** The versions in between are in the metrics, but side by side a reader needs the ends: the ruler that moved. */
function isShown(labels: string): boolean {
  return !labels.startsWith('version ');
}

function lastMerged(metrics: Metrics): Metrics['rows'][number] | undefined {
  return metrics.rows.filter((row) => row.role === 'merged').at(-1);
}

function resultsSection(tables: readonly Made<Metrics>[]): Section | null {
  if (tables.length === 0) return null;
  const blocks: Block[] = [];
  for (const { path, value: metrics } of tables) {
    const columns = (metrics.rows[0]?.cells ?? []).filter((cell) => isShown(cell.labels));
    const figureOf =
      columns.filter((column) => column.split === 'test' && column.labels !== 'truth').at(-1) ?? columns.at(-1);
    for (const split of splitsToShow(metrics)) {
      const labels = columns.filter((column) => column.split === split).map((column) => column.labels);
      if (labels.length > 0) blocks.push({ type: 'table', table: splitTable(path, metrics, split, labels) });
      if (figureOf?.split !== split) continue;
      blocks.push({
        type: 'figure',
        figure: {
          caption: `The same for ${split} at the ${figureOf.labels} labels.`,
          svg: tableFigure(metrics, split, figureOf.labels),
        },
      });
    }
    if (metrics.comparisons.length > 0) {
      blocks.push({
        type: 'table',
        table: {
          caption: `Paired differences in points. This table makes ${metrics.comparisons.length} comparisons: with many, some intervals exclude zero by chance (about one in twenty).`,
          columns: ['Compared', 'Where', 'AP', 'AP50', 'In words'],
          rows: metrics.comparisons.map((one) => [
            plain(`${one.name} − ${one.against}`),
            plain(`${one.split}, ${one.labels}`),
            plain(difference(one.AP)),
            plain(difference(one.AP50)),
            plain(verdict(one.AP)),
          ]),
        },
      });
    }
    blocks.push({
      type: 'table',
      table: {
        caption:
          'What was measured on: groups are resampled as a whole, because crops of one photo are not independent.',
        columns: ['Split', 'Images', 'Groups', 'Boxes'],
        rows: metrics.images.map((one) => [plain(one.split), plain(one.images), plain(one.groups), plain(one.boxes)]),
      },
    });
  }
  return { id: 'results', title: 'Results', blocks };
}

/** Test comes first: it is what a reader came for. */
function splitsToShow(metrics: Metrics): Split[] {
  const splits = new Set(metrics.rows.flatMap((row) => row.cells.map((cell) => cell.split)));
  return (['test', 'val', 'train'] as const).filter((split) => splits.has(split));
}

function splitTable(path: string, metrics: Metrics, split: Split, labels: readonly string[]): Table {
  const grey = split !== 'test';
  const use = {
    test: 'Test only reports.',
    val: 'Validation, in grey, was used for choices.',
    train: 'Trained on, in grey.',
  };
  return {
    caption: `AP and AP50 on ${split} in percent, with 95 % intervals (step ${path}). ${use[split]}`,
    columns: ['Model', ...labels.flatMap((version) => [`${version} labels: AP`, 'AP50'])],
    rows: metrics.rows.map((row) => [
      { text: row.name, strong: row.role === 'merged' },
      ...labels.flatMap((version): Cell[] => {
        const cell = row.cells.find((one) => one.split === split && one.labels === version);
        return cell
          ? [
              { text: interval(cell.AP), grey },
              { text: interval(cell.AP50), grey },
            ]
          : [plain('–'), plain('–')];
      }),
    ]),
  };
}

function capacitySection(input: ReportInput): Section | null {
  if (input.trials.length === 0) return null;
  const blocks = input.trials.flatMap(({ path, value: trials }): Block[] => [
    { type: 'text', text: trials.reason },
    {
      type: 'table',
      table: {
        caption: `Trials of ${path}, by the rule ${trials.rule === 'one-se' ? 'of one standard error: the smallest model that cannot be told from the best' : 'best'}. The gap is AP on a sample of the training images less AP on validation.`,
        columns: [...sizeColumns(trials), 'Epochs', 'Training loss', 'AP on validation', 'AP50', 'Gap'],
        rows: [
          ...trials.trials.map((trial) => trialRow(trials, trial)),
          ...(trials.stopped ?? []).map((trial) => stoppedRow(trials, trial)),
        ],
      },
    },
    ...rungsText(trials),
    {
      type: 'table',
      table: {
        caption:
          'What each size costs. Operations are those of the convolutions of one image, a multiplication and its addition as two; images/s are those of the machine where the trial ran.',
        columns: [
          ...sizeColumns(trials),
          'Parameters',
          'Operations',
          'Training images/s',
          'Detection images/s',
          'Time',
        ],
        rows: [...trials.trials, ...(trials.stopped ?? [])].map((trial) => costRow(trials, trial)),
      },
    },
    {
      type: 'figure',
      figure: {
        caption: `Capacity against AP on validation, with 95 % intervals; the number beside a point is the width. Dashed: AP on training images, without augmentation.${trials.stopped ? ' Hollow: stopped early, where it had got to.' : ''}`,
        svg: capacityFigure(trials),
      },
    },
  ]);
  return { id: 'capacity', title: 'Capacity', blocks };
}

function sizeColumns(trials: Trials): string[] {
  const varies = varying(trials);
  return ['Depth', 'Width', ...(varies.imageSize ? ['Image size'] : []), ...(varies.anchors ? ['Anchors'] : [])];
}

function sizeCells(trials: Trials, trial: TrialSize & { readonly chosen?: boolean }): Cell[] {
  const varies = varying(trials);
  const { depth, width, imageSize, anchors, chosen: strong } = trial;
  const values = [depth, width, ...(varies.imageSize ? [imageSize] : []), ...(varies.anchors ? [anchors] : [])];
  return values.map((value) => ({ text: String(value), strong }));
}

function trialRow(trials: Trials, trial: Trials['trials'][number]): Cell[] {
  return [
    ...sizeCells(trials, trial),
    plain(trial.epochs ?? '–'),
    plain(trial.trainingLoss.toFixed(3)),
    { text: interval(trial.AP), grey: true },
    { text: points(trial.AP50), grey: true },
    { text: trial.gap ? difference(trial.gap) : '–', grey: true },
  ];
}

function stoppedRow(trials: Trials, trial: NonNullable<Trials['stopped']>[number]): Cell[] {
  return [
    ...sizeCells(trials, trial),
    plain(`stopped at ${trial.epochs}`),
    plain(trial.trainingLoss.toFixed(3)),
    { text: points(trial.AP), grey: true },
    { text: points(trial.AP50), grey: true },
    plain('–'),
  ];
}

function costRow(trials: Trials, trial: Trials['trials'][number] | NonNullable<Trials['stopped']>[number]): Cell[] {
  const speeds = 'chosen' in trial ? [trial.trainingImagesPerSecond, trial.inferenceImagesPerSecond] : [null, null];
  return [
    ...sizeCells(trials, trial),
    plain(trial.parameters.toLocaleString('en')),
    plain(trial.flops === undefined ? '–' : millions(trial.flops)),
    ...speeds.map((imagesPerSecond) => plain(imagesPerSecond ? Math.round(imagesPerSecond) : '–')),
    plain(duration(trial.seconds)),
  ];
}

/** `2.65 million`, `1,250 million`: enough digits to compare by. */
function millions(count: number): string {
  const inMillions = count / 1e6;
  const digits = inMillions < 100 ? 2 : 0;
  return `${inMillions.toLocaleString('en', { maximumFractionDigits: digits })} million`;
}

function rungsText({ rungs }: Trials): Block[] {
  if (rungs === undefined) return [];
  const parts = rungs.map(
    ({ epoch, compared, kept }) => `after epoch ${epoch} the best ${kept} of ${compared} went on`,
  );
  return [{ type: 'text', text: `Trials were compared by AP on validation while they trained: ${parts.join(', ')}.` }];
}

function labelsSection(input: ReportInput): Section | null {
  if (input.corrections.length === 0 && input.coercions.length === 0 && input.planted.length === 0) return null;
  const blocks: Block[] = [];
  if (input.corrections.length > 0) blocks.push({ type: 'table', table: correctionsTable(input.corrections) });
  for (const { path, value } of input.corrections) {
    if (!value.againstTruth || value.againstTruth.length === 0) continue;
    blocks.push({
      type: 'table',
      table: {
        caption: `Label errors against the known truth, before and after ${path}.`,
        columns: ['Type', 'Before', 'After', 'Put right'],
        rows: value.againstTruth.map((one) => [
          plain(one.type),
          plain(one.before),
          plain(one.after),
          plain(one.before === 0 ? '–' : `${Math.round((100 * (one.before - one.after)) / one.before)} %`),
        ]),
      },
    });
  }
  for (const { path, value } of input.corrections) {
    if (value.trust !== undefined) blocks.push(...trustBlocks(path, value.trust));
    for (const one of value.anchoring ?? []) blocks.push({ type: 'text', text: anchoringText(path, one) });
  }
  for (const { path, value } of input.planted) {
    const counts = new Map<string, number>();
    for (const error of value.errors) counts.set(error.type, (counts.get(error.type) ?? 0) + 1);
    blocks.push({
      type: 'text',
      text: `Step ${path} planted ${value.errors.length} label errors in all splits: ${[...counts].map(([type, count]) => `${count} ${type}`).join(', ')}.`,
    });
  }
  for (const { path, value } of input.coercions) {
    const shown = value.items
      .slice(0, 20)
      .map((item) => `${item.file}, ${item.place}: ${item.what} (was ${item.was}, became ${item.became})`);
    blocks.push({
      type: 'text',
      text: `Step ${path} changed ${value.items.length} labels while importing${value.items.length > 20 ? '; the first 20' : ''}${value.items.length > 0 ? ':' : '.'}`,
    });
    if (shown.length > 0) blocks.push({ type: 'list', items: shown });
  }
  return { id: 'labels', title: 'Labels', blocks };
}

/** What questions with known answers say about those who were asked. */
function trustBlocks(path: string, { questions, reviewers, left }: NonNullable<Corrections['trust']>): Block[] {
  const percent = (share: number) => Math.round(100 * share);
  const table: Table = {
    caption: `${questions} questions of ${path} had known answers: how often each reviewer was right, with the 95 % interval.`,
    columns: ['Reviewer', 'Type', 'Known', 'Right', 'Errors found'],
    rows: reviewers.map(({ by, type, asked, accuracy, planted, found }) => [
      plain(by),
      plain(type),
      plain(asked),
      plain(`${percent(accuracy.value)} [${percent(accuracy.low)}, ${percent(accuracy.high)}] %`),
      plain(`${found} of ${planted}`),
    ]),
  };
  const passedOver = left.map(
    ({ type, value, low, high }) => `${value.toFixed(1)} [${low.toFixed(1)}, ${high.toFixed(1)}] ${type}`,
  );
  const text = `Going by these, the reviewers of ${path} probably passed over, among what they were asked: ${passedOver.join(', ')}. What nobody was asked about is not in these numbers.`;
  return [{ type: 'table', table }, ...(left.length > 0 ? [{ type: 'text', text } as const] : [])];
}

/** Labels that people corrected with the model's box in sight lean towards the model by as much. */
function anchoringText(path: string, { of, anchoring }: NonNullable<Corrections['anchoring']>[number]): string {
  const { shown, blind, difference } = anchoring;
  const percent = (share: number) => (100 * share).toFixed(0);
  const sign = difference.value < 0 ? 'less' : 'more';
  const [low, high] = difference.value < 0 ? [-difference.high, -difference.low] : [difference.low, difference.high];
  return (
    `${path}, ${of === 'test' ? 'test images' : 'images of other splits'}: with the model's box in sight reviewers said the same as the model in ${percent(shown.value)} % of ${shown.count} answers, without it in ${percent(blind.value)} % of ${blind.count}: ` +
    `${percent(Math.abs(difference.value))} points ${sign} [${percent(low)}, ${percent(high)}].`
  );
}

function correctionsTable(corrections: readonly Made<Corrections>[]): Table {
  return {
    caption: 'What each review was asked, and what it changed.',
    columns: [
      'Step',
      'Reviewer',
      'Asked',
      'From earlier',
      'Undecided',
      'Added',
      'Removed',
      'Moved',
      'Reclassed',
      'Ignored',
    ],
    rows: corrections.map(({ path, value }) => {
      const count = (what: string) => value.changes.filter((change) => change.what === what).length;
      return [
        plain(path),
        plain(value.reviewer === 'oracle' ? 'simulated' : 'human'),
        plain(value.asked),
        plain(value.carriedOver),
        plain(value.undecided),
        plain(count('added')),
        plain(count('removed')),
        plain(count('moved')),
        plain(count('reclassed')),
        plain(count('ignored')),
      ];
    }),
  };
}

function trainingSection(input: ReportInput): Section | null {
  if (input.curves.length === 0) return null;
  const rows = input.curves.map(({ path, value }) => {
    const last = value.epochs.at(-1);
    const seen = [...value.epochs].reverse().find((epoch) => epoch.validation)?.validation;
    return [
      plain(path),
      plain(value.epochs.length),
      plain(last ? last.loss.total.toFixed(3) : '–'),
      { text: seen ? points(seen.AP) : '–', grey: true },
      plain(value.clipSwitch ? `epoch ${value.clipSwitch.epoch} (${value.clipSwitch.reason})` : 'never'),
      plain(last ? Math.round(last.imagesPerSecond) : '–'),
      plain(duration(value.seconds)),
    ];
  });
  return {
    id: 'training',
    title: 'Training',
    blocks: [
      {
        type: 'table',
        table: {
          caption:
            'Each training. Clipping switches on near convergence, so that unlearnable samples do not unsettle the model.',
          columns: ['Step', 'Epochs', 'Last loss', 'AP on validation', 'Clipping on', 'Images/s', 'Time'],
          rows,
        },
      },
      {
        type: 'figure',
        figure: {
          caption: 'Training loss over the epochs; dashed: clipping switched on.',
          svg: lossFigure(input.curves),
        },
      },
    ],
  };
}

function profileSection(input: ReportInput): Section | null {
  if (input.profiles.length === 0) return null;
  const blocks = input.profiles.flatMap(({ path, value: profile }): Block[] => {
    const targets = profile.targets.filter((target) => !target.quarantined);
    const held = profile.targets.length - targets.length;
    const first = targets.map((target) => target.loss[0]!);
    const features = featureFigure(profile);
    return [
      {
        type: 'table',
        table: {
          caption: `Targets of the training set of ${path} under each model: ${targets.length} in all${held > 0 ? `, and ${held} in quarantine, which do not count here` : ''}.`,
          columns: ['Model', 'Missed', 'Newly found', 'Newly missed', 'Median loss of the found'],
          rows: profile.models.map((model, m) => {
            const losses = targets.map((target) => target.loss[m]!);
            const found = losses.filter((loss) => loss !== -1);
            const newly = (was: boolean) =>
              losses.filter((loss, i) => (first[i] === -1) === was && (loss === -1) !== was).length;
            return [
              plain(model.name),
              plain(losses.length - found.length),
              plain(m === 0 ? '–' : newly(true)),
              plain(m === 0 ? '–' : newly(false)),
              plain(found.length > 0 ? median(found).toFixed(3) : '–'),
            ];
          }),
        },
      },
      {
        type: 'figure',
        figure: {
          caption:
            'Loss of each target under each model; −1, in orange: missed. Newly found and newly missed are against the first model.',
          svg: profileFigure(profile),
        },
      },
      ...(features === null
        ? []
        : [
            {
              type: 'figure' as const,
              figure: {
                caption: featureCaption(profile),
                svg: features,
              },
            },
          ]),
    ];
  });
  return { id: 'profile', title: 'Loss on the last training set', blocks };
}

function featureCaption({ features }: Profile): string {
  const { gamma, alpha } = features!.focal;
  return (
    `How many targets look alike against what they cost: ${features!.clusters.length} features, found by clustering ` +
    `the crops. Dots: mean focal loss (gamma ${gamma}, alpha ${alpha}). Dashed: what is expected where p_true is ` +
    'n / (n + h) for a feature that occurs n times, with h fitted to the dots. A dot far above the line costs more than its rarity explains.'
  );
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function runSection(input: ReportInput): Section {
  const blocks: Block[] = [
    {
      type: 'table',
      table: {
        caption:
          'Every step: what ran, what was reused from an earlier run, where training was resumed, and how long it took.',
        columns: ['Step', 'Kind', 'State', 'Time', 'Attempts', 'Resumed at step', 'Seed'],
        rows: input.steps.map((step) => [
          plain(step.path),
          plain(step.kind),
          plain(`${step.state}${step.reused ? ', reused' : ''}${step.note ? `, ${step.note}` : ''}`),
          plain(step.reused ? '–' : elapsed(step)),
          plain(step.attempts?.length ?? 0),
          plain(resumedAt(step)),
          plain(step.seed ?? '–'),
        ]),
      },
    },
  ];
  if (input.operations.length > 0) {
    blocks.push({
      type: 'table',
      table: {
        caption: 'What people asked of the run while it went on.',
        columns: ['When', 'Who', 'What', 'Steps', 'Parameters changed', 'Why'],
        rows: input.operations.map(({ at, by, operation, now, steps, set, changes, from, reason }) => [
          plain(at.slice(0, 19).replace('T', ' ')),
          plain(by),
          plain(now === true ? `${operation} now` : operation),
          plain(steps?.join(', ') ?? '–'),
          plain(set === undefined ? changedWords(changes, from) : JSON.stringify(set)),
          plain(reason ?? '–'),
        ]),
      },
    });
  }
  if (input.state.notices && input.state.notices.length > 0) {
    blocks.push({ type: 'text', text: 'Notices:' }, { type: 'list', items: input.state.notices });
  }
  return { id: 'run', title: 'The run', blocks };
}

/** Of an upgrade: what differs between the plans, and from which rounds on. */
function changedWords(changes: readonly string[] = [], from: { readonly [loop: string]: number } = {}): string {
  const rounds = Object.entries(from).map(([loop, round]) => `${loop} from round ${round} on`);
  return [...changes, ...rounds].join('; ') || '–';
}

function resumedAt(step: StepRecord): string {
  const places = (step.attempts ?? []).flatMap((attempt) =>
    attempt.resumedFrom === undefined ? [] : [`${attempt.resumedFrom}${attempt.exact === false ? ' (not exact)' : ''}`],
  );
  return places.length > 0 ? places.join(', ') : '–';
}

function elapsed(step: StepRecord): string {
  if (!step.startedAt || !step.endedAt) return '–';
  return duration((Date.parse(step.endedAt) - Date.parse(step.startedAt)) / 1000);
}

/** Seconds as a person writes them: `41 s`, `3 min 20 s`, `2 h 5 min`. */
function duration(seconds: number): string {
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds - 60 * minutes)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function reproduceSection(input: ReportInput): Section {
  const environment = input.state.environment;
  const params = Object.entries(input.header.params).map(
    ([name, value]) => `${name}: ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`,
  );
  const items = [
    `Plan ${input.header.planDigest}`,
    `Pipeline file ${input.header.file}`,
    ...(input.header.fork ? [`Fork of run ${input.header.fork.run}: from ${input.header.fork.from} on`] : []),
    ...params.map((text) => `Param ${text}`),
    ...(environment
      ? [
          `hardcase ${environment.hardcase}, Node ${environment.node}, TensorFlow ${environment.tensorflow}, oneDNN ${environment.oneDnn ? 'on' : 'off'}`,
          `${environment.cpu}, ${environment.threads} ${environment.threads === 1 ? 'thread' : 'threads'} an operation`,
        ]
      : []),
  ];
  return {
    id: 'reproduce',
    title: 'Reproduce',
    blocks: [
      { type: 'list', items },
      { type: 'text', text: 'The pipeline as it ran:' },
      { type: 'code', text: input.source },
    ],
  };
}

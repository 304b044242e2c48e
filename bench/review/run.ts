/** Scenes with planted errors, models trained on them, and the table of what each ranking finds. */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { detectionsOf } from '../../activities/detections.ts';
import { describeEnvironment } from '../../activities/environment.ts';
import { synthesize } from '../../activities/synthesize.ts';
import { trainModel } from '../../activities/train.ts';
import { loadDataset, loadLabels, saveJson } from '../../artifacts/codecs.ts';
import { openStore } from '../../artifacts/open-store.ts';
import { joinDetections } from '../../detection/detections.ts';
import { findCandidates, LABEL_ERROR_TYPES } from '../../detection/label-issues.ts';
import type { Dataset, Detections } from '../../detection/types.ts';
import type { ArtifactRef } from '../../plan/types.ts';
import { conditions } from '../proof/append-section.ts';
import { benchContext } from '../proof/bench-context.ts';
import { markdownTable, percent } from '../proof/tables.ts';
import { torchFolder } from '../torch/client.ts';
import { describeGains, type GainAt, gainsOf } from './gain.ts';
import { cleanlabPython } from './python.ts';
import {
  byConfidence,
  byMistakenness,
  byObjectLab,
  byRank,
  errorsOf,
  type LabelError,
  type Look,
  type ObjectLabScores,
  objectLabRequest,
  reachedAfter,
} from './rankings.ts';

export interface ReviewBenchRequest {
  readonly images: number;
  readonly epochs: number;
  readonly folds: number;
  readonly firstSeed: number;
  readonly seeds: number;
  readonly out: string;
  readonly installCleanlab: boolean;
  readonly append: boolean;
}

const CONFIDENCE = 0.3;
const IOU = 0.5;
const SIZE = 160;
const SCENES = {
  imageSize: SIZE,
  categories: 3,
  targets: 6,
  targetSize: 0.1,
  tail: 0.04,
  errors: { missing: 0.06, spurious: 0.04, shifted: 0.04, wrongClass: 0.04 },
  split: { train: 1, val: 0, test: 0 },
};
/** Looks, as shares of the number of errors. */
const EFFORTS = [0.25, 0.5, 1, 2] as const;

/** One repetition: what there is to find, and what each method shows in which order. */
interface Trial {
  readonly errors: readonly LabelError[];
  readonly orders: ReadonlyMap<string, readonly Look[]>;
  readonly gains: readonly GainAt[];
}

export async function runReviewBench(request: ReviewBenchRequest): Promise<void> {
  process.env.TF_ENABLE_ONEDNN_OPTS ??= '1';
  const python = cleanlabPython({ install: request.installCleanlab });
  const trials: Trial[] = [];
  const { firstSeed, seeds } = request;
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) trials.push(await runTrial(request, seed, python));
  const text = describe(request, trials);
  console.log(text);
  if (request.append) replaceSection(join('docs', 'review.md'), text);
}

async function runTrial(request: ReviewBenchRequest, seed: number, python: string): Promise<Trial> {
  const store = await openStore(join(request.out, 'store'));
  const environment = await describeEnvironment();
  const step = (path: string, identity: unknown) => benchContext({ store, environment, path, seed, identity });
  const scenes = { ...SCENES, images: request.images };
  const made = await synthesize(step('synthesize', scenes), scenes);
  const dataset = await loadDataset(store, made.dataset);
  const truth = await loadLabels(store, made.truth);
  const detections = await outOfFold(request, dataset, made.dataset, step);

  const { annotations } = dataset.labels;
  const candidates = findCandidates({ ...dataset, annotations }, detections, { confidence: CONFIDENCE, iou: IOU });
  const asked = objectLabRequest(
    dataset.categories.map(({ id }) => id),
    annotations,
    detections,
  );
  const { status, stdout, stderr } = spawnSync(python, [join(torchFolder(), '..', 'review', 'objectlab.py')], {
    input: JSON.stringify({ ...asked.payload, confidence: CONFIDENCE }),
    encoding: 'utf8',
    maxBuffer: 2 ** 30,
  });
  if (status !== 0) throw new Error(`ObjectLab failed: ${stderr.trim().split('\n').at(-1)}`);
  return {
    gains: await gainsOf(dataset, truth.annotations, detections, candidates),
    errors: errorsOf(detections.imageIds, annotations, truth.annotations),
    orders: new Map([
      ['hardcase', byRank(candidates)],
      ['confidence', byConfidence(candidates)],
      ['ObjectLab', byObjectLab(asked, JSON.parse(stdout) as ObjectLabScores)],
      ['mistakenness', byMistakenness(annotations, detections, CONFIDENCE)],
    ]),
  };
}

type Step = (path: string, identity: unknown) => ReturnType<typeof benchContext>;

/** Each image is detected by a model that was trained without it; photos that several images are cut from stay together. */
async function outOfFold(
  { folds, epochs }: ReviewBenchRequest,
  dataset: Dataset,
  ref: ArtifactRef,
  step: Step,
): Promise<Detections> {
  const groups = [...new Set(dataset.images.map(({ group }) => group))].sort();
  const foldOf = new Map(groups.map((group, i) => [group, i % folds]));
  const parts: Detections[] = [];
  for (let fold = 0; fold < folds; fold++) {
    const inside = dataset.images.filter(({ group }) => foldOf.get(group) === fold).map(({ id }) => id);
    const others = folds === 1 ? inside : dataset.images.map(({ id }) => id).filter((id) => !inside.includes(id));
    const path = `fold ${fold + 1}`;
    const plain = { imageSize: SIZE, width: 0.1875, depth: 0.33, epochs, evaluateEvery: epochs };
    const context = step(path, { plain, dataset: ref.digest, others });
    const select = await saveJson(context.store, 'selection', { images: others });
    const { outputs } = await trainModel(context, { dataset: ref, select, ...plain });
    parts.push(await detectionsOf(context, outputs.model, dataset, inside));
  }
  return joinDetections(parts);
}

function describe(request: ReviewBenchRequest, trials: readonly Trial[]): string {
  const mean = (value: (trial: Trial) => number): string =>
    percent(trials.reduce((sum, trial) => sum + value(trial), 0) / trials.length);
  const rows = [...trials[0]!.orders.keys()].flatMap((method) =>
    EFFORTS.map((effort) => {
      const at = (trial: Trial) =>
        reachedAfter(trial.orders.get(method)!, trial.errors, Math.round(effort * trial.errors.length));
      return [
        method,
        String(effort),
        mean((trial) => at(trial).precision),
        mean((trial) => at(trial).recall),
        ...LABEL_ERROR_TYPES.map((type) => mean((trial) => at(trial).byType[type])),
      ];
    }),
  );
  const errors = trials.reduce((sum, trial) => sum + trial.errors.length, 0) / trials.length;
  const words = `npm run bench -- review --images ${request.images} --epochs ${request.epochs} --folds ${request.folds} --first-seed ${request.firstSeed} --seeds ${request.seeds}`;
  return [
    `    ${words}`,
    '',
    `${conditions()}. ${request.seeds} repetitions, on average ${Math.round(errors)} errors in the labels of ${request.images} scenes with three categories; ` +
      `${request.folds === 1 ? 'the model is asked about the images it was trained on' : `models of ${request.folds} folds, each asked about images it was not trained on`}. ` +
      'Looks are counted in errors: 1 is as many looks as there are errors. Precision is the share of looks that meet an error, the rest is the share of errors that were met. ObjectLab and mistakenness look at the same detections from the same confidence (0.3) on: above their own thresholds of 0.95 a model trained this shortly has none.',
    '',
    markdownTable(['ranked by', 'looks', 'precision', 'all errors', ...LABEL_ERROR_TYPES], rows),
    '',
    'What the rest of the review is worth, in points of AP of these models on these images, after a share of our candidates was decided by a reviewer who makes no mistakes: as estimated, at most, and as it turned out.',
    '',
    describeGains(trials.map(({ gains }) => gains)),
  ].join('\n');
}

/** Between its two marks; what is around them is written by hand. */
function replaceSection(file: string, text: string): void {
  const document = readFileSync(file, 'utf8');
  const [open, close] = ['<!-- bench: review -->', '<!-- end -->'];
  const [from, to] = [document.indexOf(open), document.indexOf(close)];
  if (from < 0 || to < from) throw new Error(`${file} has no place for the table: ${open} … ${close}.`);
  writeFileSync(file, `${document.slice(0, from + open.length)}\n${text}\n${document.slice(to)}`);
}

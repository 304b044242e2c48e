/**
 * One training on synthetic scenes with a rare tail and planted label errors, its dynamics, and what each rule of a
 * quarantine picks, against the truth. Loads TensorFlow.
 */

import { evaluateCoco } from '../../detection/average-precision.ts';
import { summarizeDynamics, type TargetCategory, type TargetSummary } from '../../detection/dynamics.ts';
import { anchorsForBoxes } from '../../detection/model/anchors.ts';
import { createDynamicsRecorder } from '../../detection/model/dynamics-recorder.ts';
import { frameOf, prepareLabels } from '../../detection/model/input.ts';
import { createBatchSource, stepsPerEpoch } from '../../detection/model/sampler.ts';
import { defaultTrainOptions, trainDetector } from '../../detection/model/train.ts';
import type { PreparedImage } from '../../detection/model/types.ts';
import { pickByRule, type QuarantineRule } from '../../detection/quarantine.ts';
import { generateScene, plantErrors, RARE_KIND, sceneCategories } from '../../detection/scenes.ts';
import { thresholdBoxes } from '../../detection/threshold-boxes.ts';
import type { Annotation, Architecture } from '../../detection/types.ts';

export interface ExperimentOptions {
  readonly images: number;
  readonly imageSize: number;
  readonly epochs: number;
  /** Shares of the true boxes. */
  readonly tail: number;
  readonly errors: { readonly missing: number; readonly spurious: number; readonly shifted: number };
  /** Threshold boxes, as a share of the boxes. */
  readonly planted: number;
  readonly seed: number;
}

/** What a label really is. `ordinary` and `rare` are right; the others are planted errors. */
export type Truth = 'ordinary' | 'rare' | 'spurious' | 'shifted';

export const truths: readonly Truth[] = ['ordinary', 'rare', 'spurious', 'shifted'];

export interface Judged extends TargetSummary {
  readonly truth: Truth;
}

export interface ExperimentResult {
  readonly judged: readonly Judged[];
  /** By rule: ids of the boxes that it picks. */
  readonly picked: Readonly<Record<QuarantineRule['by'], ReadonlySet<string>>>;
  /** At the right labels of fresh scenes. */
  readonly AP50: number;
  readonly seconds: number;
}

const batchSize = 8;
const testImages = 60;

export async function runExperiment(options: ExperimentOptions): Promise<ExperimentResult> {
  const startedAt = performance.now();
  const { imageSize, epochs, seed } = options;
  const scenes = makeScenes(options, `${seed} train`, options.images);
  const { annotations, errors } = plantErrors(scenes.annotations, scenes.images, categories, options.errors, seed);
  const labels = [...annotations, ...thresholdBoxes(scenes.images, annotations, options.planted, seed)];
  const images = scenes.prepare(labels);
  const architecture = architectureFor(images, imageSize, seed);
  const select = images.map(({ imageId }) => ({ image: imageId }));
  const byId = new Map(images.map((image) => [image.imageId, image]));
  const length = stepsPerEpoch({ images: byId, inputSize: imageSize, select, batchSize });
  const trainOptions = { ...defaultTrainOptions, epochs, batchSize };
  const recorder = createDynamicsRecorder(images, 1);
  const test = makeScenes(options, `${seed} test`, testImages);
  const testSet = test.prepare(test.annotations);
  const source = createBatchSource({
    images: byId,
    select,
    batchSize,
    inputSize: imageSize,
    seed,
    augment: trainOptions.augment,
    totalSteps: length * epochs,
  });
  const result = await trainDetector({
    architecture,
    init: null,
    seed,
    options: trainOptions,
    source: { ...source, stepsPerEpoch: length },
    resumeFrom: null,
    evaluate: (detect) =>
      evaluateCoco(
        { categories, imageIds: testSet.map(({ imageId }) => imageId), annotations: test.annotations },
        detect(testSet),
      ),
    evaluateEvery: epochs,
    profile: recorder,
    onEpoch: () => {},
    afterStep: async () => 'go-on',
    onCheckpoint: async () => {},
  });

  const wrong = new Map(errors.map(({ annotationId, type }) => [annotationId, type]));
  const summaries = summarizeDynamics(recorder.dynamics());
  const settings = { confidence: 0.5, epochs: 5, top: 0.2 };
  const pick = (rule: QuarantineRule) => new Set(pickByRule(summaries, rule, settings).reasons.keys());
  return {
    judged: summaries
      .filter(({ planted }) => !planted)
      .map((one): Judged => {
        const error = wrong.get(one.annotationId);
        const isRare = scenes.kinds.get(one.annotationId) === RARE_KIND;
        const truth = error === 'spurious' || error === 'shifted' ? error : isRare ? 'rare' : 'ordinary';
        return { ...one, truth };
      }),
    picked: {
      'never-converging': pick({ by: 'never-converging' }),
      aum: pick({ by: 'aum', percentile: 0.99 }),
      share: pick({ by: 'share', share: 0.15 }),
    },
    AP50: result.epochs.at(-1)!.validation!.AP50,
    seconds: (performance.now() - startedAt) / 1000,
  };
}

const categories = sceneCategories(1);

function makeScenes({ imageSize, tail }: ExperimentOptions, seed: string, count: number) {
  const kinds = new Map<string, number>();
  const annotations: Annotation[] = [];
  const scenes = Array.from({ length: count }, (_, index) => {
    const scene = generateScene({ imageSize, targets: 6, targetSize: 0.1, tailShare: tail }, seed, index);
    for (const [i, { categoryId, box, kind }] of scene.targets.entries()) {
      const id = `${index + 1}-${i + 1}`;
      kinds.set(id, kind);
      annotations.push({ id, imageId: index + 1, categoryId, box });
    }
    return scene;
  });
  const frame = frameOf(imageSize, imageSize, imageSize);
  return {
    kinds,
    annotations,
    images: scenes.map(({ width, height }, index) => ({ id: index + 1, width, height })),
    prepare: (labels: readonly Annotation[]): PreparedImage[] =>
      scenes.map(({ width, height, pixels }, index) => {
        const own = labels.filter(({ imageId }) => imageId === index + 1);
        const { scale, padX, padY } = frame;
        const prepared = prepareLabels({ width, height }, frame, own, categories);
        return { imageId: index + 1, pixels, scale, padX, padY, width, height, ...prepared };
      }),
  };
}

function architectureFor(images: readonly PreparedImage[], imageSize: number, seed: number): Architecture {
  const strides = [8, 16];
  const sizes = images.flatMap(({ boxes }) =>
    Array.from({ length: boxes.length / 2 }, (_, k) => {
      const i = (k >> 1) * 4 + (k & 1);
      return boxes[i + 2]! - boxes[i]!;
    }),
  );
  return {
    depth: 0.33,
    width: 0.125,
    strides,
    anchors: anchorsForBoxes(sizes, { strides, seed }),
    activation: 'leaky',
    imageSize,
    categories,
  };
}

export interface Score {
  /** Of what was picked, the share that should be; null where nothing was picked. */
  readonly precision: number | null;
  readonly recall: number;
}

/** How well picking finds those that `isWanted`. */
export function scoreOf(
  judged: readonly Judged[],
  isPicked: (one: Judged) => boolean,
  isWanted: (one: Judged) => boolean,
): Score {
  const picked = judged.filter(isPicked);
  const wanted = judged.filter(isWanted);
  const right = picked.filter(isWanted).length;
  return {
    precision: picked.length === 0 ? null : right / picked.length,
    recall: wanted.length === 0 ? 0 : right / wanted.length,
  };
}

export const categoryNames: readonly TargetCategory[] = ['easy', 'hard', 'mislabelled', 'unlearnable'];

/** One training of the published claims' experiments, on synthetic scenes whose truth is known. Loads TensorFlow. */

import { withDefaults } from '../../activities/training-parameters.ts';
import type { Model } from '../../artifacts/types.ts';
import { evaluateCoco, type GroundTruth } from '../../detection/average-precision.ts';
import { hardImages, matchDetections } from '../../detection/match.ts';
import { anchorsForBoxes } from '../../detection/model/anchors.ts';
import { createDetectorModel } from '../../detection/model/detect.ts';
import { frameOf, prepareLabels } from '../../detection/model/input.ts';
import { countParameters } from '../../detection/model/network.ts';
import { createBatchSource, stepsPerEpoch } from '../../detection/model/sampler.ts';
import { defaultTrainOptions, trainDetector } from '../../detection/model/train.ts';
import type { ClipSwitch, EpochReport, PreparedImage, TrainOptions } from '../../detection/model/types.ts';
import { generateScene, RARE_KIND, sceneCategories } from '../../detection/scenes.ts';
import type { Annotation, Architecture, NamedTensor } from '../../detection/types.ts';
import type { ClaimJob } from './claim-jobs.ts';

export interface ClaimResult {
  readonly epochs: readonly EpochReport[];
  readonly clipSwitch: ClipSwitch | null;
  /** On the test scenes: all targets, and all but the rare kind (which then is neither right nor wrong). */
  readonly AP: number;
  readonly AP50: number;
  readonly ordinaryAP: number;
  /** Ids of the ground truths found at the thresholds of mining. */
  readonly foundInTrain: readonly string[];
  readonly foundInTest: readonly string[];
  /** Ground truths of the test scenes. */
  readonly testTruths: number;
  /** Share of the train images on which the model makes an error. */
  readonly hardShare: number;
  readonly seconds: number;
}

const IMAGE_SIZE = 128;
const SCENES = { imageSize: IMAGE_SIZE, targets: 4, targetSize: 0.1 };
const COUNTS = { train: 320, val: 120, test: 320 };
/** Thresholds of mining. */
const FOUND = { confidence: 0.3, iou: 0.5 };

interface SceneSet {
  readonly images: readonly PreparedImage[];
  readonly truth: GroundTruth;
  /** The same, with the rare kind as ignore regions. */
  readonly ordinary: GroundTruth;
}

/** Scenes of the parts have seeds of their own, so no photo is in two of them. */
function makeScenes(job: ClaimJob, part: keyof typeof COUNTS): SceneSet {
  const images: PreparedImage[] = [];
  const truth: Annotation[] = [];
  const ordinary: Annotation[] = [];
  const frame = frameOf(IMAGE_SIZE, IMAGE_SIZE, IMAGE_SIZE);
  for (let index = 0; index < COUNTS[part]; index++) {
    const scene = generateScene({ ...SCENES, tailShare: job.tailShare }, `${job.seed} ${part}`, index);
    const imageId = index + 1;
    const labels: Annotation[] = [];
    for (const [i, { categoryId, box, kind }] of scene.targets.entries()) {
      const annotation = { id: `${imageId}-${i + 1}`, imageId, categoryId, box };
      const isRare = kind === RARE_KIND;
      truth.push(annotation);
      ordinary.push(isRare ? { ...annotation, ignore: true } : annotation);
      if (!isRare || job.tail === 'kept') labels.push(annotation);
      else if (job.tail === 'quarantined') labels.push({ ...annotation, ignore: true });
    }
    const { width, height, pixels } = scene;
    const given = part === 'train' ? labels : scene.targets.length === 0 ? [] : truth.slice(-scene.targets.length);
    images.push({
      imageId,
      pixels,
      scale: frame.scale,
      padX: frame.padX,
      padY: frame.padY,
      width,
      height,
      ...prepareLabels({ width, height }, frame, given, sceneCategories(1)),
    });
  }
  const imageIds = images.map(({ imageId }) => imageId);
  const categories = sceneCategories(1);
  return {
    images,
    truth: { categories, imageIds, annotations: truth },
    ordinary: { categories, imageIds, annotations: ordinary },
  };
}

export async function runClaimJob(
  job: ClaimJob,
  start: readonly NamedTensor[] | null,
): Promise<{ result: ClaimResult; model: Model }> {
  const startedAt = performance.now();
  const train = makeScenes(job, 'train');
  const val = makeScenes(job, 'val');
  const test = makeScenes(job, 'test');
  const architecture = architectureFor(job, train.truth.annotations);
  const options = { ...withDefaults(defaultTrainOptions, job.options), epochs: job.epochs } as TrainOptions;
  const all = train.images.map(({ imageId }) => imageId);
  const selected = selection(job, architecture, start, train, all);
  const images = new Map(train.images.map((image) => [image.imageId, image]));
  const whole = (ids: readonly number[]) => ids.map((image) => ({ image }));
  const length = stepsPerEpoch({
    images,
    inputSize: IMAGE_SIZE,
    select: whole(all),
    batchSize: options.batchSize,
  });
  const source = createBatchSource({
    images,
    select: whole(selected.select),
    replay: selected.replay && { ...selected.replay, from: whole(selected.replay.from) },
    batchSize: options.batchSize,
    inputSize: IMAGE_SIZE,
    seed: job.seed,
    augment: options.augment,
    totalSteps: length * job.epochs,
  });
  const { epochs, clipSwitch, weights } = await trainDetector({
    architecture,
    init: start,
    seed: job.seed,
    options,
    source: { ...source, stepsPerEpoch: length },
    resumeFrom: null,
    evaluate: (detect) => evaluateCoco(val.truth, detect(val.images)),
    evaluateEvery: 1,
    onEpoch: () => {},
    afterStep: async () => 'go-on',
    onCheckpoint: async () => {},
  });

  const detector = createDetectorModel(architecture, weights);
  try {
    const inTrain = matchDetections(train.truth, detector.detect(train.images), FOUND);
    const found = detector.detect(test.images);
    const inTest = matchDetections(test.truth, found, FOUND);
    const { AP, AP50 } = evaluateCoco(test.truth, found);
    const idsOf = (matches: typeof inTest): string[] =>
      matches.images.flatMap((image) => image.found.map(({ annotation }) => annotation.id));
    const result: ClaimResult = {
      epochs: epochs.map((epoch) => ({ ...epoch, validation: epoch.validation && only(epoch.validation) })),
      clipSwitch,
      AP,
      AP50,
      ordinaryAP: evaluateCoco(test.ordinary, found, { applyIgnore: true }).AP,
      foundInTrain: idsOf(inTrain),
      foundInTest: idsOf(inTest),
      testTruths: test.truth.annotations.length,
      hardShare: hardImages(inTrain).length / all.length,
      seconds: (performance.now() - startedAt) / 1000,
    };
    const training = {
      steps: length * job.epochs,
      stepsInAll: length * job.epochs,
      images: all.length,
      seed: job.seed,
      parameters: countParameters(architecture),
    };
    return { result, model: { architecture, weights, training } };
  } finally {
    detector.dispose();
  }
}

/** What the evaluator measures besides is of no use here. */
const only = ({ AP, AP50 }: { AP: number; AP50: number }) => ({ AP, AP50 });

function selection(
  job: ClaimJob,
  architecture: Architecture,
  start: readonly NamedTensor[] | null,
  train: SceneSet,
  all: readonly number[],
): { select: readonly number[]; replay?: { from: readonly number[]; share: number } } {
  if (job.hard === undefined) return { select: all };
  if (start === null) throw new Error('Hard images are those of a model, but the training has none to start from.');
  const detector = createDetectorModel(architecture, start);
  try {
    const hard = hardImages(matchDetections(train.truth, detector.detect(train.images), FOUND));
    const { replayShare } = job.hard;
    return { select: hard, ...(replayShare > 0 ? { replay: { from: all, share: replayShare } } : {}) };
  } finally {
    detector.dispose();
  }
}

/** Anchors of all true boxes, whatever becomes of the rare kind: the arms of a seed start from equal weights. */
function architectureFor(job: ClaimJob, truth: readonly Annotation[]): Architecture {
  const sizes = truth.flatMap(({ box: [x1, y1, x2, y2] }) => [x2 - x1, y2 - y1]);
  const strides = [8, 16, 32];
  return {
    depth: 0.33,
    width: 0.125,
    strides,
    anchors: anchorsForBoxes(sizes, { strides, seed: job.seed }),
    activation: 'leaky',
    imageSize: IMAGE_SIZE,
    categories: sceneCategories(1),
  };
}

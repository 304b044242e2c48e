/** The recipe unless the pipeline says otherwise. */

import type { TrainOptions } from './types.ts';

/** The rate suits Adam; momentum wants some ten times as much. */
export const defaultTrainOptions: TrainOptions = {
  epochs: 30,
  batchSize: 16,
  accumulate: 1,
  optimizer: 'adam',
  learningRate: 0.006,
  finalRate: 0.02,
  momentum: 0.9,
  weightDecay: 0.0005,
  warmupEpochs: 1,
  schedule: 'cosine',
  emaDecay: 0.9999,
  focal: { gamma: 2, alpha: 0.25, class: false },
  labelSmoothing: 0.1,
  assignment: 'nearby',
  ignore: { by: 'anchor', threshold: 0.7 },
  boxLoss: 'ciou',
  lossWeights: { box: 5, objectness: 1, class: 0.5 },
  clip: {
    by: 'global-norm',
    norm: 10,
    percentile: 0.85,
    when: 'plateau',
    plateau: { improvement: 0.01, epochs: 3 },
  },
  freezeStatistics: false,
  augment: { flip: true, colour: 0.5, mosaic: 0.5, mosaicOffShare: 0.2, scale: 0.3, shift: 0.1 },
  multiScale: { range: 0, every: 10 },
  onNonFinite: { returns: 0, rateFactor: 0.5 },
};

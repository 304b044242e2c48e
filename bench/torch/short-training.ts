/** A training of a few steps by us and by PyTorch, from the same weights and batches. */

import { initialWeights } from '../../detection/model/network.ts';
import { trainDetector } from '../../detection/model/train.ts';
import type { BatchSource } from '../../detection/model/types.ts';
import { trainWithTorch } from '../torch-trainer.ts';
import { type ParityCase, parityInputs } from './parity-cases.ts';

const STEPS = 3;

/** Relative distance of what the training changed in the averaged weights, by norm. */
export async function trainingDistance(one: ParityCase, python: string): Promise<number> {
  const { architecture, seed } = one;
  const options = { ...one.options, epochs: 1 };
  const batches = Array.from({ length: STEPS }, (_, step) => parityInputs({ ...one, seed: seed + step }).batch);
  const source: BatchSource = {
    batchSize: options.batchSize,
    stepsPerEpoch: STEPS,
    batch: (step) => batches[step]!,
  };
  const ours = await trainDetector({
    architecture,
    init: null,
    seed,
    options,
    source,
    resumeFrom: null,
    evaluateEvery: 1,
    onEpoch: () => {},
    afterStep: async () => 'go-on',
    onCheckpoint: async () => {},
  });
  const theirs = await trainWithTorch({ architecture, init: null, options, source, seed, python });
  let apart = 0;
  let changed = 0;
  for (const [i, { data }] of initialWeights(architecture, seed).entries()) {
    for (let k = 0; k < data.length; k++) {
      const reference = theirs.weights[i]!.data[k]!;
      apart += (ours.weights[i]!.data[k]! - reference) ** 2;
      changed += (reference - data[k]!) ** 2;
    }
  }
  return Math.sqrt(apart / changed);
}

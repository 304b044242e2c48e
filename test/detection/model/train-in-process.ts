/** A training in its own process: `train-in-process.ts FOLDER OPTIMIZER STOP`; from a checkpoint in FOLDER when there is one. */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { defaultTrainOptions, trainDetector } from '../../../detection/model/train.ts';
import { encodeWeights } from '../../../detection/model/weights.ts';
import { discImage, quietJob, sourceOf, tiny } from './scenes.ts';

const [, , folder = '.', optimizer, stop] = process.argv;
const file = join(folder, 'checkpoint');
const source = sourceOf(
  [1, 2, 3, 4, 5, 6].map((id) => discImage(id)),
  2,
);
const options = { ...defaultTrainOptions, epochs: 4, optimizer: optimizer === 'adam' ? 'adam' : 'momentum' } as const;
const result = await trainDetector({
  ...quietJob(tiny, source, options),
  resumeFrom: existsSync(file) ? readFileSync(file) : null,
  afterStep: async (step) => (step === Number(stop) ? 'checkpoint-and-stop' : 'go-on'),
  onCheckpoint: async (_step, bytes) => writeFileSync(file, bytes),
});
const digest = createHash('sha256').update(encodeWeights(result.weights)).digest('hex');
process.stdout.write(JSON.stringify({ steps: result.steps, digest }));

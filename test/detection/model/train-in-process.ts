/** Two trainings in their own process: `train-in-process.ts FOLDER STOP`; from checkpoints in FOLDER where there are some. */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { defaultTrainOptions, trainDetector } from '../../../detection/model/train.ts';
import { encodeWeights } from '../../../detection/model/weights.ts';
import { discImage, quietJob, sourceOf, tiny } from './scenes.ts';

const [, , folder = '.', stop] = process.argv;
const source = sourceOf(
  [1, 2, 3, 4, 5, 6].map((id) => discImage(id)),
  2,
);
const results: Record<string, { steps: number; digest: string }> = {};
for (const optimizer of ['momentum', 'adam'] as const) {
  const file = join(folder, optimizer);
  const { weights, steps } = await trainDetector({
    ...quietJob(tiny, source, { ...defaultTrainOptions, epochs: 4, optimizer }),
    resumeFrom: existsSync(file) ? readFileSync(file) : null,
    afterStep: async (step) => (step === Number(stop) ? 'checkpoint-and-stop' : 'go-on'),
    onCheckpoint: async (_step, bytes) => writeFileSync(file, bytes),
  });
  results[optimizer] = { steps, digest: createHash('sha256').update(encodeWeights(weights)).digest('hex') };
}
process.stdout.write(JSON.stringify(results));

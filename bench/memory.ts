/** Whether memory stays flat over a long training: `npm run bench -- memory [--steps N]`. */

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

// As in every training process, and before TensorFlow loads.
process.env.TF_ENABLE_ONEDNN_OPTS ??= '1';
const { caseNamed, noiseBatch, noiseImages, speedOptions } = await import('./speed/cases.ts');
const { trainDetector } = await import('../detection/model/train.ts');

const { values } = parseArgs({
  options: { steps: { type: 'string', default: '5000' }, case: { type: 'string', default: 'S-160' } },
});
const steps = Number(values.steps);
const { architecture } = caseNamed(values.case);
const batch = noiseBatch(architecture, noiseImages(architecture));
const TOLD_EVERY = 500;
/** Growth from the first told size to the last that counts as flat: the allocator's own ups and downs are of this order. */
const FLAT_MEGABYTES = 40;

function residentMegabytes(): number {
  const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(line![1]) / 1000;
}

const sizes: number[] = [];
await trainDetector({
  architecture,
  init: null,
  seed: 1,
  options: { ...speedOptions, epochs: 1 },
  source: { batchSize: speedOptions.batchSize, stepsPerEpoch: steps, batch: () => batch },
  resumeFrom: null,
  evaluateEvery: 1,
  onEpoch: () => {},
  afterStep: async (step) => {
    if (step % TOLD_EVERY === 0) {
      sizes.push(residentMegabytes());
      console.log(`step ${String(step).padStart(5)}: ${sizes.at(-1)!.toFixed(0)} MB`);
    }
    return 'go-on';
  },
  onCheckpoint: async () => {},
});
if (sizes.length > 1) {
  const growth = sizes.at(-1)! - sizes[0]!;
  const isFlat = growth <= FLAT_MEGABYTES;
  console.log(`${growth.toFixed(0)} MB more at the end than at step ${TOLD_EVERY}: ${isFlat ? 'flat' : 'it grows'}.`);
  process.exitCode = isFlat ? 0 : 1;
}

/** A process that trains and infers as often as it is told to: our side of the comparison. Started by `contestants.ts`. */

import { readFileSync } from 'node:fs';
import type { PreparedImage } from '../../detection/model/types.ts';
import { caseNamed, noiseBatch, noiseImages, speedOptions } from './cases.ts';

export type Order =
  | { readonly kind: 'train' | 'infer'; readonly count: number }
  | { readonly kind: 'peak' }
  | { readonly kind: 'end' };

/** Milliseconds of each step, or bytes. */
export type Answer = number | readonly number[];

const { architecture } = caseNamed(process.argv[2] ?? '');
const { createDetectorModel } = await import('../../detection/model/detect.ts');
const { initialWeights } = await import('../../detection/model/network.ts');
const { trainDetector } = await import('../../detection/model/train.ts');

const orders: Order[] = [];
let wake = () => {};
process.on('message', (order: Order) => {
  orders.push(order);
  wake();
});
// The parent is gone: nobody reads what would be measured.
process.on('disconnect', () => process.exit(1));

async function nextOrder(): Promise<Order> {
  while (orders.length === 0) {
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
  return orders.shift()!;
}

const tell = (answer: Answer) => process.send!(answer);

const images = noiseImages(architecture);
const batch = noiseBatch(architecture, images);
let detector: ReturnType<typeof createDetectorModel> | null = null;

function infer(count: number): number[] {
  detector ??= createDetectorModel(architecture, initialWeights(architecture, 1), { batchSize: images.length });
  const unused = (_image: PreparedImage, _rows: Float32Array) => {};
  return Array.from({ length: count }, () => {
    const start = performance.now();
    detector!.forEachImage(images, unused);
    return performance.now() - start;
  });
}

/** Answers orders until there is one to train or to end. */
async function untilTraining(): Promise<number> {
  for (;;) {
    const order = await nextOrder();
    if (order.kind === 'train') return order.count;
    if (order.kind === 'infer') tell(infer(order.count));
    else if (order.kind === 'peak') tell(peakBytes());
    else return 0;
  }
}

/** The largest resident size of this program, which the parent's at the time of the fork is no part of. */
function peakBytes(): number {
  const line = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(line![1]) * 1024;
}

let wanted = await untilTraining();
let milliseconds: number[] = [];
let last = performance.now();
if (wanted > 0) {
  await trainDetector({
    architecture,
    init: null,
    seed: 1,
    options: { ...speedOptions, epochs: 1 },
    // Longer than anybody measures.
    source: { batchSize: speedOptions.batchSize, stepsPerEpoch: 1_000_000, batch: () => batch },
    resumeFrom: null,
    evaluateEvery: 1,
    onEpoch: () => {},
    afterStep: async () => {
      milliseconds.push(performance.now() - last);
      if (milliseconds.length === wanted) {
        tell(milliseconds);
        milliseconds = [];
        wanted = await untilTraining();
        if (wanted === 0) return 'checkpoint-and-stop';
      }
      last = performance.now();
      return 'go-on';
    },
    onCheckpoint: async () => {},
  });
}
process.disconnect();
process.exit(0);

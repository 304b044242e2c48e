/** What the tests of single steps stand on: a store in a temporary folder, a small dataset, a context that remembers. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterEach, beforeEach } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { describeCpu } from '../../activities/environment.ts';
import { enterTfProcess } from '../../activities/tf-process.ts';
import { saveDataset } from '../../artifacts/codecs.ts';
import { openStore } from '../../artifacts/open-store.ts';
import type { Store } from '../../artifacts/store.ts';
import { createRandom } from '../../detection/random.ts';
import type { Annotation, Dataset, ImageEntry, Split } from '../../detection/types.ts';
import type { ArtifactRef, RunEnvironment } from '../../plan/types.ts';

export interface StepRig {
  readonly folder: string;
  readonly store: Store;
  close(): Promise<void>;
}

export async function openRig(): Promise<StepRig> {
  const folder = await mkdtemp(join(tmpdir(), 'hardcase-test-'));
  const store = await openStore(join(folder, 'store'));
  return { folder, store, close: () => rm(folder, { recursive: true, force: true }) };
}

/** A new store for each test of the file, whose steps find detections there, and so need no process with TensorFlow. */
export function rigOfEachTest(): Pick<StepRig, 'store'> {
  let rig: StepRig;
  beforeEach(async () => {
    enterTfProcess();
    rig = await openRig();
  });
  afterEach(() => rig.close());
  return {
    get store() {
      return rig.store;
    },
  };
}

export const testEnvironment: RunEnvironment = {
  threads: 1,
  tensorflow: 'test',
  oneDnn: true,
  cpu: describeCpu(),
  hardcase: 'test',
  node: process.version,
};

/** A context, and what the step said to it. */
export function stepContext(
  store: Store,
  changes: Partial<StepContext> = {},
): StepContext & {
  readonly said: { progress: string[]; notices: string[]; resumed: { step: number; exact: boolean }[] };
} {
  const said = { progress: [] as string[], notices: [] as string[], resumed: [] as { step: number; exact: boolean }[] };
  return {
    store,
    run: 'test',
    path: 'step',
    seed: 7,
    fingerprint: 'f'.repeat(64),
    environment: testEnvironment,
    signal: new AbortController().signal,
    progress: (message) => void said.progress.push(message),
    resumed: (step, exact) => void said.resumed.push({ step, exact }),
    notice: async (message) => void said.notices.push(message),
    ...changes,
    said,
  };
}

/** Light squares on dark noise, `perSplit` images of each split, one or two squares an image. */
export async function squaresDataset(
  store: Store,
  perSplit: Readonly<Record<Split, number>>,
  size = 64,
): Promise<{ dataset: Dataset; ref: ArtifactRef }> {
  const random = createRandom('squares');
  const images: ImageEntry[] = [];
  const annotations: Annotation[] = [];
  for (const split of ['train', 'val', 'test'] as const) {
    for (let i = 0; i < perSplit[split]; i++) {
      const id = images.length + 1;
      const pixels = Buffer.alloc(size * size * 3);
      for (let p = 0; p < pixels.length; p++) pixels[p] = random.int(80);
      for (let box = 0; box <= random.int(2); box++) {
        const side = 10 + random.int(12);
        const x = random.int(size - side);
        const y = random.int(size - side);
        for (let row = y; row < y + side; row++) pixels.fill(230, (row * size + x) * 3, (row * size + x + side) * 3);
        annotations.push({ id: `${id}-${box}`, imageId: id, categoryId: 1, box: [x, y, x + side, y + side] });
      }
      const png = await sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
        .png()
        .toBuffer();
      images.push({
        id,
        fileName: `${id}.png`,
        width: size,
        height: size,
        digest: await store.putObject(png),
        split,
        group: String(id),
      });
    }
  }
  const dataset: Dataset = {
    categories: [{ id: 1, name: 'square' }],
    images,
    labels: { parent: null, author: 'test', note: '', annotations },
  };
  return { dataset, ref: await saveDataset(store, dataset) };
}

/** A real browser detects with an exported model what Node detects. */

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findChromium } from '../../deploy/setup/parts.mjs';
import type { Detection } from '../../detection/browser/detect.ts';
import { createDetectorModel } from '../../detection/model/detect.ts';
import { exportTfjs } from '../../detection/model/export-tfjs.ts';
import { frameOf, letterbox } from '../../detection/model/input.ts';
import { defaultTrainOptions, trainDetector } from '../../detection/model/train.ts';
import type { PreparedImage } from '../../detection/model/types.ts';
import type { Architecture, NamedTensor } from '../../detection/types.ts';
import { published, usedWeights } from './model/published.ts';
import { discImage, quietJob, sourceOf, tiny } from './model/scenes.ts';

const root = join(import.meta.dirname, '../..');
const twoKinds = [
  { id: 3, name: 'disc' },
  { id: 9, name: 'ring' },
];
const settings = { scoreFloor: 0.01, maxPerImage: 20 };

let server: Server;
let browser: Browser | undefined;
/** What the server answers with. */
const served = new Map<string, { readonly type: string; readonly content: string | Uint8Array }>();

beforeAll(async () => {
  const found = findChromium();
  if (found === null) throw new Error('There is no browser. Fetch one with "node deploy/setup.mjs --test".');
  const bundle = join(root, 'dist/detect.js');
  if (!existsSync(bundle)) throw new Error('dist/detect.js is missing. Build it with "node deploy/setup.mjs build".');
  served.set('/', {
    type: 'text/html',
    content: '<!doctype html><script src="tf.js"></script><link rel="icon" href="data:,">',
  });
  const library = await readFile(join(root, 'node_modules/@tensorflow/tfjs/dist/tf.min.js'));
  served.set('/tf.js', { type: 'text/javascript', content: library });
  served.set('/model/detect.js', { type: 'text/javascript', content: await readFile(bundle) });
  server = createServer((request, response) => {
    const file = served.get(request.url ?? '');
    response.writeHead(file ? 200 : 404, { 'content-type': file?.type ?? 'text/plain' }).end(file?.content);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  browser = await chromium.launch({
    executablePath: found.path,
    // The pages are our own; a sandbox is not to be had in most containers.
    args: ['--no-sandbox', '--disable-gpu', ...found.args],
    env: { ...process.env, ...(found.libraries === null ? {} : { LD_LIBRARY_PATH: found.libraries }) },
  });
}, 120_000);

afterAll(async () => {
  await browser?.close();
  server?.close();
});

/** The disc image with a margin cut off, so that it must be scaled and padded. */
function photo(side: number): PreparedImage & { readonly rgba: number[] } {
  const image = discImage(3, side);
  const [width, height] = [side - 7, side - 20];
  const rgba: number[] = [];
  const pixels = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const rgb = image.pixels.subarray((y * side + x) * 3, (y * side + x) * 3 + 3);
      rgba.push(...rgb, 255);
      pixels.set(rgb, (y * width + x) * 3);
    }
  }
  const frame = frameOf(width, height, side);
  return { ...image, ...frame, width, height, pixels: letterbox({ pixels, width, height }, frame, side), rgba };
}

async function expectSame(architecture: Architecture, weights: readonly NamedTensor[]): Promise<void> {
  const { modelJson, weightsBin } = exportTfjs(architecture, weights);
  served.set('/model/model.json', { type: 'application/json', content: modelJson });
  served.set('/model/weights.bin', { type: 'application/octet-stream', content: weightsBin });
  const image = photo(architecture.imageSize);
  const detector = createDetectorModel(architecture, weights, { batchSize: 1 });
  const ours = detector.detect([image], settings);
  detector.dispose();

  const page = await browser!.newPage();
  const { port } = server.address() as AddressInfo;
  await page.goto(`http://127.0.0.1:${port}/`);
  // As text, because what runs in the page knows nothing of this file.
  const script = `(async ({ rgba, width, height, settings }) => {
    await tf.setBackend('cpu');
    const { loadDetector } = await import('./model/detect.js');
    const detector = await loadDetector(tf, './model/model.json');
    const found = await detector.detect({ data: Uint8ClampedArray.from(rgba), width, height }, settings);
    detector.dispose();
    return found;
  })(${JSON.stringify({ rgba: image.rgba, width: image.width, height: image.height, settings })})`;
  const found = (await page.evaluate(script)) as Detection[];
  await page.close();

  expect(found.length).toBeGreaterThan(0);
  expect(found.map(({ categoryId }) => categoryId)).toEqual(Array.from(ours.category));
  const names = new Map(architecture.categories.map(({ id, name }) => [id, name]));
  for (const [i, { box, score, category, categoryId }] of found.entries()) {
    expect(category).toBe(names.get(categoryId));
    expect(Math.abs(score - ours.score[i]!)).toBeLessThan(1e-3);
    for (const [j, edge] of box.entries()) expect(Math.abs(edge - ours.box[i * 4 + j]!)).toBeLessThan(1e-3);
  }
}

test('a page finds what Node finds with a trained model', { timeout: 180_000 }, async () => {
  const architecture: Architecture = { ...tiny, activation: 'mish' };
  const images = [1, 2, 3, 4].map((id) => discImage(id));
  const options = { ...defaultTrainOptions, epochs: 30, batchSize: 4 };
  const { weights } = await trainDetector(quietJob(architecture, sourceOf(images, 4), options));
  await expectSame(architecture, weights);
});

test('a page finds what Node finds with a published network of several categories', { timeout: 180_000 }, async () => {
  const architecture = published('yolov4-tiny', 64, twoKinds);
  await expectSame(architecture, usedWeights(architecture));
});

/** A gate to files and back, as a dry run: nothing is sent. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { saveDataset, saveJson } from '../../artifacts/codecs.ts';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { appendDecisions, readGate, writeGate } from '../../artifacts/gate-record.ts';
import { createRun } from '../../artifacts/run-record.ts';
import { runReviewExport, runReviewImport } from '../../cli/review-files.ts';
import { loadSettings } from '../../cli/settings.ts';
import { gate } from '../detection/round-trip-gate.ts';
import { captureOutput } from './capture.ts';

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-files-'));
  const store = await openFolderStore(join(folder, 'store'));
  const images = await Promise.all(
    gate.images.map(async (image) => {
      const { width, height } = image;
      const pixels = sharp({ create: { width, height, channels: 3, background: '#888' } });
      return { ...image, digest: await store.putObject(await pixels.png().toBuffer()) };
    }),
  );
  const annotations = gate.candidates.flatMap(({ annotation }) => (annotation ? [annotation] : []));
  const labels = { parent: null, author: 'import', note: '', annotations };
  await createRun(store, {
    run: 'r1',
    pipeline: 'cherries',
    planDigest: 'none',
    source: 'none',
    file: 'cherries.yaml',
    params: {},
    createdAt: '2026-03-01T09:00:00.000Z',
  });
  await writeGate(store, 'r1', {
    path: 'review',
    state: 'open',
    openedAt: '2026-03-01T09:00:01.000Z',
    candidates: await saveJson(store, 'candidates', gate.candidates),
    dataset: await saveDataset(store, { categories: gate.categories, images, labels }),
    carriedOver: 0,
  });
  await appendDecisions(store, 'r1', 'review', {
    batch: 'b1',
    by: 'anna',
    at: '2026-03-01T10:00:00.000Z',
    decisions: [{ candidateId: 'bbbb000000000005', verdict: 'accept' }],
  });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const settings = () => loadSettings({ store: join(folder, 'store') }, {}, folder);

async function json(command: () => Promise<number>) {
  const taken = captureOutput();
  try {
    await command();
    return JSON.parse(taken().out);
  } catch (error) {
    taken();
    throw error;
  }
}

test.each([
  ['coco', 'instances.json'],
  ['cvat', 'annotations.xml'],
  ['yolo', ''],
])('%s is written with its images, and read again as decisions', async (format, file) => {
  const out = join(folder, format);
  expect(await json(() => runReviewExport(settings(), 'r1', 'review', { format, out, json: true }))).toMatchObject({
    images: 2,
    boxes: 4,
  });
  expect((await sharp(join(out, 'images', 'tree', 'one.png')).metadata()).width).toBe(100);
  const read = await json(() =>
    runReviewImport(settings(), 'r1', 'review', join(out, file), { dryRun: true, json: true }),
  );
  expect(read).toMatchObject({ images: 2, accepted: 0, refused: [], left: [], coercions: [] });
  expect(read.decisions.map(({ verdict }: { verdict: string }) => verdict)).toEqual([
    'accept',
    'reject',
    'reject',
    'reject',
  ]);
  await expect(runReviewExport(settings(), 'r1', 'review', { format, out })).rejects.toThrow('is not empty');
});

test('a file that says otherwise than what is decided is told, and one that cannot be read sends nothing', async () => {
  const out = join(folder, 'all');
  await json(() => runReviewExport(settings(), 'r1', 'review', { format: 'coco', out, all: true, json: true }));
  const file = join(out, 'instances.json');
  const coco = JSON.parse(readFileSync(file, 'utf8'));
  coco.annotations.push({
    id: 99,
    image_id: 2,
    category_id: 1,
    bbox: [5, 5, 20, 20],
    attributes: { candidate: 'bbbb000000000005' },
  });
  writeFileSync(join(folder, 'other.json'), JSON.stringify(coco));
  const read = await json(() =>
    runReviewImport(settings(), 'r1', 'review', join(folder, 'other.json'), { dryRun: true, json: true }),
  );
  expect(read.refused).toEqual([{ candidateId: 'bbbb000000000005', why: 'was decided otherwise before, by anna' }]);
  writeFileSync(join(folder, 'bad.json'), '{"images": 3}');
  await expect(runReviewImport(settings(), 'r1', 'review', join(folder, 'bad.json'), {})).rejects.toThrow(
    /No decision was sent. .*bad.json categories is missing; expected a list/,
  );
  await expect(runReviewImport(settings(), 'r1', 'nowhere', file, {})).rejects.toThrow('No gate "nowhere"');
});

test('what is asked blind, and what people do not agree on, is in no file, and no decision comes of that', async () => {
  const store = await openFolderStore(join(folder, 'store'));
  const [missing, spurious] = gate.candidates.map(({ id }) => id) as [string, string];
  const asking = [
    { candidateId: missing, blind: true },
    { candidateId: spurious, opinions: 2 },
  ];
  await writeGate(store, 'r1', {
    ...(await readGate(store, 'r1', 'review'))!,
    path: 'apart',
    asking: await store.putObject(Buffer.from(JSON.stringify(asking))),
  });
  for (const [by, verdict] of [
    ['anna', 'accept'],
    ['ben', 'reject'],
  ] as const) {
    const decisions = [{ candidateId: spurious, verdict }];
    await appendDecisions(store, 'r1', 'apart', { batch: by, by, at: '2026-03-01T10:00:00.000Z', decisions });
  }
  const out = join(folder, 'apart');
  expect(
    await json(() => runReviewExport(settings(), 'r1', 'apart', { format: 'coco', out, json: true })),
  ).toMatchObject({
    boxes: 3,
    leftOut: 2,
  });
  const file = join(out, 'instances.json');
  const read = await json(() => runReviewImport(settings(), 'r1', 'apart', file, { dryRun: true, json: true }));
  const ids = read.decisions.map(({ candidateId }: { candidateId: string }) => candidateId);
  expect(ids).toHaveLength(3);
  expect(ids).not.toContain(missing);
  expect(ids).not.toContain(spurious);
  expect(read.refused).toEqual([]);
});

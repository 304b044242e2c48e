/** Label versions of a store made by hand: two reviews of one import, one of them with an answer and a reason. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { saveDataset, saveJson } from '../../artifacts/codecs.ts';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { appendDecisions, readTip, writeGate } from '../../artifacts/gate-record.ts';
import { createRun, writeStepRecord } from '../../artifacts/run-record.ts';
import type { Store } from '../../artifacts/store.ts';
import { runLabelsBlame, runLabelsDiff, runLabelsExport, runLabelsLog, runLabelsMerge } from '../../cli/labels.ts';
import { runReviewAudit } from '../../cli/review-audit.ts';
import { loadSettings } from '../../cli/settings.ts';
import type { Annotation, Dataset } from '../../detection/types.ts';
import type { ArtifactRef } from '../../plan/types.ts';
import { captureOutput } from './capture.ts';

let folder: string;
let store: Store;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-labels-'));
  store = await openFolderStore(join(folder, 'store'));
  const photo = await sharp({ create: { width: 100, height: 80, channels: 3, background: '#888' } })
    .png()
    .toBuffer();
  const image = { id: 1, fileName: 'one.png', width: 100, height: 80, split: 'train', group: 'one' } as const;
  const label = (id: string, box: Annotation['box']): Annotation => ({ id, imageId: 1, categoryId: 1, box });
  const dataset = (parent: string | null, author: string, annotations: Annotation[]): Dataset => ({
    categories: [{ id: 1, name: 'cherry' }],
    images: [{ ...image, digest: photoDigest }],
    labels: { parent, author, note: '', annotations },
  });
  const photoDigest = await store.putObject(photo);
  const { loadDataset } = await import('../../artifacts/codecs.ts');
  const versionOf = async (ref: ArtifactRef) => (await loadDataset(store, ref)).manifest.labels;

  const [a, b] = [label('a', [10, 10, 30, 30]), label('b', [50, 50, 70, 70])];
  const imported = await saveDataset(store, dataset(null, 'import', [a, b]));
  const first = await versionOf(imported);
  const annas = await saveDataset(store, dataset(first, 'review', [label('a', [12, 10, 30, 30]), b]));
  const bens = await saveDataset(store, dataset(first, 'review', [a, b, label('new-c', [1, 1, 9, 9])]));
  const corrections = await saveJson(store, 'corrections', {
    before: first,
    after: await versionOf(annas),
    reviewer: 'human',
    asked: 1,
    carriedOver: 0,
    undecided: 0,
    decisions: [
      {
        candidateId: 'aa01',
        verdict: 'edit',
        by: 'anna',
        at: '2026-03-01T10:00:00.000Z',
        type: 'badly-located',
        reason: 'stem is no cherry',
      },
    ],
    changes: [{ imageId: 1, what: 'moved', before: a, after: label('a', [12, 10, 30, 30]), candidateId: 'aa01' }],
  });
  const step = async (run: string, path: string, at: string, outputs: { [name: string]: ArtifactRef }) =>
    writeStepRecord(store, run, {
      path,
      kind: 'any',
      state: 'done',
      reused: false,
      startedAt: at,
      endedAt: at,
      outputs,
    });
  for (const run of ['anna-1', 'ben-1']) {
    await createRun(store, {
      run,
      pipeline: 'cherries',
      planDigest: 'none',
      source: 'none',
      file: 'cherries.yaml',
      params: {},
      createdAt: '2026-03-01T09:00:00.000Z',
    });
    await step(run, 'data', '2026-03-01T09:00:01.000Z', { dataset: imported });
  }
  await step('anna-1', 'review', '2026-03-01T10:00:00.000Z', { dataset: annas, corrections });
  await step('ben-1', 'review', '2026-03-01T11:00:00.000Z', { dataset: bens });
  await appendDecisions(store, 'anna-1', 'review', {
    batch: 'b1',
    by: 'anna',
    at: '2026-03-01T10:00:00.000Z',
    decisions: [{ candidateId: 'aa01', verdict: 'accept' }],
  });
  const ref = { artifact: 'candidates', digest: 'a'.repeat(64), bytes: 1 } as const;
  await writeGate(store, 'anna-1', {
    path: 'review',
    state: 'closed',
    openedAt: '2026-03-01T09:30:00.000Z',
    candidates: ref,
    dataset: annas,
    carriedOver: 0,
    ledger: await readTip(store, 'anna-1', 'review'),
  });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const settings = () => loadSettings({ store: join(folder, 'store') }, {}, folder);

/** What the command prints as JSON, and its exit code. */
async function json(command: () => Promise<number>) {
  const taken = captureOutput();
  try {
    const code = await command();
    return { code, value: JSON.parse(taken().out) };
  } catch (error) {
    taken();
    throw error;
  }
}

test('the log lists versions with parent, author and changes, each once', async () => {
  const { value } = await json(() => runLabelsLog(settings(), undefined, { json: true }));
  expect(value.map((one: Record<string, unknown>) => [one.author, one.boxes, one.changes])).toEqual([
    ['import', 2, null],
    ['review', 2, { moved: 1 }],
    ['review', 3, { added: 1 }],
  ]);
  expect(value[1].parent).toBe(value[0].version);
});

test('the difference of two versions is told box by box', async () => {
  const { value } = await json(() => runLabelsDiff(settings(), 'anna-1:data', 'ben-1:review', { json: true }));
  expect(value.differences).toMatchObject([{ id: 'new-c', what: 'added', image: 'one.png' }]);
  await expect(runLabelsDiff(settings(), 'ffff', 'ben-1:review', {})).rejects.toThrow(
    'There is no label version "ffff"',
  );
  await expect(runLabelsDiff(settings(), 'ben-1:nothing', 'ben-1:review', {})).rejects.toThrow('no finished step');
});

test('blame names the version, the person and the reason', async () => {
  const { value } = await json(() => runLabelsBlame(settings(), 'a', { json: true, version: 'anna-1:review' }));
  expect(value.history).toMatchObject([
    { what: 'moved', made: 'anna-1:review', decision: { by: 'anna', reason: 'stem is no cherry' } },
    { what: 'added', author: 'import' },
  ]);
  await expect(runLabelsBlame(settings(), 'nobody', {})).rejects.toThrow('No label version has a box "nobody"');
});

test('two reviews of one import are merged, and the merge can be exported to a new folder', async () => {
  const { value } = await json(() => runLabelsMerge(settings(), 'anna-1:review', 'ben-1:review', { json: true }));
  expect(value).toMatchObject({ boxes: 3, fromA: 1, fromB: 1, conflicts: 0 });
  const out = join(folder, 'merged');
  const version = String(value.version).slice(0, 10);
  await json(() => runLabelsExport(settings(), version, { format: 'coco', out, json: true }));
  const coco = JSON.parse(readFileSync(join(out, 'annotations', 'instances_train.json'), 'utf8'));
  expect(coco.annotations.map(({ bbox }: { bbox: number[] }) => bbox)).toEqual([
    [12, 10, 18, 20],
    [50, 50, 20, 20],
    [1, 1, 8, 8],
  ]);
  await expect(runLabelsExport(settings(), version, { format: 'coco', out })).rejects.toThrow('is not empty');
});

test('an audit passes a ledger as it was written, and names the batch that was changed', async () => {
  const before = await json(() => runReviewAudit(settings(), 'anna-1', { json: true }));
  expect(before).toMatchObject({ code: 0, value: { ok: true, gates: [{ gate: 'review', decisions: 1 }] } });
  const key = 'runs/anna-1/gates/review/decisions/b1.json';
  const text = (await store.readRecord(key))!.toString();
  await store.writeRecord(key, Buffer.from(text.replace('accept', 'reject')));
  const after = await json(() => runReviewAudit(settings(), 'anna-1', { json: true }));
  expect(after).toMatchObject({ code: 1, value: { ok: false, gates: [{ broken: { sequence: 1 } }] } });
});

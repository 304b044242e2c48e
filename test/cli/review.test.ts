import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { saveDataset, saveJson } from '../../artifacts/codecs.ts';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { appendDecisions, writeGate } from '../../artifacts/gate-record.ts';
import { createRun, writeRunState, writeStepRecord } from '../../artifacts/run-record.ts';
import type { Candidate } from '../../detection/types.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import type { Plan } from '../../plan/types.ts';
import { runCommand } from './command.ts';

let folder: string;

/** A run that waits at a gate with three candidates, of which one is decided: as the engine leaves it in the store. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-review-'));
  const store = await openFolderStore(join(folder, '.hardcase', 'store'));
  const pixels = Buffer.alloc(100 * 80 * 3, 128);
  const photo = await sharp(pixels, { raw: { width: 100, height: 80, channels: 3 } })
    .png()
    .toBuffer();
  const digest = await store.putObject(photo);
  const annotation = { id: 'a1', imageId: 1, categoryId: 1, box: [10, 10, 30, 30] } as const;
  const dataset = await saveDataset(store, {
    categories: [
      { id: 1, name: 'cherry' },
      { id: 2, name: 'leaf' },
    ],
    images: [{ id: 1, fileName: 'tree/one.png', width: 100, height: 80, digest, split: 'train', group: 'one' }],
    labels: { parent: null, author: 'import', note: '', annotations: [annotation] },
  });
  const candidate = (id: string, rest: Pick<Candidate, 'type' | 'annotation' | 'detection' | 'iou'>): Candidate => ({
    id,
    imageId: 1,
    imageDigest: digest,
    rank: 0.5,
    ...rest,
  });
  const candidates = await saveJson(store, 'candidates', [
    candidate('aaaa000000000001', {
      type: 'badly-located',
      annotation,
      detection: { categoryId: 1, box: [12, 12, 34, 34], score: 0.91 },
      iou: 0.55,
    }),
    candidate('aaaa000000000002', { type: 'missing', detection: { categoryId: 1, box: [60, 50, 80, 70], score: 0.8 } }),
    candidate('bbbb000000000003', { type: 'spurious', annotation }),
  ]);
  const gate = {
    id: 'review',
    type: 'gate',
    kind: 'review-labels',
    version: 1,
    needs: [],
    with: {},
    queue: 'cpu',
    timeoutMs: 1,
    heartbeatMs: 1,
    retry: { max: 1, initialMs: 1, factor: 1, maxMs: 1 },
    onFailure: 'hold',
  } as const;
  const plan: Plan = {
    format: 1,
    pipeline: 'cherries',
    seed: 1,
    params: {},
    root: { steps: [gate, { ...gate, id: 'second', needs: ['review'] }] },
  };
  await createRun(store, {
    run: 'cherries-1',
    pipeline: 'cherries',
    planDigest: await store.putObject(Buffer.from(canonicalJson(plan))),
    source: await store.putObject(Buffer.from('name: cherries')),
    file: 'cherries.yaml',
    params: {},
    createdAt: '2026-03-01T10:00:00.000Z',
  });
  await writeRunState(store, 'cherries-1', { state: 'waiting', startedAt: '2026-03-01T10:00:01.000Z' });
  await writeStepRecord(store, 'cherries-1', {
    path: 'review',
    kind: 'review-labels',
    state: 'waiting',
    reused: false,
    startedAt: '2026-03-01T10:00:02.000Z',
    waitingFor: '3 decisions',
  });
  await writeGate(store, 'cherries-1', {
    path: 'review',
    state: 'open',
    openedAt: '2026-03-01T10:00:02.000Z',
    candidates,
    dataset,
    carriedOver: 0,
  });
  await appendDecisions(store, 'cherries-1', 'review', {
    batch: '1',
    by: 'anna',
    at: '2026-03-01T10:05:00.000Z',
    decisions: [{ candidateId: 'bbbb000000000003', verdict: 'reject' }],
  });
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const hardcase = (...words: string[]) => runCommand(folder, words);

test('the list shows what is undecided, with image, box, score and label', async () => {
  const { code, stdout } = await hardcase('review', 'list');
  expect(code).toBe(0);
  expect(stdout).toContain('cherries-1 review: open, 2 of 3 undecided');
  expect(stdout).toMatch(/aaaa000000000001 +badly-located +tree\/one.png +12,12,34,34 +0.91 +cherry \(IoU 0.55\)/);
  expect(stdout).toMatch(/aaaa000000000002 +missing +tree\/one.png +60,50,80,70 +0.80 +none \(detected: cherry\)/);
  expect(stdout).not.toContain('bbbb000000000003');
  const all = await hardcase('review', 'list', 'cherries', 'review', '--all', '--type', 'spurious', '--json');
  expect(JSON.parse(all.stdout)).toMatchObject([
    {
      run: 'cherries-1',
      gate: 'review',
      state: 'open',
      undecided: 2,
      candidates: [
        {
          id: 'bbbb000000000003',
          type: 'spurious',
          image: { fileName: 'tree/one.png', split: 'train' },
          label: { category: 'cherry', box: [10, 10, 30, 30] },
          decision: { verdict: 'reject', by: 'anna' },
        },
      ],
    },
  ]);
});

test('a candidate is drawn with label and detection in their colours', async () => {
  const { code, stdout } = await hardcase('review', 'show', 'aaaa000000000001', '--out', 'crops/one.png');
  expect(code).toBe(0);
  expect(stdout).toContain('label      cherry at 10,10,30,30 (solid blue, #0072B2)');
  const { data, info } = await sharp(readFileSync(join(folder, 'crops/one.png')))
    .raw()
    .toBuffer({ resolveWithObject: true });
  expect(Math.max(info.width, info.height)).toBe(640);
  const colours = new Set<string>();
  for (let i = 0; i < data.length; i += info.channels) colours.add(data.subarray(i, i + 3).toString('hex'));
  expect(colours).toContain('0072b2');
  expect(colours).toContain('e69f00');
});

test('an id that is short for several candidates, or for none, is an error that helps', async () => {
  expect(await hardcase('review', 'show', 'aaaa')).toMatchObject({
    code: 2,
    stderr: 'Error: "aaaa" may be any of 2 candidates. Give more digits.\n',
  });
  const { code, stderr } = await hardcase('review', 'decide', 'cherries-1', 'review', 'aaaa=accept', 'bbbbx=reject');
  expect(code).toBe(1);
  expect(stderr).toContain('argument 1 ("aaaa=accept"): "aaaa" may be any of 2 candidates');
  expect(stderr).toContain(
    'argument 2 ("bbbbx=reject"): the gate review asks about no candidate "bbbbx". Did you mean "bbbb000000000003"?',
  );
});

test('a gate that the pipeline does not have, and ids before a gate opens, are errors', async () => {
  expect((await hardcase('review', 'decide', 'cherries-1', 'reviw', 'aaaa000000000001=accept')).stderr).toBe(
    'Error: Run cherries-1 has no gate "reviw". Did you mean "review"? Its gates: review, second.\n',
  );
  expect((await hardcase('review', 'decide', 'cherries-1', 'second', 'aaaa=accept')).stderr).toContain(
    'the gate second is not open yet, so ids cannot be completed: give all 16 digits.',
  );
  expect((await hardcase('review', 'decide', 'cherries-1', 'second', '--all', 'accept')).stderr).toContain(
    'The gate second is not open yet, so its candidates are not known and --all cannot be used.',
  );
});

test('a decision that contradicts an earlier one is refused before anything is sent', async () => {
  const { code, stdout } = await hardcase('review', 'decide', 'cherries-1', 'review', 'bbbb=accept', '--json');
  expect(code).toBe(1);
  expect(JSON.parse(stdout)).toEqual({
    run: 'cherries-1',
    gate: 'review',
    accepted: 0,
    repeated: 0,
    conflicts: [{ candidate: 'bbbb000000000003', why: 'is decided already: reject by anna, not accept' }],
    checked: true,
  });
});

test('decisions are given in one way only, and a wrong category is named', async () => {
  writeFileSync(
    join(folder, 'answers.csv'),
    'candidate,verdict,x1,y1,x2,y2,category\naaaa000000000001,edit,1,2,3,4,chery\n',
  );
  expect((await hardcase('review', 'decide', 'cherries-1', 'review', '--file', 'answers.csv')).stderr).toContain(
    'answers.csv:2: no category "chery". Did you mean "cherry"? Categories: cherry, leaf.',
  );
  expect(await hardcase('review', 'decide', 'cherries-1', 'review')).toMatchObject({ code: 2 });
  expect(await hardcase('review', 'decide', 'cherries-1', 'review', '--all', 'edit')).toMatchObject({ code: 2 });
  expect((await hardcase('review', 'decide', 'cherries-1', 'review', '--all', 'acept')).stderr).toContain(
    'Did you mean "accept"?',
  );
});

test('a box that lies wholly outside its image is refused before anything is sent', async () => {
  expect(
    await hardcase('review', 'decide', 'cherries-1', 'review', 'aaaa000000000002=edit:100,10,120,20'),
  ).toMatchObject({
    code: 1,
    stderr:
      'Error: No decision was sent:\n  argument 1 ("aaaa000000000002=edit:100,10,120,20"): The box [100, 10, 120, 20] lies wholly outside its image of 100 x 80 pixels.\n',
  });
});

test('a label that nobody asked about is refused where its image or category is unknown, or a label is there', async () => {
  const decide = (word: string) => hardcase('review', 'decide', 'cherries-1', 'review', word);
  expect((await decide('image:tree/on.png=add:40,40,60,60:leaf')).stderr).toContain(
    'the dataset has no image "tree/on.png". Did you mean "tree/one.png"?',
  );
  expect((await decide('image:tree/one.png=add:40,40,60,60')).stderr).toContain(
    '"add" needs a category after the box, one of cherry, leaf.',
  );
  expect((await decide('image:tree/one.png=add:10,10,30,30:cherry')).stderr).toContain(
    'There is a label of this category on the box [10, 10, 30, 30] already.',
  );
  expect((await decide('image:1=add:140,10,160,30:cherry')).stderr).toContain('lies wholly outside its image');
});

test('status and runs read the record alone, in text and in JSON', async () => {
  const { code, stdout } = await hardcase('status', 'latest');
  expect(code).toBe(0);
  expect(stdout).toContain('cherries-1: waiting');
  expect(stdout).toMatch(/review +review-labels +waiting +since/);
  expect(stdout).toMatch(/second +review-labels +pending/);
  expect(stdout).toContain('review waits for 3 decisions. Answer on a page, from another terminal:');
  expect(JSON.parse((await hardcase('status', 'cherries', '--json')).stdout)).toMatchObject({
    run: 'cherries-1',
    pipeline: 'cherries',
    state: 'waiting',
    steps: [
      { path: 'review', kind: 'review-labels', state: 'waiting', reused: false, waitingFor: '3 decisions' },
      { path: 'second', kind: 'review-labels', state: 'pending', startedAt: null, endedAt: null, outputs: {} },
    ],
  });
  expect(JSON.parse((await hardcase('runs', '--json')).stdout)).toMatchObject([
    { run: 'cherries-1', state: 'waiting' },
  ]);
  expect((await hardcase('status', 'cherry')).stderr).toContain('There is no run "cherry"');
  expect((await hardcase('report', 'latest')).stderr).toContain(
    'Run cherries-1 has no report. It is waiting; the report comes with its last step.',
  );
  expect((await hardcase('retry', 'latest')).stderr).toBe('Error: No step of cherries-1 is held.\n');
});

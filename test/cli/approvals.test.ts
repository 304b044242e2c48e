/** Forms of `approve` steps on the command line: what is shown of them, and answers that are refused before they are sent. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeApproval } from '../../artifacts/approval-record.ts';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { createRun, writeRunState, writeStepRecord } from '../../artifacts/run-record.ts';
import { runReviewDecide, runReviewList, runReviewShow } from '../../cli/review.ts';
import { loadSettings, type Settings } from '../../cli/settings.ts';
import { runStatus } from '../../cli/status.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import type { Form } from '../../plan/form.ts';
import { approve } from '../small-plans.ts';
import { captureOutput } from './capture.ts';

let folder: string;
let settings: Settings;

const form: Form = {
  properties: {
    go: { type: 'boolean', title: 'Train?' },
    epochs: { type: 'integer', minimum: 1, default: 30 },
    sizes: { type: 'array', items: { type: 'number' } },
    note: { type: 'string' },
  },
  required: ['go', 'epochs'],
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-approvals-'));
  settings = loadSettings({}, {}, folder);
  const store = await openFolderStore(settings.store);
  const root = { steps: [approve('ok', form)] };
  const plan = { format: 1, pipeline: 'asks', seed: 1, params: {}, root };
  const planDigest = await store.putObject(Buffer.from(canonicalJson(plan)));
  const createdAt = '2026-03-01T10:00:00.000Z';
  await createRun(store, {
    run: 'asks-1',
    pipeline: 'asks',
    planDigest,
    source: planDigest,
    file: 'a.yaml',
    params: {},
    createdAt,
  });
  await writeRunState(store, 'asks-1', { state: 'waiting' });
  await writeApproval(store, 'asks-1', {
    path: 'ok',
    state: 'open',
    openedAt: createdAt,
    message: 'Train on 500 images?',
    form,
    show: { AP: 0.41 },
    assignees: ['ann', 'ben'],
    expiresAt: '2026-03-08T10:00:00.000Z',
    expired: { go: false, epochs: 30 },
    shown: '0'.repeat(64),
  });
  const waitingFor = 'an answer: hardcase review show ok --run asks-1';
  await writeStepRecord(store, 'asks-1', { path: 'ok', kind: 'approve', state: 'waiting', reused: false, waitingFor });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const printed = async (command: () => Promise<unknown>) => {
  const release = captureOutput();
  await command().catch((error: unknown) => {
    release();
    throw error;
  });
  return release().out;
};

test('list and show tell what is asked, of whom, until when, and how to answer', async () => {
  const shown = await printed(() => runReviewShow(settings, 'ok', {}));
  expect(shown.split('\n').slice(0, 9)).toEqual([
    expect.stringMatching(/^asks-1 ok: open, asks ann, ben, expires .*, then goes on with {"epochs":30,"go":false}$/),
    '  Train on 500 images?',
    '  AP  0.41',
    '  go: true or false  Train?',
    '  epochs: a whole number from 1 (30 where left out)',
    '  note: text (may be left out)',
    '  sizes: a list whose entries are each a number (may be left out)',
    expect.stringMatching(/^ {2}Answer: .*review decide asks-1 ok go=true$/),
    '',
  ]);
  expect(await printed(() => runReviewList(settings, undefined, {}))).toContain(shown.trim());
  expect(JSON.parse(await printed(() => runReviewList(settings, 'asks-1', { json: true })))).toMatchObject([
    {
      run: 'asks-1',
      gate: 'ok',
      kind: 'approve',
      state: 'open',
      form: { required: ['go', 'epochs'] },
      assignees: ['ann', 'ben'],
    },
  ]);
  const status = await printed(() => runStatus(settings, 'asks-1', {}));
  expect(status).toMatch(/ok waits for an answer\. See what is asked, and answer, from another terminal:/);
  expect(status).toMatch(/review decide asks-1 ok NAME=VALUE/);
});

test.each([
  [['go=maybe'], /^The answer was not sent\. "go" is "maybe"; expected true or false\.$/],
  [['go=yes', 'epochs=0', 'sizes=1,x'], /"epochs" is 0; expected a whole number from 1\. "sizes" is \[1,"x"\]/],
  [
    ['epoch=3'],
    /^"epoch=3": expected NAME=VALUE with a field of ok\. Did you mean "epochs"\? Fields: go, epochs, note, sizes\.$/,
  ],
  [[], /^Give the answer in one way: go=true, or --file FILE with a JSON object\.$/],
])('an answer %j is refused before it is sent', async (words, message) => {
  await expect(runReviewDecide(settings, 'asks-1', 'ok', words, {})).rejects.toThrow(message);
});

test('a file holds a JSON object, and --all is no answer', async () => {
  const file = join(folder, 'answer.json');
  writeFileSync(file, '{"go": 1}');
  await expect(runReviewDecide(settings, 'asks-1', 'ok', [], { file })).rejects.toThrow('"go" is 1');
  writeFileSync(file, '{"go"');
  await expect(runReviewDecide(settings, 'asks-1', 'ok', [], { file })).rejects.toThrow(/answer\.json is no JSON/);
  await expect(runReviewDecide(settings, 'asks-1', 'ok', [], { all: 'accept' })).rejects.toThrow('--all and --type');
  await expect(runReviewDecide(settings, 'asks-1', 'okay', ['go=yes'], {})).rejects.toThrow(
    'has no gate "okay". Its gates: ok.',
  );
});

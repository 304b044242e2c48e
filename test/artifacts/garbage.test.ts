/** What a collection of garbage takes, and above all what it leaves. */

import { beforeEach, expect, test } from 'vitest';
import { saveDataset, saveJson } from '../../artifacts/codecs.ts';
import { sha256Hex } from '../../artifacts/digest.ts';
import { findGarbage, type GarbageRules, removeGarbage } from '../../artifacts/garbage.ts';
import { lockGarbage } from '../../artifacts/garbage-lock.ts';
import { createRun, readRun, writeRunState, writeStepRecord } from '../../artifacts/run-record.ts';
import { createStepResult, readStepResult } from '../../artifacts/step-results.ts';
import type { ArtifactRef, StepState } from '../../plan/types.ts';
import { collectBesideSteps } from './garbage-race.ts';
import { createMemoryStore, type MemoryStore } from './memory-store.ts';

let store: MemoryStore;

beforeEach(() => {
  store = createMemoryStore();
});

const day = 86_400_000;
const all: GarbageRules = { olderThanMs: null, keep: new Set(), graceMs: 3_600_000 };
const text = (value: string) => Buffer.from(value);
const fingerprintOf = (run: string) => sha256Hex(`fingerprint of ${run}`);

/** A run with one step that gave a selection: `run` is all that its objects differ in. */
async function makeRun(run: string, state: StepState, daysAgo: number, content = run): Promise<ArtifactRef> {
  const at = new Date(Date.now() - daysAgo * day).toISOString();
  const planDigest = await store.putObject(text(`{"plan":"${content}"}`));
  const source = await store.putObject(text(`# ${content}`));
  await createRun(store, { run, pipeline: 'p', planDigest, source, file: 'p.yaml', params: {}, createdAt: at });
  await writeRunState(store, run, { state, endedAt: state === 'running' ? undefined : at });
  const selection = await saveJson(store, 'selection', { images: [content.length], weights: { [content]: 1 } });
  const fingerprint = fingerprintOf(content);
  const outputs = { selection };
  await createStepResult(store, fingerprint, { kind: 'mine', version: 1, outputs, run, path: 'a', at });
  await writeStepRecord(store, run, { path: 'a', kind: 'mine', state: 'done', reused: false, fingerprint, outputs });
  return selection;
}

/** As if everything had been written long ago. */
const age = () => {
  for (const digest of store.objects.keys()) store.modified.set(digest, 1);
};

test('without --older-than only what no run, result or checkpoint names goes', async () => {
  const selection = await makeRun('one', 'done', 100);
  const stray = await store.putObject(text('left by a step that was killed'));
  age();
  const young = await store.putObject(text('written by a step that still runs'));
  const found = await findGarbage(store, all);
  expect(found.runs).toEqual([]);
  expect(found.records).toEqual([]);
  expect(found.objects.map(({ digest }) => digest)).toEqual([stray]);
  expect(found.young).toEqual({ objects: 1, bytes: 33 });
  expect(await removeGarbage(store, all, found)).toEqual({ runs: 0, records: 0, objects: 1, bytes: 30 });
  expect([store.objects.has(stray), store.objects.has(young)]).toEqual([false, true]);
  expect(store.objects.has(selection.digest)).toBe(true);
});

test('an old finished run goes with all that only it needs; named, unfinished and young ones stay', async () => {
  await makeRun('old', 'done', 40);
  await makeRun('old-but-kept', 'done', 40);
  await makeRun('held', 'held', 40);
  await makeRun('new', 'done', 2);
  age();
  const rules = { ...all, olderThanMs: 30 * day, keep: new Set(['old-but-kept']) };
  const found = await findGarbage(store, rules);
  expect(found.runs.map(({ run }) => run)).toEqual(['old']);
  expect(found.records).toEqual([
    `results/${fingerprintOf('old')}/1.json`,
    'runs/old/run.json',
    'runs/old/state.json',
    'runs/old/steps/a.json',
  ]);
  // Plan, pipeline file and selection.
  expect(found.objects).toHaveLength(3);
  await removeGarbage(store, rules, found);
  expect(await readRun(store, 'old')).toBeNull();
  expect((await findGarbage(store, rules)).objects).toEqual([]);
  for (const run of ['old-but-kept', 'held', 'new']) {
    expect(await readStepResult(store, fingerprintOf(run))).not.toBeNull();
  }
});

test('what an old run made and a newer one reused stays', async () => {
  const selection = await makeRun('old', 'done', 40, 'shared');
  await makeRun('new', 'done', 1, 'shared');
  age();
  const rules = { ...all, olderThanMs: 30 * day };
  const found = await findGarbage(store, rules);
  await removeGarbage(store, rules, found);
  expect(await readRun(store, 'old')).toBeNull();
  expect((await readStepResult(store, fingerprintOf('shared')))?.outputs).toEqual({ selection });
});

test('a dataset is kept with its images; detections go with their model; decisions and unknown records stay', async () => {
  const image = await store.putObject(text('pixels'));
  const dataset = await saveDataset(store, {
    categories: [],
    images: [{ id: 1, fileName: 'a', width: 1, height: 1, digest: image, split: 'train', group: 'a' }],
    labels: { parent: null, author: 'import', note: '', annotations: [] },
  });
  const model = await store.putObject(text('model'));
  const seen = await store.putObject(text('what the model saw'));
  const orphan = await store.putObject(text('what a model that is gone saw'));
  await store.writeRecord('later-release/a.json', text(JSON.stringify({ dataset, of: `hash-${model}` })));
  await store.writeRecord(`detections/${model}/s/1.json`, text(JSON.stringify({ images: seen })));
  await store.writeRecord(`detections/${'e'.repeat(64)}/s/1.json`, text(JSON.stringify({ images: orphan })));
  await store.writeRecord(`decisions/${image}/1.json`, text('[]'));
  age();
  const found = await findGarbage(store, all);
  expect(found.records).toEqual([`detections/${'e'.repeat(64)}/s/1.json`]);
  expect(found.objects.map(({ digest }) => digest)).toEqual([orphan]);
});

test('checkpoints of finished steps stay; those that no run knows stay for a week', async () => {
  await makeRun('one', 'done', 1);
  const states = [];
  for (const [name, fingerprint] of [
    ['known', fingerprintOf('one')],
    ['new', 'b'.repeat(64)],
    ['old', 'c'.repeat(64)],
  ]) {
    const object = await store.putObject(text(`state ${name}`));
    states.push(object);
    await store.writeRecord(`checkpoints/${fingerprint}/000000000001.json`, text(JSON.stringify({ object })));
    await store.writeRecord(`threads/${fingerprint}.json`, text('{"threads":1}'));
  }
  age();
  store.modified.set(states[1]!, Date.now() - 2 * day);
  const found = await findGarbage(store, all);
  expect(found.records).toEqual([`checkpoints/${'c'.repeat(64)}/000000000001.json`, `threads/${'c'.repeat(64)}.json`]);
  expect(found.objects.map(({ digest }) => digest)).toEqual([states[2]]);
});

test('beside steps that run, nothing goes that they count on, though they take up old objects', async () => {
  await collectBesideSteps(store, 30, async () => {
    age();
    return 2_000;
  });
});

test('one collection at a time; a dead process on this host holds no lock', async () => {
  const unlock = await lockGarbage(store);
  await expect(lockGarbage(store)).rejects.toThrow(`process ${process.pid}`);
  await unlock();
  const holder = JSON.parse(store.records.get('gc/lock.json')?.toString() ?? 'null');
  expect(holder).toBeNull();
  await lockGarbage(store);
  const left = JSON.parse(store.records.get('gc/lock.json')!.toString());
  // No process has this number.
  store.records.set('gc/lock.json', text(JSON.stringify({ ...left, pid: 2 ** 22 + 1 })));
  await (await lockGarbage(store))();
});

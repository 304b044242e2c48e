/** What `hardcase verify` finds in the record of a run when somebody, or a disk, has changed a part of it. */

import { beforeEach, expect, test } from 'vitest';
import { openCheckpoints } from '../../activities/checkpoints.ts';
import { fingerprintOfStep } from '../../activities/step-identity.ts';
import type { Verification } from '../../activities/verification.ts';
import { verifyRun } from '../../activities/verify-run.ts';
import { loadJson, saveDataset, saveJson } from '../../artifacts/codecs.ts';
import { appendDecisions, readTip, writeGate } from '../../artifacts/gate-record.ts';
import { createRun, readRun, readStepRecord, writeRunState, writeStepRecord } from '../../artifacts/run-record.ts';
import { createStepResult } from '../../artifacts/step-results.ts';
import { verificationText } from '../../cli/verify.ts';
import { encodeCheckpoint } from '../../detection/model/checkpoint.ts';
import { NO_SUMS } from '../../detection/model/epoch-sums.ts';
import { CLIP_OFF } from '../../detection/model/schedule.ts';
import { digestState, startChain } from '../../detection/model/training-chain.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import type { Json, Plan, StepRecord } from '../../plan/types.ts';
import { createMemoryStore, type MemoryStore } from '../artifacts/memory-store.ts';
import { testEnvironment } from '../small-plans.ts';

let store: MemoryStore;
const run = 'checked';

beforeEach(async () => {
  store = createMemoryStore();
  await makeRun();
});

const put = (value: unknown) => store.putObject(Buffer.from(canonicalJson(value as Json)));

/** A finished run: a dataset, a training with its chain and a checkpoint, and a review of two candidates. */
async function makeRun(): Promise<void> {
  const retry = { max: 1, initialMs: 1, factor: 1, maxMs: 1 };
  const step = { type: 'activity', needs: [], queue: 'cpu', timeoutMs: 1, heartbeatMs: 1, retry, onFailure: 'hold' };
  const steps = [
    { ...step, id: 'data', kind: 'synthesize', version: 2, with: { images: 1 } },
    { ...step, id: 'model0', kind: 'train', version: 3, with: { dataset: { $: 'steps.data.dataset' } } },
    { ...step, type: 'gate', id: 'review', kind: 'review-labels', version: 1, with: {} },
  ];
  const plan = { format: 1, pipeline: 'p', seed: 4, params: { rounds: 2 }, root: { steps } } as unknown as Plan;
  const planDigest = await put(plan);
  const source = await store.putObject(Buffer.from('name: p'));
  const createdAt = '2026-01-01T00:00:00.000Z';
  await createRun(store, { run, pipeline: 'p', planDigest, source, file: 'p.yaml', params: { rounds: 2 }, createdAt });
  await writeRunState(store, run, { state: 'done', endedAt: createdAt });

  const image = await store.putObject(Buffer.from('pixels'));
  const dataset = await saveDataset(store, {
    categories: [{ id: 1, name: 'a' }],
    images: [{ id: 1, fileName: 'a', width: 9, height: 9, digest: image, split: 'train', group: 'a' }],
    labels: { parent: null, author: 'synthesize', note: '', annotations: [] },
  });
  await finish('data', 'synthesize', 2, { images: 1 }, { dataset });

  const state = { weights: Float32Array.of(1, 2), slot1: Float32Array.of(0, 0) };
  const { labels } = await loadJson(store, 'dataset', dataset);
  const chain = await startChain('origin', state);
  const settings = {
    learningRate: 0.1,
    clipNorm: 1,
    emaDecay: 0.9,
    statisticsRate: 0.1,
    correction1: 1,
    correction2: 1,
  };
  for (const at of [1, 2]) chain.step(at, { shown: [1], inputSize: 32, settings, report: Float32Array.of(at) });
  await chain.epoch(1, 2, state);
  const model = { artifact: 'model', digest: await store.putObject(Buffer.from('weights')), bytes: 7 } as const;
  const saved = { steps: 2, dataset: dataset.digest, labels, init: null, ...(await chain.save()), model: model.digest };
  const outputs = { model, chain: await saveJson(store, 'chain', saved), steps: 2 };
  const fingerprint = await finish('model0', 'train', 3, { dataset }, outputs);
  const checkpoints = await openCheckpoints(store, fingerprint, testEnvironment);
  const held = {
    identity: 'i',
    clip: CLIP_OFF,
    epochs: [],
    sums: NO_SUMS,
    returns: [],
    returnPoint: null,
    dynamics: {},
  };
  const bytes = encodeCheckpoint({ ...held, step: 2, chain: await chain.save(), state });
  await checkpoints.add(2, bytes, 1, {
    head: chain.head,
    state: await digestState(state),
    headAt: (at) => chain.headAt(at),
  });

  const candidates = await saveJson(store, 'candidates', [{ id: 'c1' }, { id: 'c2' }] as never);
  const decisions = [
    { candidateId: 'c1', verdict: 'accept' },
    { candidateId: 'c2', verdict: 'reject' },
  ] as const;
  await appendDecisions(store, run, 'review', { batch: '1', by: 'ann', at: createdAt, decisions });
  const gate = {
    path: 'review',
    state: 'closed',
    openedAt: createdAt,
    candidates,
    dataset,
    decided: 2,
    carriedOver: 0,
    ledger: await readTip(store, run, 'review'),
  } as const;
  await writeGate(store, run, gate);
  const made = decisions.map((decision) => ({ ...decision, by: 'ann', at: createdAt, type: 'missing' as const }));
  const counts = { reviewer: 'human', asked: 2, carriedOver: 0, undecided: 0 } as const;
  const corrections = await saveJson(store, 'corrections', {
    before: labels,
    after: labels,
    ...counts,
    decisions: made,
    changes: [],
  });
  await finish('review', 'review-labels', 1, { dataset }, { dataset, corrections });
}

async function finish(
  path: string,
  kind: string,
  version: number,
  given: StepRecord['with'],
  outputs: StepRecord['outputs'],
) {
  const fingerprint = fingerprintOfStep({
    run,
    path,
    kind,
    version,
    with: given!,
    seed: 4,
    environment: testEnvironment,
  });
  await createStepResult(store, fingerprint, {
    kind,
    version,
    outputs: outputs!,
    run,
    path,
    at: 'now',
    environment: testEnvironment,
  });
  await writeStepRecord(store, run, { path, kind, state: 'done', reused: false, with: given, fingerprint, outputs });
  return fingerprint;
}

const verify = async (): Promise<Verification> => verifyRun(store, (await readRun(store, run))!);
const problems = async () => (await verify()).checks.flatMap(({ problems }) => problems);

/** Replaces a part of a step's record, behind everybody's back. */
async function tamper(path: string, changes: Partial<StepRecord>): Promise<void> {
  const record = { ...(await readStepRecord(store, run, path))!, ...changes };
  await store.writeRecord(`runs/${run}/steps/${path}.json`, Buffer.from(JSON.stringify(record)));
}

const outputOf = async (path: string, name: string) =>
  (await readStepRecord(store, run, path))!.outputs![name] as { artifact: never; digest: string; bytes: number };

test('a run that is whole is verified, and it says what that proves', async () => {
  const found = await verify();
  expect(found.checks.flatMap(({ problems }) => problems)).toEqual([]);
  expect(found).toMatchObject({ run, state: 'done', ok: true, remarks: [] });
  const counts = Object.fromEntries(found.checks.map(({ name, checked }) => [name, checked]));
  expect(counts).toMatchObject({ plan: 3, steps: 6, inputs: 2, decisions: 5, end: 3 });
  expect(counts.objects).toBeGreaterThanOrEqual(10);
  expect(counts.chains).toBeGreaterThanOrEqual(6);
  expect(verificationText(found)).toContain('What this proves:');
});

test('an image whose bytes have changed, and a model that is gone, are found', async () => {
  const image = [...store.objects].find(([, bytes]) => bytes.toString() === 'pixels')![0];
  store.objects.set(image, Buffer.from('pixelz'));
  const model = await outputOf('model0', 'model');
  store.objects.delete(model.digest);
  expect(await problems()).toEqual([
    { where: `model ${model.digest}`, what: expect.stringContaining('it is missing') },
    { where: `bytes ${image}`, what: expect.stringContaining('another digest') },
  ]);
  expect((await verify()).ok).toBe(false);
});

test('parameters that are not those of the fingerprint, and outputs that are not those of the result, are found', async () => {
  await tamper('data', { with: { images: 2 } });
  await tamper('model0', { outputs: { ...(await readStepRecord(store, run, 'model0'))!.outputs, steps: 3 } });
  expect(await problems()).toEqual([
    { where: 'data', what: expect.stringContaining('have another fingerprint') },
    { where: 'model0', what: 'its outputs are not those recorded under its fingerprint' },
  ]);
});

test('an input that came from nowhere is found', async () => {
  const foreign = await saveDataset(store, {
    categories: [],
    images: [],
    labels: { parent: null, author: '', note: '', annotations: [] },
  });
  await tamper('model0', { with: { dataset: foreign } });
  const found = await problems();
  expect(found).toContainEqual({
    where: 'model0',
    what: expect.stringContaining('which no step of the run and no param gave'),
  });
  expect(found).toContainEqual({ where: 'model0', what: expect.stringContaining('another dataset or label version') });
});

test('a chain with a link changed, or of another model, is found', async () => {
  const chain = await loadJson(store, 'chain', (await outputOf('model0', 'chain')) as never);
  const epochs = chain.epochs.map((link, i) => (i === 1 ? { ...link, state: 'f'.repeat(64) } : link));
  const { outputs } = (await readStepRecord(store, run, 'model0'))!;
  const forged = await saveJson(store, 'chain', { ...chain, epochs, model: 'e'.repeat(64) });
  await tamper('model0', { outputs: { ...outputs, chain: forged } });
  const found = (await verify()).checks.find(({ name }) => name === 'chains')!.problems;
  expect(found).toEqual([
    { where: 'model0', what: 'its chain is broken at epoch 1' },
    { where: 'model0', what: 'its chain ends with another model than it gave' },
  ]);
});

test('a checkpoint whose state is another than its record says is found', async () => {
  const key = [...store.records.keys()].find((each) => each.startsWith('checkpoints/'))!;
  const record = JSON.parse(store.records.get(key)!.toString());
  store.records.set(key, Buffer.from(JSON.stringify({ ...record, state: '0'.repeat(64) })));
  expect(await problems()).toEqual([
    { where: key, what: expect.stringContaining('the state in the checkpoint has another digest') },
  ]);
});

test('a decision made twice, and one that was not applied, are found', async () => {
  const again = [{ candidateId: 'c2', verdict: 'accept' }] as const;
  await appendDecisions(store, run, 'review', {
    batch: '2',
    by: 'bob',
    // The first counts, and by this moment it is the first.
    at: '2025-01-02T00:00:00.000Z',
    decisions: again,
  });
  expect(await problems()).toEqual([
    { where: 'gate review', what: 'candidate c2 was decided twice' },
    { where: 'gate review', what: 'the decision about c2 ("accept") is not in the corrections that were applied' },
  ]);
});

test('a step that a fork ran anew has a fingerprint of its own, and is checked by it', async () => {
  const request = { run, path: 'data', kind: 'synthesize', version: 2, with: { images: 1 }, seed: 4, fresh: 'f1' };
  const fingerprint = fingerprintOfStep({ ...request, environment: testEnvironment });
  const { outputs } = (await readStepRecord(store, run, 'data'))!;
  await createStepResult(store, fingerprint, {
    kind: 'synthesize',
    version: 2,
    outputs: outputs!,
    run,
    path: 'data',
    at: 'now',
  });
  await tamper('data', { fingerprint, fresh: 'f1' });
  expect(await problems()).toEqual([]);
  await tamper('data', { fresh: 'f2' });
  expect(await problems()).toEqual([{ where: 'data', what: expect.stringContaining('have another fingerprint') }]);
});

test('an activity of another program is checked with the outputs that the plan declares for it', async () => {
  const outputs = { score: 'number' } as const;
  const header = JSON.parse(store.records.get(`runs/${run}/run.json`)!.toString());
  const plan = JSON.parse(store.objects.get(header.planDigest)!.toString());
  const foreign = { type: 'foreign', id: 'score', kind: 'their-scorer', version: 1, outputs, reuse: false, with: {} };
  plan.root.steps.push(foreign);
  store.records.set(`runs/${run}/run.json`, Buffer.from(JSON.stringify({ ...header, planDigest: await put(plan) })));
  const request = { run, path: 'score', kind: 'their-scorer', version: 1, with: {}, seed: 4, outputs };
  const fingerprint = fingerprintOfStep({ ...request, environment: testEnvironment });
  const record = {
    path: 'score',
    kind: 'their-scorer',
    state: 'done',
    reused: false,
    with: {},
    outputs: { score: 1 },
  } as const;
  // What it gives is recorded as a result only where it may be reused.
  await writeStepRecord(store, run, { ...record, fingerprint });
  expect(await problems()).toEqual([]);
  await tamper('score', { with: { threshold: 2 } });
  expect(await problems()).toEqual([{ where: 'score', what: expect.stringContaining('have another fingerprint') }]);
});

test('decisions from before there was a chain are remarked on, and no fault', async () => {
  const key = [...store.records.keys()].find((each) => each.includes('/decisions/'))!;
  const { sequence: _, previous: __, ...batch } = JSON.parse(store.records.get(key)!.toString());
  store.records.set(key, Buffer.from(canonicalJson(batch)));
  const gate = JSON.parse(store.records.get(`runs/${run}/gates/review.json`)!.toString());
  delete gate.ledger;
  store.records.set(`runs/${run}/gates/review.json`, Buffer.from(canonicalJson(gate)));
  const { ok, remarks } = await verify();
  expect([ok, remarks]).toEqual([true, [expect.stringContaining('The decisions of review are no chain')]]);
});

test('a batch of decisions that was changed afterwards is found by its chain', async () => {
  const key = [...store.records.keys()].find((each) => each.includes('/decisions/'))!;
  const batch = JSON.parse(store.records.get(key)!.toString());
  store.records.set(key, Buffer.from(canonicalJson({ ...batch, by: 'eve' })));
  expect(await problems()).toEqual([
    { where: 'runs/checked/gates/review.json', what: expect.stringContaining('the ledger is broken at batch 1') },
  ]);
});

test('a run that was resumed on another machine says so, and one that goes on is checked so far', async () => {
  await writeRunState(store, run, { state: 'running' });
  await tamper('model0', { attempts: [{ startedAt: 'now', worker: 'w', resumedFrom: 1, exact: false }] });
  const { ok, remarks } = await verify();
  expect(ok).toBe(true);
  expect(remarks).toEqual([
    'The run is running: what is there so far was checked.',
    expect.stringContaining('model0 was resumed with other arithmetic'),
  ]);
});

test('a training on another kind of machine than the run began with is remarked on, in the words of the report', async () => {
  const curves = await saveJson(store, 'curves', {
    epochs: [],
    environment: { ...testEnvironment, threads: 7, cpu: 'New avx512f' },
  } as never);
  await writeRunState(store, run, { environment: testEnvironment });
  const { outputs } = (await readStepRecord(store, run, 'model0'))!;
  await tamper('model0', { outputs: { ...outputs, curves } });
  const { remarks } = await verify();
  expect(remarks).toEqual([
    `model0 was trained on another kind of machine than the run began with (cpu New avx512f instead of ${testEnvironment.cpu}): on one machine alone the last bits of the weights may be others.`,
  ]);
});

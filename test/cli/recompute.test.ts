/** `hardcase verify --recompute`: a training that was tampered with so well that every record and link agrees with it. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeEnvironment } from '../../activities/environment.ts';
import { fingerprintOfStep } from '../../activities/step-identity.ts';
import { enterTfProcess } from '../../activities/tf-process.ts';
import { train } from '../../activities/train.ts';
import { loadJson, readBytes, saveJson } from '../../artifacts/codecs.ts';
import { createRun, readStepRecord, writeRunState, writeStepRecord } from '../../artifacts/run-record.ts';
import { createStepResult, type StepResultContent } from '../../artifacts/step-results.ts';
import { loadSettings } from '../../cli/settings.ts';
import { runVerify } from '../../cli/verify.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import type { ArtifactRef, Json, StepRecord } from '../../plan/types.ts';
import { openRig, type StepRig, squaresDataset, stepContext } from '../activities/step-rig.ts';
import { captureOutput } from './capture.ts';

let rig: StepRig;
const run = 'trained';
const seed = 4;

beforeAll(async () => {
  enterTfProcess();
  rig = await openRig();
  await makeRun();
}, 180_000);

afterAll(async () => {
  await rig?.close();
});

/** A finished run of a dataset and one small training, which really took place. */
async function makeRun(): Promise<void> {
  const { store } = rig;
  const environment = await describeEnvironment();
  const { ref: dataset } = await squaresDataset(store, { train: 8, val: 1, test: 0 });
  const made = { images: 9 };
  const given = {
    dataset,
    steps: 2,
    batchSize: 4,
    evaluateEvery: 100,
    imageSize: 64,
    depth: 0.33,
    width: 0.0625,
    strides: [8, 16],
  };
  const retry = { max: 1, initialMs: 1, factor: 1, maxMs: 1 };
  const step = { type: 'activity', needs: [], queue: 'cpu', timeoutMs: 1, heartbeatMs: 1, retry, onFailure: 'hold' };
  const steps = [
    { ...step, id: 'data', kind: 'synthesize', version: 2, with: made },
    { ...step, id: 'model', kind: 'train', version: 3, with: { ...given, dataset: { $: 'steps.data.dataset' } } },
  ];
  const plan = { format: 1, pipeline: 'p', seed, params: {}, root: { steps } };
  const planDigest = await store.putObject(Buffer.from(canonicalJson(plan as unknown as Json)));
  const source = await store.putObject(Buffer.from('name: p'));
  const createdAt = '2026-01-01T00:00:00.000Z';
  await createRun(store, { run, pipeline: 'p', planDigest, source, file: 'p.yaml', params: {}, createdAt });
  await writeRunState(store, run, { state: 'done', endedAt: createdAt, environment });

  const finish = async (path: string, kind: string, version: number, inputs: StepRecord['with'], work: Work) => {
    const request = { run, path, kind, version, with: inputs!, seed, environment };
    const fingerprint = fingerprintOfStep(request);
    const outputs = await work(fingerprint);
    await createStepResult(store, fingerprint, { kind, version, outputs, run, path, at: createdAt, environment });
    const record = { path, kind, state: 'done', reused: false, with: inputs, fingerprint, seed, outputs } as const;
    await writeStepRecord(store, run, record);
  };
  await finish('data', 'synthesize', 2, made, async () => ({ dataset }));
  await finish('model', 'train', 3, given as unknown as StepRecord['with'], async (fingerprint) => {
    const context = stepContext(store, { run, path: 'model', seed, fingerprint, environment });
    return (await train(context, given as never)) as unknown as Outputs;
  });
}

type Outputs = { readonly [name: string]: Json };
type Work = (fingerprint: string) => Promise<Outputs>;

async function verify(recompute?: string) {
  const { folder, store } = rig;
  const settings = loadSettings({ store: store.url }, {}, folder);
  const printed = captureOutput();
  let out = '';
  const code = await runVerify(settings, run, { json: true, recompute }).finally(() => {
    ({ out } = printed());
  });
  return { code, ...(JSON.parse(out) as { ok: boolean; recomputed: Recomputed | null }) };
}

interface Recomputed {
  readonly outcome: string;
  readonly outputs: readonly { readonly name: string; readonly equal: boolean }[];
  readonly firstDifference: object | null;
}

test('a training that nobody touched comes out the same', async () => {
  const { code, ok, recomputed } = await verify('model');
  expect([code, ok, recomputed?.outcome]).toEqual([0, true, 'equal']);
  expect(recomputed?.outputs.map(({ name }) => name)).toEqual(expect.arrayContaining(['model', 'chain', 'AP']));
});

test('another model, with all records changed to agree with it, passes the check of records and fails the second training', async () => {
  const { store } = rig;
  const record = (await readStepRecord(store, run, 'model'))!;
  const { model, chain } = record.outputs as { model: ArtifactRef; chain: ArtifactRef };
  const bytes = Buffer.from(await readBytes(store, 'model', model.digest));
  // One bit of the last weight.
  bytes[bytes.length - 2]! ^= 1;
  const digest = await store.putObject(bytes);
  const forged = { ...(await loadJson(store, 'chain', chain as never)), model: digest };
  const outputs = { ...record.outputs, model: { ...model, digest }, chain: await saveJson(store, 'chain', forged) };
  const key = `results/${record.fingerprint}/1.json`;
  const result = JSON.parse((await store.readRecord(key))!.toString()) as StepResultContent;
  await store.writeRecord(key, Buffer.from(canonicalJson({ ...result, outputs } as unknown as Json)));
  await store.writeRecord(`runs/${run}/steps/model.json`, Buffer.from(canonicalJson({ ...record, outputs } as never)));

  expect(await verify()).toMatchObject({ code: 0, ok: true });
  const { code, ok, recomputed } = await verify('model');
  expect([code, ok, recomputed?.outcome]).toEqual([1, true, 'differs']);
  const wrong = recomputed?.outputs.filter(({ equal }) => !equal).map(({ name }) => name);
  expect(wrong?.sort()).toEqual(['chain', 'model']);
  // The steps of both trainings are the same: only what stands for their end was exchanged.
  expect(recomputed?.firstDifference).toBeNull();
});

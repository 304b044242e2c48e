/**
 * A real training whose newest checkpoints are damaged, half-written or gone ends with the same bytes, in a folder and in S3. All
 * in one process, because each one of its own would load TensorFlow anew; `train.test.ts` kills processes.
 */

import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client as MinioClient } from 'minio';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { CheckpointRecord } from '../../activities/checkpoints.ts';
import { enterTfProcess } from '../../activities/tf-process.ts';
import { train } from '../../activities/train.ts';
import type { TrainParameters } from '../../activities/training-parameters.ts';
import { openS3Store } from '../../artifacts/s3-store.ts';
import type { Store } from '../../artifacts/store.ts';
import { type RunningMinio, startMinio } from '../../deploy/servers.ts';
import { createRandom } from '../../detection/random.ts';
import type { ArtifactRef } from '../../plan/types.ts';
import { openRig, type StepRig, squaresDataset, stepContext } from './step-rig.ts';

const random = createRandom('damaged checkpoints');
const fingerprint = 'd'.repeat(64);
const prefix = `checkpoints/${fingerprint}/`;
const steps = 12;

let rig: StepRig;
let minio: RunningMinio;
let undisturbed: ArtifactRef;
let undisturbedChain: ArtifactRef;

/** A store with the three checkpoints that a training left when it was stopped, to be damaged and put back. */
interface Left {
  readonly store: Store;
  readonly parameters: TrainParameters;
  /** The oldest first. */
  readonly checkpoints: readonly {
    readonly key: string;
    readonly record: Buffer;
    readonly object: string;
    readonly bytes: Buffer;
    readonly step: number;
  }[];
  /** Leaves an object with other bytes than its name says. */
  overwrite(object: string, bytes: Buffer): Promise<void>;
}

const left: { folder?: Left; s3?: Left } = {};

beforeAll(async () => {
  enterTfProcess();
  rig = await openRig();
  minio = await startMinio({ dataDir: join(rig.folder, 'minio'), logFile: join(rig.folder, 'minio.log') });
  const { accessKey, secretKey, endpoint } = minio;
  const keys = { AWS_ENDPOINT_URL: endpoint, AWS_ACCESS_KEY_ID: accessKey, AWS_SECRET_ACCESS_KEY: secretKey };
  const { hostname, port } = new URL(endpoint);
  const client = new MinioClient({ endPoint: hostname, port: Number(port), useSSL: false, accessKey, secretKey });
  await client.makeBucket('lab');
  left.folder = await stoppedTraining(rig.store, async (object, bytes) => {
    const names = readdirSync(rig.store.url, { recursive: true }) as string[];
    writeFileSync(join(rig.store.url, names.find((name) => name.endsWith(object.slice(2)))!), bytes);
  });
  left.s3 = await stoppedTraining(await openS3Store('s3://lab/store', keys), async (object, bytes) => {
    await client.putObject('lab', `store/objects/${object.slice(0, 2)}/${object.slice(2)}`, bytes, bytes.length);
  });
  const { model, chain } = await train(stepContext(rig.store, { fingerprint: 'e'.repeat(64) }), left.folder.parameters);
  undisturbed = model;
  undisturbedChain = chain;
}, 180_000);

afterAll(async () => {
  await minio?.stop();
  await rig?.close();
});

async function stoppedTraining(store: Store, overwrite: Left['overwrite']): Promise<Left> {
  const { ref: dataset } = await squaresDataset(store, { train: 8, val: 0, test: 0 });
  const parameters: TrainParameters = {
    dataset,
    steps,
    batchSize: 4,
    imageSize: 64,
    depth: 0.33,
    width: 0.125,
    strides: [8, 16],
    checkpointEvery: 0,
  };
  const controller = new AbortController();
  const create = store.createRecord.bind(store);
  let created = 0;
  const spy = vi.spyOn(store, 'createRecord').mockImplementation((key, content) => {
    if (key.startsWith(prefix) && ++created === 5) controller.abort(new Error('The worker stops.'));
    return create(key, content);
  });
  const attempt = train(stepContext(store, { fingerprint, signal: controller.signal }), parameters);
  await expect(attempt).rejects.toThrow('The worker stops.');
  spy.mockRestore();
  const keys = (await store.listRecords(prefix)).slice(-3);
  const checkpoints = await Promise.all(
    keys.map(async (key) => {
      const record = (await store.readRecord(key))!;
      const { object, step } = JSON.parse(record.toString()) as CheckpointRecord;
      return { key, record, object, step, bytes: (await store.getObject(object))! };
    }),
  );
  return { store, parameters, checkpoints, overwrite };
}

/** As when it was stopped. */
async function putBack({ store, checkpoints }: Left): Promise<void> {
  for (const key of await store.listRecords(prefix)) await store.removeRecord(key);
  for (const { key, record, object, bytes } of checkpoints) {
    await store.removeObject(object);
    await store.putObject(bytes);
    await store.createRecord(key, record);
  }
}

const cut = (bytes: Buffer): Buffer => bytes.subarray(0, random.int(bytes.length));

type Damage = readonly [
  what: string,
  where: 'folder' | 's3',
  fallsBackBy: number,
  damage: (left: Left) => Promise<void>,
];

const cutObject = async ({ checkpoints, overwrite }: Left, fromEnd: number): Promise<void> => {
  const { object, bytes } = checkpoints.at(-fromEnd)!;
  await overwrite(object, cut(bytes));
};
const removeNewest = ({ store, checkpoints }: Left) => store.removeObject(checkpoints.at(-1)!.object);
const removeNewestAndCutNext = async (stopped: Left): Promise<void> => {
  await removeNewest(stopped);
  await cutObject(stopped, 2);
};

const damages: readonly Damage[] = [
  ['cut off at a random byte', 'folder', 1, (stopped) => cutObject(stopped, 1)],
  ['empty', 'folder', 1, ({ checkpoints, overwrite }) => overwrite(checkpoints.at(-1)!.object, Buffer.alloc(0))],
  [
    'of the right length with one other bit',
    'folder',
    1,
    async ({ checkpoints, overwrite }) => {
      const { object, bytes } = checkpoints.at(-1)!;
      const changed = Buffer.from(bytes);
      changed[random.int(changed.length)]! ^= 1 << random.int(8);
      await overwrite(object, changed);
    },
  ],
  ['named by its record but gone', 'folder', 1, removeNewest],
  [
    'whole, but its record is cut off at a random byte',
    'folder',
    1,
    async ({ store, checkpoints }) => {
      const { key, record } = checkpoints.at(-1)!;
      await store.writeRecord(key, cut(record));
    },
  ],
  ['gone, and the one before cut off', 'folder', 2, removeNewestAndCutNext],
  ['cut off at a random byte', 's3', 1, (stopped) => cutObject(stopped, 1)],
  ['named by its record but gone', 's3', 1, removeNewest],
];

test.each(damages)(
  'the newest checkpoint %s (%s): the training goes on from one before, to the same bytes',
  async (_, where, fallsBackBy, damage) => {
    const stopped = left[where]!;
    await putBack(stopped);
    await damage(stopped);
    const context = stepContext(stopped.store, { fingerprint });
    const { model, chain } = await train(context, stopped.parameters);
    expect(context.said.resumed).toEqual([{ step: stopped.checkpoints.at(-1 - fallsBackBy)!.step, exact: true }]);
    expect(model.digest).toBe(undisturbed.digest);
    expect(chain).toEqual(undisturbedChain);
  },
  120_000,
);

test('with all checkpoints damaged the training begins anew, to the same bytes', async () => {
  const stopped = left.folder!;
  await putBack(stopped);
  for (const { object, bytes } of stopped.checkpoints) await stopped.overwrite(object, cut(bytes));
  const context = stepContext(stopped.store, { fingerprint });
  const { model, chain } = await train(context, stopped.parameters);
  expect(context.said.resumed).toEqual([]);
  expect(model.digest).toBe(undisturbed.digest);
  expect(chain).toEqual(undisturbedChain);
}, 120_000);

test('with checkpoints of another kind of CPU the training goes on, and does not say that it is exact', async () => {
  const stopped = left.folder!;
  await putBack(stopped);
  for (const { key, record } of stopped.checkpoints) {
    const read = JSON.parse(record.toString()) as CheckpointRecord;
    const elsewhere = { ...read, environment: { ...read.environment, cpu: 'another kind' } };
    await stopped.store.writeRecord(key, Buffer.from(JSON.stringify(elsewhere)));
  }
  const context = stepContext(stopped.store, { fingerprint });
  await train(context, stopped.parameters);
  expect(context.said.resumed).toEqual([{ step: stopped.checkpoints.at(-1)!.step, exact: false }]);
}, 120_000);

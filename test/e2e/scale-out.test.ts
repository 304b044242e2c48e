/** Workers of several processes, started by hand against one Temporal and one bucket: they come, go, and lose both servers. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client as MinioClient } from 'minio';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readStepRecords } from '../../artifacts/run-record.ts';
import { openS3Store } from '../../artifacts/s3-store.ts';
import { type Store, StoreUnavailableError } from '../../artifacts/store.ts';
import { type RunningMinio, type RunningServer, startMinio, startTemporalDevServer } from '../../deploy/servers.ts';
import type { StepRecord } from '../../plan/types.ts';
import { type RunningCommand, runCommand, startCommand } from '../cli/command.ts';
import { eventually } from '../rig.ts';

// What takes a whole machine goes to `train`; here it is light, but as long as a short training.
const pipeline = `name: wide
steps:
  data: { uses: synthesize, with: { images: 12, imageSize: 64 } }
  wide:
    matrix: { size: [64, 72, 80, 88, 96, 104, 112, 120] }
    uses: synthesize
    needs: [data]
    queue: train
    with: { images: 110, imageSize: "\${{ matrix.size }}" }
`;

let folder: string;
let minio: RunningMinio;
let temporal: RunningServer;
let store: Store;
let environment: { readonly [name: string]: string };
const workers: RunningCommand[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-scale-'));
  writeFileSync(join(folder, 'wide.yaml'), pipeline);
  [minio, temporal] = await Promise.all([startBucket(), startTemporal()]);
  const { accessKey, secretKey, address, endpoint } = minio;
  const [host = '', port = ''] = address.split(':');
  await new MinioClient({ endPoint: host, port: Number(port), useSSL: false, accessKey, secretKey }).makeBucket('lab');
  environment = {
    TEMPORAL_ADDRESS: temporal.address,
    HARDCASE_STORE: 's3://lab/hardcase',
    AWS_ENDPOINT_URL: endpoint,
    AWS_ACCESS_KEY_ID: accessKey,
    AWS_SECRET_ACCESS_KEY: secretKey,
    AWS_REGION: 'us-east-1',
  };
  store = await openS3Store('s3://lab/hardcase', environment);
});

afterAll(async () => {
  for (const { child, outcome } of workers) {
    child.kill('SIGKILL');
    await outcome;
  }
  await temporal?.stop();
  await minio?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const startTemporal = (port?: number) =>
  startTemporalDevServer({ logFile: join(folder, 'temporal.log'), dbFile: join(folder, 'temporal.db'), port });

const startBucket = (again: Partial<RunningMinio> & { readonly port?: number } = {}) => {
  const { port, accessKey, secretKey } = again;
  return startMinio({ dataDir: join(folder, 'minio'), logFile: join(folder, 'minio.log'), port, accessKey, secretKey });
};

const portOf = ({ address }: RunningServer) => Number(address.split(':')[1]);

async function startWorker(queues: string, ...flags: string[]): Promise<RunningCommand> {
  const worker = startCommand(folder, ['worker', '--queues', queues, ...flags], environment);
  workers.push(worker);
  await worker.until(/Working for/);
  return worker;
}

const legs = async () => (await readStepRecords(store, 'wide')).filter(({ path }) => path.startsWith('wide['));
const workerOf = ({ attempts = [] }: StepRecord) => attempts.at(-1)?.worker ?? '';
const pidOf = (leg: StepRecord) => Number(workerOf(leg).split('@')[0]);
const runsOn = (worker: RunningCommand) =>
  eventually(
    async () => (await legs()).some((leg) => leg.state === 'running' && pidOf(leg) === worker.child.pid),
    60_000,
  );

test('a run ends as it should while workers join and leave, one is killed, and Temporal and the bucket are away', async () => {
  const [, , first, second] = await Promise.all([
    startWorker('workflows'),
    startWorker('cpu', '--slots', 'cpu=2'),
    startWorker('train'),
    startWorker('train', '--memory', '95'),
  ]);
  const run = startCommand(folder, ['run', 'wide.yaml', '--run', 'wide'], environment);
  await Promise.all([runsOn(first), runsOn(second)]);
  // One training at a time on each.
  expect((await legs()).filter(({ state }) => state === 'running').length).toBeLessThanOrEqual(2);

  first.child.kill('SIGKILL');
  // A power cut of the machine with both servers, while all three kinds of workers are at work.
  for (const server of [temporal, minio]) {
    server.kill();
    await server.stop();
  }
  expect(await legs().catch((error: Error) => error)).toBeInstanceOf(StoreUnavailableError);
  [temporal, minio] = await Promise.all([
    startTemporal(portOf(temporal)),
    startBucket({ ...minio, port: portOf(minio) }),
  ]);
  const third = await startWorker('train');
  await runsOn(third);
  second.child.kill('SIGTERM');
  expect((await second.outcome).code).toBe(130);

  expect(await run.outcome).toMatchObject({ code: 0 });
  const ended = await legs();
  expect(ended.map(({ state }) => state)).toEqual(Array.from({ length: 8 }, () => 'done'));
  // The worker that joined may have ended all of them; the others had some under way.
  const attempts = ended.flatMap((leg) => leg.attempts ?? []);
  expect(new Set(attempts.map(({ worker }) => worker)).size).toBeGreaterThanOrEqual(2);
  expect(attempts.some(({ outcome }) => outcome === 'lost')).toBe(true);
  expect(await runCommand(folder, ['verify', 'wide'], environment)).toMatchObject({ code: 0 });
}, 240_000);

test('a worker is refused whose store is a folder, beside those of a bucket; and whose words are none', async () => {
  const other = runCommand(folder, ['worker', '--queues', 'train'], {
    ...environment,
    HARDCASE_STORE: join(folder, 'own'),
  });
  const wrong = runCommand(folder, ['worker', '--slots', 'gpu=1'], environment);
  expect(await other).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('serves the same queues with another one'),
  });
  expect(await wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('Expected QUEUE=NUMBER') });
});

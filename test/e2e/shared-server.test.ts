/** What `hardcase worker` and `hardcase builds` do for a Temporal server that others share: builds, compiled workflows, memory. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { AnyStepImplementation } from '../../activities/context.ts';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { readRun } from '../../artifacts/run-record.ts';
import type { Store } from '../../artifacts/store.ts';
import { placeOfStore, workerIdentity } from '../../cli/other-workers.ts';
import { makeCurrent } from '../../deploy/builds.ts';
import { type RunningServer, startTemporalDevServer } from '../../deploy/servers.ts';
import { type RunningWorker, startWorker, type WorkerSettings } from '../../deploy/worker.ts';
import { type RunningCommand, runCommand, startCommand } from '../cli/command.ts';
import { eventually, installRuntimeOnce, startRun } from '../rig.ts';
import { activity, testEnvironment, testQueuePrefix } from '../small-plans.ts';

const ask = `name: ask
params: { least: { type: integer, default: 3 } }
steps:
  ok: { approve: { message: "At least \${{ params.least }}?", form: { properties: { go: { type: integer } }, required: [go] } } }
`;

let folder: string;
let temporal: RunningServer;
let connection: Connection;
let client: Client;
let store: Store;
const commands: RunningCommand[] = [];
const workers: RunningWorker[] = [];

beforeAll(async () => {
  installRuntimeOnce();
  folder = mkdtempSync(join(tmpdir(), 'hardcase-shared-'));
  writeFileSync(join(folder, 'ask.yaml'), ask);
  temporal = await startTemporalDevServer({ logFile: join(folder, 'temporal.log') });
  connection = await Connection.connect({ address: temporal.address });
  client = new Client({ connection });
  store = await openFolderStore(join(folder, 'store'));
});

afterEach(async () => {
  for (const { child, outcome } of commands.splice(0)) {
    child.kill('SIGKILL');
    await outcome;
  }
  for (const worker of workers.splice(0)) await worker.shutdown();
});

afterAll(async () => {
  await connection?.close();
  await temporal?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Each test has queues of its own. */
function at(queue: string) {
  const environment = {
    TEMPORAL_ADDRESS: temporal.address,
    HARDCASE_STORE: join(folder, 'store'),
    HARDCASE_QUEUE: queue,
  };
  return {
    start: (...words: string[]): RunningCommand => {
      const command = startCommand(folder, words, environment);
      commands.push(command);
      return command;
    },
    hardcase: (...words: string[]) => runCommand(folder, words, environment),
  };
}

async function startOwnWorker(settings: Partial<WorkerSettings>): Promise<RunningWorker> {
  const worker = await startWorker({
    connection: { address: temporal.address },
    namespace: 'default',
    store,
    queuePrefix: testQueuePrefix,
    queues: ['workflows', 'cpu'],
    describeEnvironment: async () => testEnvironment,
    ...settings,
  });
  workers.push(worker);
  return worker;
}

test('`builds` shows the builds of a server, gives one the runs that begin, and moves a run that an old one began', async () => {
  const { start, hardcase } = at('builds');
  expect(await hardcase('builds')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('No worker of the queues builds-* has been there with a build.'),
  });
  // The same workflows, so that what they did replays; as a release before would have started them.
  const old = { deploymentName: 'builds', buildId: '0.0.1-old' };
  const oldWorker = await startOwnWorker({
    queuePrefix: 'builds',
    queues: ['workflows', 'cpu', 'train'],
    deployment: old,
  });
  const server = { connection, client, namespace: 'default' };
  await eventually(async () => (await makeCurrent(server, old)) === null, 60_000);
  const run = start('run', 'ask.yaml', '--run', 'moving');
  await run.until(/ok {2}waiting/);
  expect(await hardcase('builds', '--move', 'moving')).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/--move: no worker of this build, .*, has been there\. Start one first: /),
  });

  const worker = start('worker', '--versioned');
  const said = await worker.until(
    /Runs that begin go to build 0\.0\.1-old; to have them come here: .*builds --current/,
  );
  const [, present = ''] = /Build (\S+): its runs stay with it/.exec(said) ?? [];
  const stateOf = async () =>
    JSON.parse((await hardcase('builds', '--json')).stdout) as { buildId: string; state: string }[];
  expect((await stateOf()).map(({ buildId, state }) => [buildId, state]).sort()).toEqual(
    [
      ['0.0.1-old', 'current'],
      [present, 'waiting'],
    ].sort(),
  );
  expect(await hardcase('builds', '--current', 'nowhere')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('--current: the server knows no build "nowhere". It knows '),
  });
  // Its workers may not have reached the server with all their queues.
  await eventually(async () => (await hardcase('builds', '--current', present)).code === 0, 60_000);
  const words = (await hardcase('builds')).stdout;
  expect(words).toMatch(new RegExp(`${present} +current: runs that begin go here`));
  expect(words).toMatch(/0\.0\.1-old +/);

  const moved = await hardcase('builds', '--move', 'moving', '--json');
  expect(JSON.parse(moved.stdout)).toEqual({ run: 'moving', build: present, moved: ['hardcase:moving'], stay: [] });
  // Only the new build is left to go on with it.
  await oldWorker.shutdown();
  expect((await hardcase('review', 'decide', 'moving', 'ok', 'go=3', '--by', 'ada')).code).toBe(0);
  expect((await run.outcome).code).toBe(0);
  expect(await hardcase('builds', '--move', 'moving')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('--move: the run moving is done, so nothing of it goes on.'),
  });
}, 240_000);

test('`worker --workflows` runs a compiled pipeline in place of the interpreter, and refuses a run of another plan', async () => {
  const { start, hardcase } = at('compiled');
  expect((await hardcase('compile', 'ask.yaml', '--out', 'ask.ts')).code).toBe(0);
  const worker = start('worker', '--workflows', 'ask.ts');
  await worker.until(/Working for/);
  const run = start('run', 'ask.yaml', '--run', 'compiled');
  await run.until(/ok {2}waiting/);
  writeFileSync(join(folder, 'more.yaml'), `${ask}  later: { needs: [ok], uses: synthesize, with: { images: 8 } }\n`);
  const upgrade = await hardcase('run', 'more.yaml', '--run', 'compiled', '--upgrade');
  expect(upgrade.stderr).toMatch(
    /it has a compiled workflow.*compile more\.yaml --out compiled\.ts; .*run more\.yaml --new/,
  );
  expect(upgrade.code).toBe(1);
  expect((await hardcase('review', 'decide', 'compiled', 'ok', 'go=5', '--by', 'ada')).code).toBe(0);
  expect((await run.outcome).code).toBe(0);
  const { steps } = JSON.parse((await hardcase('status', 'compiled', '--json')).stdout);
  expect(steps).toMatchObject([{ path: 'ok', state: 'done', outputs: { go: 5, by: 'ada' } }]);

  // The interpreter would run it: that it is refused shows who ran the first.
  const other = await hardcase('run', 'ask.yaml', '-p', 'least=4', '--run', 'other');
  expect(other.code).not.toBe(0);
  expect(other.stdout + other.stderr).toMatch(/compile/);
}, 240_000);

test('a worker and a run with a folder are refused beside a worker of another machine, and told why', async () => {
  const { hardcase } = at('hosts');
  const place = await placeOfStore(store);
  const there = (pid: number) => workerIdentity({ ...place, host: 'there', boot: 'another' }).replace(/^\d+/, `${pid}`);
  await startOwnWorker({ queuePrefix: 'hosts', identity: there(7) });
  const [worker, run] = await Promise.all([hardcase('worker'), hardcase('run', 'ask.yaml', '--run', 'nowhere')]);
  expect(worker).toMatchObject({
    code: 2,
    stderr: expect.stringContaining(
      `The store is the folder ${place.store} of this machine (${place.host}), and 7@there serves the same queues from another machine. A folder is no store`,
    ),
  });
  expect(run).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('7@there works for this server from another machine. A folder is no store'),
  });
  // Nobody would work for it.
  expect(await readRun(store, 'nowhere')).toBeNull();

  // Two that start at the same moment do not see each other at first.
  const other = at('hosts-race');
  const first = other.start('worker');
  await first.until(/Working for/);
  await startOwnWorker({ queuePrefix: 'hosts-race', identity: there(0) });
  expect(await first.outcome).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('0@there serves the same queues from another machine.'),
  });
}, 240_000);

test('a worker begins no second step while more memory is in use than `--memory` allows, and goes on one by one', async () => {
  let running = 0;
  let most = 0;
  /** Ends once another runs beside it, or after a while. */
  const meet =
    (patienceMs: number): AnyStepImplementation =>
    async () => {
      running++;
      most = Math.max(most, running);
      for (let waited = 0; waited < patienceMs && most < 2; waited += 50) await sleep(50);
      running--;
      return {};
    };
  await startOwnWorker({});
  const steps = ['a', 'b', 'c'].map((id) => activity(id, 'big', { queue: 'train' }));
  const limits = { queues: ['train'], slots: { train: 3 } };

  // Some of any machine's memory is in use, so that the limit is passed from the start.
  const tight = await startOwnWorker({ ...limits, memoryMax: 0.001, implementations: { big: meet(400) } });
  expect(await (await startRun(client, store, 'tight', { steps })).result()).toEqual({ state: 'done' });
  expect(most).toBe(1);
  await tight.shutdown();

  await startOwnWorker({ ...limits, implementations: { big: meet(60_000) } });
  const wide = await startRun(client, store, 'wide', { steps: steps.map((step) => ({ ...step, version: 2 })) });
  expect(await wide.result()).toEqual({ state: 'done' });
  expect(most).toBeGreaterThan(1);
}, 240_000);

/** Servers of its own, on which one schedule after another is run and looked at afterwards. */

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { verifyRun } from '../../activities/verify-run.ts';
import { loadJson } from '../../artifacts/codecs.ts';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { findGarbage, removeGarbage } from '../../artifacts/garbage.ts';
import { listGates, readDecisions } from '../../artifacts/gate-record.ts';
import { createRun, readRun, readStepRecords } from '../../artifacts/run-record.ts';
import { openS3Store } from '../../artifacts/s3-store.ts';
import type { Store } from '../../artifacts/store.ts';
import { isRunning } from '../../deploy/servers.ts';
import { createRandom } from '../../detection/random.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import type { Json, Plan } from '../../plan/types.ts';
import { workflowIdOf } from '../../workflows/messages.ts';
import { type ChaosCommand, followWithCommand } from './command.ts';
import { openHttpProxy } from './http-proxy.ts';
import { chaosPlan, gates } from './pipeline.ts';
import { type Reviewer, startReviewer, verdictOn } from './reviewer.ts';
import type { Mishap, Client as Party, Schedule } from './schedule.ts';
import { bucket, startChaosServers } from './servers.ts';
import { openTcpProxy, type TcpProxy } from './tcp-proxy.ts';
import { type ChaosWorkers, startChaosWorkers } from './workers.ts';

/** What a run must leave, whatever happened to it. */
export interface Calm {
  /** Outputs of each step; digests, and numbers. */
  readonly outputs: { readonly [path: string]: Json };
  readonly candidates: ReadonlyMap<string, readonly string[]>;
}

export interface Outcome {
  readonly seed: number;
  readonly seconds: number;
  /** Empty: all is as it should be. */
  readonly problems: readonly string[];
  readonly left: Calm | null;
}

export interface Lane {
  run(schedule: Schedule, expected: Calm | null): Promise<Outcome>;
  close(): Promise<void>;
}

/** What nothing disturbs, to compare with. */
export const calmSchedule: Schedule = {
  seed: 0,
  store: 'folder',
  mishaps: [],
  early: [],
  repeats: 1,
  startedTwice: false,
};

/** Ten times what a calm run takes on an idle machine, and more: machines are shared. */
const runMaxMs = 900_000;

export async function openLane(): Promise<Lane> {
  const folder = mkdtempSync(join(tmpdir(), 'hardcase-chaos-'));
  const servers = await startChaosServers(folder);
  const address = `127.0.0.1:${servers.temporalPort}`;
  // On a busy machine the server may not answer for a while.
  const connection = await Connection.connect({ address, connectTimeout: '2 minutes' });
  const client = new Client({ connection });
  const { plan, source } = chaosPlan();
  const http = await openHttpProxy(servers.minioPort);
  const storeNetwork = await openTcpProxy(http.port);
  const keysOf = (port: number) => ({
    AWS_ENDPOINT_URL: `http://127.0.0.1:${port}`,
    AWS_ACCESS_KEY_ID: servers.minio.accessKey,
    AWS_SECRET_ACCESS_KEY: servers.minio.secretKey,
  });
  const commandNetwork = await openTcpProxy(servers.temporalPort);
  const environment = { ...process.env, ...keysOf(storeNetwork.port) };
  const storesFile = join(folder, 'stores.json');
  const workers = await startChaosWorkers({
    folder,
    temporalPort: servers.temporalPort,
    storesFile,
    queue,
    environment,
  });
  const pids = servers.pids();
  const places: { [run: string]: string } = {};

  const runSchedule = async (schedule: Schedule, expected: Calm | null): Promise<Outcome> => {
    const beganAt = Date.now();
    const run = `chaos-${schedule.seed}`;
    const random = createRandom(`network ${schedule.seed}`);
    const isFolder = schedule.store === 'folder';
    const storeUrl = isFolder ? join(folder, run) : `s3://${bucket}/${run}`;
    const store = isFolder ? await openFolderStore(storeUrl) : await openS3Store(storeUrl, keysOf(servers.minioPort));
    places[run] = storeUrl;
    writeFileSync(storesFile, JSON.stringify(places));
    const problems: string[] = [];
    const timers: NodeJS.Timeout[] = [];
    const later = (ms: number, act: () => unknown): void => {
      const told = async () => act();
      timers.push(setTimeout(() => told().catch((error: unknown) => problems.push(String(error))), ms));
    };
    let serversBack: Promise<unknown> = Promise.resolve();
    let workersBack: Promise<unknown> = Promise.resolve();
    const revive = async (): Promise<void> => {
      serversBack = serversBack.catch(() => undefined).then(() => servers.revive());
      // After them, because a worker that finds no server ends; but never before them in one queue: a server that is killed
      // while a worker starts must come back for the worker to get anywhere.
      const back = serversBack;
      workersBack = workersBack
        .catch(() => undefined)
        .then(() => back)
        .then(() => workers.revive());
      await workersBack;
    };
    const commands: ChaosCommand[] = [];
    const scene = {
      workers,
      servers,
      http,
      storeNetwork,
      commandNetwork,
      commands,
      store,
      random: () => random.next(),
      later,
      revive,
    };
    let reviewer: Reviewer | null = null;
    try {
      await revive();
      await prepareRun(store, run, plan, source);
      const command = () =>
        followWithCommand({
          folder: join(folder, 'command'),
          address: `127.0.0.1:${commandNetwork.port}`,
          store: storeUrl,
          queue,
          run,
          environment,
        });
      commands.push(command(), ...(schedule.startedTwice ? [command()] : []));
      const handle = client.workflow.getHandle(workflowIdOf(run));
      reviewer = startReviewer(store, run, handle, schedule, expected?.candidates ?? new Map());
      for (const { atMs, mishap } of schedule.mishaps) later(atMs, () => befall(mishap, scene));
      const state = await endOf(client, run);
      // What has not come by now would hit nothing.
      for (const timer of timers) clearTimeout(timer);
      await calmDown(scene);
      if (state !== 'COMPLETED') problems.push(`the workflow is ${state}`);
      problems.push(...(await reviewer.stop()));
      for (const command of commands) problems.push(...(await command.end()));
      // A worker that was stopped comes back, late, and says what it has to say.
      if (schedule.mishaps.some(({ mishap }) => mishap.what === 'stop-worker')) await sleep(lateMs);
      problems.push(...(await troublesOf(store, run)));
      const left = await leftBy(store, run);
      if (expected !== null) problems.push(...differences(expected, left));
      if (isFolder) problems.push(...(await leftovers(storeUrl)));
      return { seed: schedule.seed, seconds: (Date.now() - beganAt) / 1000, problems, left };
    } catch (error) {
      problems.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
      return { seed: schedule.seed, seconds: (Date.now() - beganAt) / 1000, problems, left: null };
    } finally {
      for (const timer of timers) clearTimeout(timer);
      for (const command of commands) command.abandon();
      await calmDown(scene).catch(() => undefined);
      await reviewer?.stop();
      if (isFolder && problems.length === 0) rmSync(storeUrl, { recursive: true, force: true, maxRetries: 5 });
    }
  };

  return {
    run: runSchedule,
    async close() {
      const problems = await workers.stop();
      await storeNetwork.close();
      await commandNetwork.close();
      await http.close();
      await connection.close();
      pids.push(...servers.pids());
      await servers.close();
      const orphans = pids.filter(isRunning);
      if (orphans.length > 0) problems.push(`servers are left: ${orphans.join(', ')}`);
      rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
      if (problems.length > 0) throw new Error(problems.join('\n'));
    },
  };
}

const queue = 'chaos';
const lateMs = 1_500;

/** Everything works again, and what was killed is there. */
async function calmDown(scene: Scene): Promise<void> {
  const { workers, servers, http, storeNetwork, commandNetwork, commands, revive } = scene;
  for (const command of commands) command.pause(false);
  commandNetwork.mend();
  for (const worker of [0, 1]) {
    workers.pause(worker, false);
    workers.setFaults(worker, {});
    workers.networks[worker]!.mend();
  }
  servers.pauseTemporal(false);
  servers.pauseMinio(false);
  storeNetwork.mend();
  http.mend();
  await revive();
}

interface Scene {
  readonly workers: ChaosWorkers;
  readonly servers: Awaited<ReturnType<typeof startChaosServers>>;
  readonly http: Awaited<ReturnType<typeof openHttpProxy>>;
  /** Between everybody and the store. */
  readonly storeNetwork: TcpProxy;
  /** Between the commands and the Temporal server. */
  readonly commandNetwork: TcpProxy;
  /** Each is `hardcase run` of the same run. */
  readonly commands: readonly ChaosCommand[];
  readonly store: Store;
  readonly random: () => number;
  later(ms: number, act: () => unknown): void;
  revive(): Promise<void>;
}

async function befall(mishap: Mishap, scene: Scene): Promise<void> {
  const { workers, servers, http, storeNetwork, commands, store, random, later, revive } = scene;
  switch (mishap.what) {
    case 'kill-worker':
      workers.kill(mishap.worker);
      later(300, revive);
      return;
    case 'stop-worker':
      workers.pause(mishap.worker, true);
      later(mishap.forMs, () => workers.pause(mishap.worker, false));
      return;
    case 'kill-command':
      for (const command of commands) command.kill();
      return;
    case 'stop-command':
      for (const command of commands) command.pause(true);
      later(mishap.forMs, () => {
        for (const command of commands) command.pause(false);
      });
      return;
    case 'kill-temporal':
      servers.killTemporal();
      later(mishap.forMs, revive);
      return;
    case 'forget-temporal':
      servers.forgetTemporal();
      later(mishap.forMs, revive);
      return;
    case 'stop-temporal':
      servers.pauseTemporal(true);
      later(mishap.forMs, () => servers.pauseTemporal(false));
      return;
    case 'kill-minio':
      servers.killMinio();
      later(mishap.forMs, revive);
      return;
    case 'stop-minio':
      servers.pauseMinio(true);
      later(mishap.forMs, () => servers.pauseMinio(false));
      return;
    case 'cut': {
      const network = networkOf(mishap.whose, scene);
      network.cut();
      later(mishap.forMs, () => network.mend());
      return;
    }
    case 'slow': {
      const network = networkOf(mishap.whose, scene);
      network.slow(mishap.ms);
      later(mishap.forMs, () => network.mend());
      return;
    }
    case 'cut-store':
      storeNetwork.cut();
      later(mishap.forMs, () => storeNetwork.mend());
      return;
    case 's3':
      http.break(mishap.fault, random);
      later(mishap.forMs, () => http.mend());
      return;
    case 'disk-full':
      workers.setFaults(mishap.worker, { full: true });
      later(mishap.forMs, () => workers.setFaults(mishap.worker, {}));
      return;
    case 'clock':
      workers.setFaults(mishap.worker, { clock: mishap.byMs });
      later(mishap.forMs, () => workers.setFaults(mishap.worker, {}));
      return;
    case 'collect': {
      const rules = { olderThanMs: null, keep: new Set<string>(), graceMs: mishap.graceMs };
      // A store that is away ends a collection as it would end the command.
      await findGarbage(store, rules)
        .then((found) => removeGarbage(store, rules, found))
        .catch(() => undefined);
    }
  }
}

function networkOf(whose: Party, { workers, commandNetwork }: Scene): TcpProxy {
  return whose === 'command' ? commandNetwork : workers.networks[whose === 'worker 0' ? 0 : 1]!;
}

/** As a fork: then the command takes the plan that stands in the store, whose heartbeats are quicker than those of any file. */
async function prepareRun(store: Store, run: string, plan: Plan, source: string): Promise<void> {
  const planDigest = await store.putObject(Buffer.from(canonicalJson(plan as unknown as Json)));
  const createdAt = new Date().toISOString();
  const sourceDigest = await store.putObject(Buffer.from(source));
  const { pipeline, params } = plan;
  const fork = { run: 'chaos', from: 'data', params: {} };
  await createRun(store, {
    run,
    pipeline,
    planDigest,
    source: sourceDigest,
    file: 'chaos.yaml',
    params,
    createdAt,
    fork,
  });
}

/** Asked again and again, because the server goes and comes. */
async function endOf(client: Client, run: string): Promise<string> {
  const deadline = Date.now() + runMaxMs;
  let state = 'unknown';
  while (Date.now() < deadline) {
    const asked = await Promise.race([
      client.workflow
        .getHandle(workflowIdOf(run))
        .describe()
        .catch(() => null),
      new Promise<null>((resolve) => setTimeout(() => resolve(null), 5_000)),
    ]);
    state = asked?.status.name ?? state;
    if (asked !== null && state !== 'RUNNING') return state;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  return `${state} after ${runMaxMs / 1000} s`;
}

/** What `verify` finds, and decisions that are not as they were made. */
async function troublesOf(store: Store, run: string): Promise<string[]> {
  const { checks } = await verifyRun(store, (await readRun(store, run))!);
  const problems = checks.flatMap((check) => check.problems.map(({ where, what }) => `${where}: ${what}`));
  for (const gate of await listGates(store, run)) {
    const asked = await loadJson(store, 'candidates', gate.candidates);
    const decisions = await readDecisions(store, run, gate.path);
    for (const { id } of asked) {
      const made = decisions.filter(({ candidateId }) => candidateId === id);
      if (made.length !== 1) problems.push(`${gate.path}: candidate ${id} has ${made.length} decisions`);
      else if (made[0]!.verdict !== verdictOn(id).verdict)
        problems.push(`${gate.path}: the decision about ${id} is another one`);
    }
  }
  return problems;
}

async function leftBy(store: Store, run: string): Promise<Calm> {
  const outputs: { [path: string]: Json } = {};
  for (const record of await readStepRecords(store, run)) {
    // When decisions were made is part of the corrections; what they did is in the dataset.
    const { corrections: _, ...rest } = record.outputs ?? {};
    outputs[record.path] = { state: record.state, ...rest };
  }
  const candidates = new Map<string, readonly string[]>();
  for (const gate of gates) {
    const record = (await listGates(store, run)).find(({ path }) => path === gate);
    if (record !== undefined)
      candidates.set(
        gate,
        (await loadJson(store, 'candidates', record.candidates)).map(({ id }) => id),
      );
  }
  return { outputs, candidates };
}

function differences(expected: Calm, left: Calm): string[] {
  const paths = [...new Set([...Object.keys(expected.outputs), ...Object.keys(left.outputs)])];
  return paths
    .filter((path) => canonicalJson(expected.outputs[path] ?? null) !== canonicalJson(left.outputs[path] ?? null))
    .map(
      (path) =>
        `${path} left ${JSON.stringify(left.outputs[path])} instead of ${JSON.stringify(expected.outputs[path])}`,
    );
}

/** Files in the store's tmp/ once it is opened again: that takes away what killed writers left. */
async function leftovers(folder: string): Promise<string[]> {
  const place = join(folder, 'tmp');
  await openFolderStore(folder);
  // A worker that lives may be writing at this moment.
  for (let look = 0; look < 20 && readdirSync(place).length > 0; look++) await sleep(200);
  return readdirSync(place).map((name) => `a temporary file is left: ${name}`);
}

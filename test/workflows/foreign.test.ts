/** `activity:` steps on a real Temporal server: a worker that is not ours, with artifacts by reference and secrets. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { NativeConnection, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { withSecrets } from '../../activities/secrets.ts';
import { verifyRun } from '../../activities/verify-run.ts';
import { readRun } from '../../artifacts/run-record.ts';
import type { ForeignStep, Json } from '../../plan/types.ts';
import { retryName, workflowIdOf } from '../../workflows/messages.ts';
import { eventually, openRig, type Rig } from '../rig.ts';
import { activity, cel } from '../small-plans.ts';

let rig: Rig;
let foreign: { worker: Worker; running: Promise<void>; connection: NativeConnection };
/** What the program was called with, by run. */
const calls = new Map<string, { with: { [name: string]: Json }; seed: number; store: string; fingerprint: string }[]>();
const secret = `very-${'secret'.repeat(3)}-text`;

/** As a program of another team would be: it knows Temporal, the store's URL, and what it is given. */
const program = {
  trainYolo: async (argument: {
    run: string;
    path: string;
    with: { [name: string]: Json };
    seed: number;
    store: string;
    fingerprint: string;
  }) => {
    const { run } = argument;
    const before = calls.get(run) ?? [];
    calls.set(run, [...before, argument]);
    if (argument.with.fail === 'once' && before.length === 0)
      throw ApplicationFailure.retryable('No memory.', 'OutOfMemory');
    if (argument.with.fail === 'always') throw ApplicationFailure.retryable('No memory.', 'OutOfMemory');
    if (argument.with.fail === 'data') throw ApplicationFailure.nonRetryable('No images.', 'BadData');
    if (argument.with.fail === 'silent' && before.length === 0) await Context.current().sleep('1 hour');
    const weights = Buffer.from(`weights of ${JSON.stringify(argument.with.epochs)}`);
    const digest = await rig.store.putObject(weights);
    const model = { artifact: 'model', digest, bytes: weights.length };
    if (argument.with.give === 'less') return { model: { ...model, digest: '0'.repeat(64) } };
    return { model, score: 0.5 };
  },
  push: async ({ with: inputs, secrets }: { with: { [name: string]: Json }; secrets: readonly string[] }) => {
    const { token } = withSecrets(inputs, secrets, { HARDCASE_SECRET_HUB: secret });
    return { length: String(token).length };
  },
  /** Gives what looks like a secret. */
  tell: async () => ({ value: { $secret: 'OWN' } }),
  echo: async ({ with: { value }, secrets }: { with: { value: Json }; secrets: readonly string[] }) => ({
    value,
    secrets: secrets.length,
  }),
};

const train = (id: string, changes: Partial<ForeignStep> = {}): ForeignStep => ({
  type: 'foreign',
  id,
  kind: 'activity:trainYolo',
  activity: 'trainYolo',
  version: 1,
  needs: [],
  with: { epochs: 3 },
  outputs: { model: { artifact: 'model' }, score: 'number' },
  reuse: true,
  queue: 'pytorch',
  timeoutMs: 60_000,
  retry: { max: 2, initialMs: 10, factor: 1, maxMs: 10 },
  onFailure: 'hold',
  ...changes,
});

const steps = {
  note: async (_: StepContext, { value }: { value?: unknown }) => ({ value: value ?? 0 }),
  leaky: async (context: StepContext, { token, leak }: { token: string; leak: string }) => {
    await context.notice(`Asking with ${token}.`);
    if (leak === 'error') throw new Error(`The hub refuses ${token}.`, { cause: new Error(token) });
    return leak === 'output' ? { token } : { length: token.length };
  },
};

beforeAll(async () => {
  process.env.HARDCASE_SECRET_OWN = secret;
  rig = await openRig();
  await rig.startWorker(steps);
  const connection = await NativeConnection.connect({ address: rig.server.address });
  const worker = await Worker.create({ connection, taskQueue: 'pytorch', activities: program });
  foreign = { worker, connection, running: worker.run() };
});

afterAll(async () => {
  delete process.env.HARDCASE_SECRET_OWN;
  foreign?.worker.shutdown();
  await foreign?.running;
  await foreign?.connection.close();
  await rig?.close();
});

describe('an activity of another program', () => {
  test('gets its inputs, seed and store, and its outputs are those of the step', async () => {
    const handle = await rig.startRun('calls', {
      steps: [
        activity('a', 'note', { with: { value: 4 } }),
        train('b', { needs: ['a'], with: { epochs: cel('steps.a.value + 1') } }),
        activity('c', 'note', { needs: ['b'], with: { value: cel('steps.b.score * 2') } }),
      ],
    });
    await handle.result();
    expect(calls.get('calls')).toMatchObject([
      { run: 'calls', path: 'b', with: { epochs: 5 }, seed: expect.any(Number), store: rig.store.url },
    ]);
    expect(await rig.step('calls', 'b')).toMatchObject({
      kind: 'activity:trainYolo',
      state: 'done',
      reused: false,
      outputs: { score: 0.5, model: { artifact: 'model' } },
      attempts: [{ outcome: 'done' }],
    });
    expect((await rig.step('calls', 'c'))?.outputs?.value).toBe(1);
    const verified = await verifyRun(rig.store, (await readRun(rig.store, 'calls'))!);
    expect(verified.checks.find(({ name }) => name === 'steps')).toMatchObject({ problems: [] });
  });

  test('is not called again for the same inputs, and is for other outputs, another version, or without reuse', async () => {
    const run = async (name: string, changes: Partial<ForeignStep>) => {
      await (await rig.startRun(name, { steps: [train('b', { with: { epochs: 8 }, ...changes })] })).result();
      return `${(await rig.step(name, 'b'))?.reused} ${calls.get(name)?.length ?? 0}`;
    };
    expect(await run('reuse-1', {})).toBe('false 1');
    expect(await run('reuse-2', {})).toBe('true 0');
    expect(await run('reuse-3', { version: 2 })).toBe('false 1');
    expect(await run('reuse-4', { outputs: { score: 'number', model: 'any' } })).toBe('false 1');
    expect(await run('reuse-5', { reuse: false })).toBe('false 1');
  });

  test('is tried again by type, and held where it gives up', async () => {
    const again = await rig.startRun('again', { steps: [train('b', { with: { fail: 'once' } })] });
    await again.result();
    expect((await rig.step('again', 'b'))?.attempts).toMatchObject([
      { outcome: 'failed', error: 'No memory.' },
      { outcome: 'done' },
    ]);
    const handle = await rig.startRun('gives-up', {
      steps: [
        train('never', { with: { fail: 'always' }, retry: { max: 2, initialMs: 1, factor: 1, maxMs: 1 } }),
        train('except', {
          with: { fail: 'always', n: 1 },
          retry: { max: 9, initialMs: 1, factor: 1, maxMs: 1, except: ['OutOfMemory'] },
          onFailure: 'continue',
        }),
        train('data', { with: { fail: 'data' }, onFailure: 'continue' }),
      ],
    });
    await eventually(async () => (await readRun(rig.store, 'gives-up'))?.state.state === 'held');
    expect(await rig.step('gives-up', 'never')).toMatchObject({
      state: 'held',
      error: 'No memory. (the last of 2 failures)',
      errorType: 'OutOfMemory',
      attempts: [{ outcome: 'failed' }, { outcome: 'failed' }],
    });
    expect((await rig.step('gives-up', 'except'))?.attempts).toHaveLength(1);
    expect(await rig.step('gives-up', 'data')).toMatchObject({
      state: 'failed',
      error: 'No images.',
      errorType: 'BadData',
    });
    await handle.executeUpdate(retryName, { args: [{ by: 'Ann' }] });
    await eventually(async () => (calls.get('gives-up') ?? []).length >= 6);
    await handle.terminate();
  });

  test('that falls silent is lost, and tried again without counting that as a failure', async () => {
    const step = train('b', {
      with: { fail: 'silent' },
      heartbeatMs: 500,
      retry: { max: 1, initialMs: 1, factor: 1, maxMs: 1 },
    });
    await (await rig.startRun('silent', { steps: [step] })).result();
    expect((await rig.step('silent', 'b'))?.attempts).toMatchObject([{ outcome: 'lost' }, { outcome: 'done' }]);
  });

  test('that gives something else than it declares is held with every fault', async () => {
    const handle = await rig.startRun('other', { steps: [train('b', { with: { give: 'less' } })] });
    await eventually(async () => (await rig.step('other', 'b'))?.state === 'held');
    expect((await rig.step('other', 'b'))?.error).toBe(
      `The activity of b gave other outputs than it declares. "model" names the object ${'0'.repeat(64)}, which is not in ${rig.store.url}; expected { artifact: "model", digest, bytes }. "score" is missing; expected a number.`,
    );
    await handle.terminate();
  });

  test('that nobody serves is said in its record', async () => {
    const handle = await rig.startRun('nobody', { steps: [train('b', { queue: 'nowhere', with: { epochs: 77 } })] });
    expect(await eventually(async () => (await rig.step('nobody', 'b'))?.unserved)).toBe(
      'a worker: nobody serves the task queue "nowhere" (start the program that has the activity)',
    );
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow();
  });
});

const leaky = (id: string, leak: string, token: Json) =>
  activity(id, 'leaky', { with: { token, leak }, secrets: ['/token'], onFailure: 'continue' });

describe('a secret', () => {
  test('reaches the activity, and no history, store or log', async () => {
    const handle = await rig.startRun('secret', {
      steps: [
        train('push', {
          kind: 'activity:push',
          activity: 'push',
          with: { token: { $secret: 'HUB' } },
          secrets: ['/token'],
          outputs: { length: 'number' },
        }),
        train('header', {
          kind: 'activity:push',
          activity: 'push',
          needs: ['push'],
          with: { token: { $text: ['Bearer ', { $secret: 'HUB' }, ' ', { $: 'steps.push.length' }] } },
          secrets: ['/token'],
          outputs: { length: 'number' },
        }),
        leaky('own', 'none', { $secret: 'OWN' }),
        leaky('text', 'error', { $text: ['Bearer ', { $secret: 'OWN' }] }),
        leaky('part', 'output', { $text: ['Bearer ', { $secret: 'OWN' }] }),
        leaky('fails', 'error', { $secret: 'OWN' }),
        leaky('gives', 'output', { $secret: 'OWN' }),
        leaky('missing', 'none', { $secret: 'NOWHERE' }),
      ],
    });
    await handle.result();
    expect((await rig.step('secret', 'push'))?.outputs).toEqual({ length: secret.length });
    const length = `Bearer ${secret} ${secret.length}`.length;
    expect((await rig.step('secret', 'header'))?.outputs).toEqual({ length });
    expect((await rig.step('secret', 'own'))?.outputs).toEqual({ length: secret.length });
    expect((await rig.step('secret', 'text'))?.error).toBe('The hub refuses Bearer ***.');
    expect((await rig.step('secret', 'part'))?.errorType).toBe('SecretLeak');
    expect((await rig.step('secret', 'fails'))?.error).toBe('The hub refuses ***.');
    expect(await rig.step('secret', 'gives')).toMatchObject({
      errorType: 'SecretLeak',
      error: 'gives gave a secret among its outputs, where it would be recorded.',
    });
    expect((await rig.step('secret', 'missing'))?.error).toMatch(
      /^This worker has no value for the secret NOWHERE\. Set HARDCASE_SECRET_NOWHERE/,
    );
    const notices = (await readRun(rig.store, 'secret'))?.state.notices;
    expect(notices?.toSorted()).toEqual(['Asking with ***.', 'Asking with Bearer ***.']);

    const history = await rig.client.workflow.getHandle(workflowIdOf('secret')).fetchHistory();
    // Payloads are printed as base64.
    const payloads = JSON.stringify(history, (key, value) =>
      key === 'data' && typeof value === 'string' ? Buffer.from(value, 'base64').toString('utf8') : value,
    );
    expect([payloads.includes('$secret'), payloads.includes(secret)]).toEqual([true, false]);
    expect(filesWith(rig.folder, secret)).toEqual([]);
  });

  test('is not what a step gave that only looks like one, whoever is given that', async () => {
    const any = { value: 'any' } as const;
    const handle = await rig.startRun('looks', {
      steps: [
        train('tell', { activity: 'tell', with: {}, outputs: any }),
        activity('note', 'note', { needs: ['tell'], with: { value: cel('steps.tell.value') } }),
        train('echo', {
          activity: 'echo',
          needs: ['note'],
          with: { value: cel('steps.note.value') },
          outputs: { ...any, secrets: 'number' },
        }),
      ],
    });
    await handle.result();
    expect((await rig.step('looks', 'note'))?.outputs).toEqual({ value: { $secret: 'OWN' } });
    expect((await rig.step('looks', 'echo'))?.outputs).toEqual({ value: { $secret: 'OWN' }, secrets: 0 });
  });
});

/** The store, the server's database and its log. */
function filesWith(folder: string, text: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => readFileSync(path).includes(text));
}

/** A root that goes on in a new history while files with a `finally` of their own run, on a real server. */

import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { expect, test, vi } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { readRun } from '../../artifacts/run-record.ts';
import type { Form } from '../../plan/form.ts';
import type { PipelineStep, PlannedScope } from '../../plan/types.ts';
import { answerName, workflowIdOf } from '../../workflows/messages.ts';
import { eventually } from '../rig.ts';
import { rigOfFile } from '../rig-of-file.ts';
import { activity, approve, cel, fanOut, repeat } from '../small-plans.ts';

/** `RUN PATH VALUE` of each note, in order. */
const notes: string[] = [];
/** How often a step of kind `slow` began, by `RUN PATH`. */
const began = new Map<string, number>();
/** Runs whose steps of kind `slow` may end. */
const released = new Set<string>();

const steps = {
  note: async ({ run, path }: StepContext, { value }: { value?: unknown }) => {
    notes.push(`${run} ${path} ${String(value)}`);
    return { value: value ?? 0 };
  },
  slow: async ({ run, path, signal }: StepContext) => {
    began.set(`${run} ${path}`, (began.get(`${run} ${path}`) ?? 0) + 1);
    while (!released.has(run)) {
      signal.throwIfAborted();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return { value: 1 };
  },
};

const form: Form = { properties: { go: { type: 'boolean' } }, required: ['go'] };

const file = (id: string, scope: PlannedScope): PipelineStep => {
  return { type: 'pipeline', id, pipeline: 'file', needs: [], params: {}, scope, outputs: {} };
};

/** A file that makes something, then takes its time, and in the end tells how it went. `run` sets its results apart. */
const working = (run: string): PlannedScope => ({
  steps: [
    activity('made', 'note', { with: { value: 7, of: run } }),
    activity('slow', 'slow', { needs: ['made'], with: { of: run } }),
  ],
  finally: [
    activity('told', 'note', {
      with: { value: { $text: [cel('run.state'), ' ', cel('steps.made.value')] }, of: run },
      onFailure: 'fail',
    }),
  ],
});

const notesOf = (run: string) =>
  notes.filter((note) => note.startsWith(`${run} `)).map((note) => note.slice(run.length + 1));
const say = (handle: WorkflowHandle, name: string, message: object = {}) =>
  handle.executeUpdate<object, [object]>(name, { args: [{ by: 'ann', ...message }] });
const runIdOf = async (handle: WorkflowHandle) => (await handle.describe()).runId;
const isSlow = (run: string, path: string, times = 1) =>
  eventually(async () => (began.get(`${run} ${path}`) ?? 0) >= times);

/** People who pause and let go on, `times` times; a new history may begin just now. */
async function talk(handle: WorkflowHandle, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    for (const name of ['pause', 'resume']) {
      await eventually(() =>
        say(handle, name).catch(
          (error: { cause?: Error }) => /paused already|is not paused/.test(error.cause?.message ?? '') || undefined,
        ),
      );
    }
  }
}

/** People talk until the run goes on in another history than `before`. */
const talkUntilRenewed = (handle: WorkflowHandle, before: string) =>
  eventually(async () => {
    await talk(handle, 1);
    return (await runIdOf(handle)) !== before;
  }, 150_000);

/** Pauses a run with a gate `later` that is not open yet: in its new history it begins nothing. */
async function pausedAnew(run: string, handle: WorkflowHandle): Promise<void> {
  const first = await runIdOf(handle);
  await say(handle, 'pause');
  await eventually(async () => {
    // The same answer again counts as nothing, but makes the history longer.
    await say(handle, answerName, { gate: 'later', answer: { go: true } }).catch(() => undefined);
    return (await runIdOf(handle)) !== first;
  }, 150_000);
  await eventually(async () => (await readRun(rig.store, run))?.state.state === 'paused');
}

const rig = rigOfFile(steps);

test('stops files of any depth without their ends, which run once when the files have come to their end', async () => {
  const run = 'deep';
  const handle = await rig.startRun(
    run,
    {
      steps: [
        file('own', working(run)),
        repeat('rounds', [file('fit', { steps: [file('inner', working(run))], finally: [] })]),
        fanOut('legs', [file('', working(run))], { legs: { forEach: [1, 2] } }),
      ],
    },
    { renewAfter: 60 },
  );
  const paths = ['own', 'rounds[1].fit.inner', 'legs[1]', 'legs[2]'];
  for (const path of paths) await isSlow(run, `${path}.slow`);
  const first = await runIdOf(handle);
  await talkUntilRenewed(handle, first);
  for (const path of paths) await isSlow(run, `${path}.slow`, 2);
  expect(notesOf(run).filter((note) => note.includes('told'))).toEqual([]);
  released.add(run);
  expect(await handle.result()).toEqual({ state: 'done' });
  expect(notesOf(run).toSorted()).toEqual(
    paths.flatMap((path) => [`${path}.made 7`, `${path}.told done 7`]).toSorted(),
  );
  expect((await rig.states(run)).filter((state) => !/: done/.test(state))).toEqual([]);
}, 240_000);

test('runs the ends of stopped files also where the run is cancelled or they are skipped before they begin again', async () => {
  const started = async (run: string) => {
    const scope = {
      steps: [
        file('fit', working(run)),
        approve('later', form, { needs: ['fit'] }),
        file('out', { steps: [file('in', working(run))], finally: working(run).finally! }),
      ],
      finally: [activity('last', 'note', { with: { value: cel('run.state'), of: run } })],
    };
    const handle = await rig.startRun(run, scope, { renewAfter: 40 });
    await isSlow(run, 'fit.slow');
    await isSlow(run, 'out.in.slow');
    return handle;
  };
  const [cancelled, skipped] = await Promise.all([started('cancelled'), started('skipped')]);
  await Promise.all([pausedAnew('cancelled', cancelled), pausedAnew('skipped', skipped)]);
  await say(cancelled, 'cancel');
  for (const path of ['fit', 'out']) await say(skipped, 'skip', { path, reason: 'not needed' });
  await say(skipped, 'resume');
  expect(await cancelled.result()).toEqual({ state: 'cancelled' });
  expect(await skipped.result()).toEqual({ state: 'done' });
  // Of `out` no step was done but the file within, which was stopped, so its end finds nothing.
  const made = ['fit.made 7', 'out.in.made 7'];
  const ends = ['fit.told cancelled 7', 'out.in.told cancelled 7'];
  expect(notesOf('cancelled').toSorted()).toEqual([...made, ...ends, 'last cancelled'].toSorted());
  expect(notesOf('skipped').toSorted()).toEqual([...made, ...ends, 'last done'].toSorted());
  expect(notesOf('cancelled').at(-1)).toBe('last cancelled');
}, 240_000);

test('stays in its history while it does not know what was decided in the one before', async () => {
  const run = 'unknowing';
  let isRead = false;
  const listRecords = rig.store.listRecords.bind(rig.store);
  const listed = vi.spyOn(rig.store, 'listRecords').mockImplementation(async (prefix) => {
    if (prefix === `runs/${run}/gates/`) await eventually(async () => isRead);
    return listRecords(prefix);
  });
  const scope = { steps: [approve('ok', form), activity('slow', 'slow', { with: { of: run } })] };
  const handle = await rig.startRun(run, scope, { renewAfter: 40, decided: true });
  const first = await runIdOf(handle);
  let isTaken = false;
  const answer = say(handle, answerName, { gate: 'ok', answer: { go: true } }).then(() => {
    isTaken = true;
  });
  await talk(handle, 12);
  expect((await handle.describe()).historyLength).toBeGreaterThan(100);
  expect(await runIdOf(handle)).toBe(first);
  expect(isTaken).toBe(false);
  isRead = true;
  await answer;
  await isSlow(run, 'slow');
  await talkUntilRenewed(handle, first);
  released.add(run);
  expect(await handle.result()).toEqual({ state: 'done' });
  listed.mockRestore();
}, 240_000);

/** A file that asks, and tells in its end how it went. */
const asking = (run: string): PlannedScope => ({
  steps: [approve('ok', form)],
  finally: [activity('told', 'note', { with: { value: cel('run.state'), of: run } })],
});

/** `f1` and so on, as legs are named. */
const numbered = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);
const waits = (run: string, path: string) =>
  eventually(async () => (await rig.step(run, path))?.state === 'waiting', 120_000);

/** How often the run's workflow at the path has sent the signal. */
async function sent(run: string, path: string, signal: string): Promise<number> {
  const { events } = await rig.client.workflow.getHandle(workflowIdOf(run, path)).fetchHistory();
  const names = (events ?? []).map(
    (event) => event.signalExternalWorkflowExecutionInitiatedEventAttributes?.signalName,
  );
  return names.filter((name) => name === signal).length;
}

test('ends of files are let go where Temporal cancels the run while it asks them to wait', async () => {
  const run = 'let-go';
  const files = numbered(12).map((i) => file(`f${i}`, asking(run)));
  const last = activity('last', 'note', { with: { value: 8, of: run } });
  const handle = await rig.startRun(
    run,
    { steps: files, finally: [file('end', { steps: [], finally: [last] })] },
    { renewAfter: 60 },
  );
  for (const i of numbered(12)) await waits(run, `f${i}.ok`);
  const isAsked = eventually(async () => (await sent(run, '', 'hold-ends')) > 0);
  await Promise.race([isAsked, talk(handle, 4)]);
  await isAsked;
  await handle.cancel();
  await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
  expect(notesOf(run).toSorted()).toEqual(['end.last 8', ...files.map(({ id }) => `${id}.told cancelled`)].toSorted());
}, 240_000);

test('a file whose end must not be cut is asked first, and keeps no other from its end', async () => {
  const run = 'refuses';
  const legs = numbered(8);
  const handle = await rig.startRun(
    run,
    {
      steps: [
        fanOut('legs', [file('', asking(run))], { legs: { forEach: legs } }),
        file('busy', { ...working(run), finally: [activity('tidy', 'slow', { with: { in: run } })] }),
        approve('later', form, { needs: ['legs'] }),
      ],
    },
    { renewAfter: 60 },
  );
  for (const leg of legs) await waits(run, `legs[${leg}].ok`);
  await isSlow(run, 'busy.slow');
  await say(handle, 'skip', { path: 'busy', reason: 'not needed' });
  await isSlow(run, 'busy.tidy');
  const first = await runIdOf(handle);
  for (let i = 0; i < 80; i++) await say(handle, answerName, { gate: 'later', answer: { go: true } });
  expect(await runIdOf(handle)).toBe(first);
  expect(await sent(run, '', 'hold-ends')).toBeGreaterThan(4);
  expect(await sent(run, `legs[1..${legs.length}]`, 'hold-ends')).toBeLessThanOrEqual(legs.length);
  // None of them is held any more.
  await say(handle, answerName, { gate: 'legs[1].ok', answer: { go: true } });
  await eventually(async () => notesOf(run).includes('legs[1].told done'));
  released.add(run);
  await say(handle, 'cancel');
  expect(await handle.result()).toEqual({ state: 'cancelled' });
}, 240_000);

test('ends that a cancelled run owes in great number run in workflows of their own, each once', async () => {
  const run = 'many';
  const legs = numbered(23);
  const handle = await rig.startRun(
    run,
    {
      steps: [
        fanOut('legs', [file('', asking(run))], { legs: { forEach: legs } }),
        approve('later', form, { needs: ['legs'] }),
      ],
    },
    { renewAfter: 60 },
  );
  for (const leg of legs) await waits(run, `legs[${leg}].ok`);
  await pausedAnew(run, handle);
  await say(handle, 'cancel');
  expect(await handle.result()).toEqual({ state: 'cancelled' });
  expect(notesOf(run).toSorted()).toEqual(legs.map((leg) => `legs[${leg}].told cancelled`).toSorted());
  const ended = await rig.client.workflow.getHandle(workflowIdOf(run, '#owed2')).describe();
  expect(ended.status.name).toBe('COMPLETED');
  expect((await handle.describe()).historyLength).toBeLessThan(120);
}, 240_000);

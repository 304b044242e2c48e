/** A root that goes on in new histories while steps of `finally` run, its own and those of files, on a real server. */

import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { readRun } from '../../artifacts/run-record.ts';
import type { RunningWorker } from '../../deploy/worker.ts';
import type { Form } from '../../plan/form.ts';
import type { Json, PipelineStep, PlannedScope, PlannedStep } from '../../plan/types.ts';
import { answerName, decideName } from '../../workflows/messages.ts';
import { eventually, openRig, type Rig } from '../rig.ts';
import { activity, approve, cel, gate, repeat } from '../small-plans.ts';
import { saveSpurious } from './reviews.ts';

let rig: Rig;
let worker: RunningWorker;
/** `RUN PATH VALUE` of each note, in order. */
const notes: string[] = [];
/** How often each step began, by `RUN PATH`. */
const began = new Map<string, number>();
/** Runs whose steps of kind `weak` succeed. */
const mended = new Set<string>();
/** How often each step had begun when it failed for good, by `RUN PATH`: one that fails as it is cut begins once more. */
const failedAfter = new Map<string, number>();
/** Runs whose steps of kind `slow` may end. */
const released = new Set<string>();

const begin = ({ run, path }: StepContext) => began.set(`${run} ${path}`, (began.get(`${run} ${path}`) ?? 0) + 1);
const steps = {
  note: async (context: StepContext, { value }: { value?: unknown }) => {
    begin(context);
    notes.push(`${context.run} ${context.path} ${String(value)}`);
    return { value: value ?? 0 };
  },
  weak: async (context: StepContext) => {
    begin(context);
    if (!mended.has(context.run)) throw new Error('The disk said no.');
    return { value: 1 };
  },
  slow: async (context: StepContext) => {
    begin(context);
    while (!released.has(context.run)) {
      context.signal.throwIfAborted();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return { value: 1 };
  },
};

const form: Form = { properties: { go: { type: 'boolean' } }, required: ['go'] };
const candidatesCount = 6;

const reviewed = (name: string) => saveSpurious(rig, name, candidatesCount);

/** `of` sets a run's results apart from those of others. */
const note = (id: string, run: string, value: Json, needs: string[] = []) =>
  activity(id, 'note', { with: { value, of: run }, needs, onFailure: 'fail' });

/** Asks in three rounds and in a review, and tells of what it sees; one of its steps fails, and the end goes on. */
const asking = async (run: string, image = run): Promise<PlannedStep[]> => [
  activity('poor', 'weak', { with: { of: run }, onFailure: 'continue' }),
  repeat(
    'asked',
    [
      approve('ok', form, { onFailure: 'fail' }),
      activity('poor', 'weak', { needs: ['ok'], with: { of: run, at: cel('round.index') }, onFailure: 'continue' }),
      note('told', run, { $text: [cel('round.index'), ' ', cel('steps.ok.go')] }, ['ok', 'poor']),
    ],
    { max: 3, onFailure: 'fail' },
  ),
  gate('look', { with: await reviewed(image), onFailure: 'fail' }),
  note('last', run, { $text: [cel('run.state'), ' ', cel('steps.made.all[1].v'), ' ', cel('steps.asked.rounds')] }, [
    'asked',
    'look',
    'poor',
  ]),
];

const made = (run: string) =>
  repeat('made', [note('a', run, cel('round.index * 10'))], { max: 2, next: { v: cel('steps.a.value') } });
const bad = (run: string) => activity('bad', 'weak', { with: { of: run }, onFailure: 'fail' });

const file = (id: string, scope: PlannedScope, changes: Partial<PipelineStep> = {}): PipelineStep => {
  return { type: 'pipeline', id, pipeline: 'file', needs: [], params: {}, scope, outputs: {}, ...changes };
};

const notesOf = (run: string) =>
  notes.filter((one) => one.startsWith(`${run} `)).map((one) => one.slice(run.length + 1));
const say = (handle: WorkflowHandle, name: string, message: object = {}) =>
  handle.executeUpdate<object, [object]>(name, { args: [{ by: 'ann', ...message }] });
const runIdOf = async (handle: WorkflowHandle) => (await handle.describe()).runId;
const reaches = (run: string, path: string, state: string) =>
  eventually(async () => (await rig.step(run, path))?.state === state);
const wordsOf = (error: { cause?: Error }) => error.cause?.message ?? '';

/** People pause and let go on until the run goes on in another history. */
async function renew(handle: WorkflowHandle): Promise<void> {
  const before = await runIdOf(handle);
  await eventually(async () => {
    for (const name of ['pause', 'resume']) {
      await eventually(() =>
        say(handle, name).catch((error) => /paused already|is not paused/.test(wordsOf(error)) || undefined),
      );
    }
    return (await runIdOf(handle)) !== before;
  }, 150_000);
}

/** In its new history a paused run begins nothing. */
async function pauseAnew(run: string, handle: WorkflowHandle): Promise<void> {
  const first = await runIdOf(handle);
  await eventually(async () => {
    await say(handle, 'resume').catch(() => undefined);
    await say(handle, 'pause').catch(() => undefined);
    return (await runIdOf(handle)) !== first;
  });
  await eventually(async () => {
    // The last one may have come in the moment in which the run left its history, and then steps have begun in the new one.
    await say(handle, 'pause', { now: true }).catch(() => undefined);
    return (await readRun(rig.store, run))?.state.state === 'paused';
  });
}

async function failsForGood(run: string, path: string): Promise<void> {
  await reaches(run, path, 'failed');
  failedAfter.set(`${run} ${path}`, began.get(`${run} ${path}`)!);
}

/** Answers the rounds and decides the candidates of what `asking` asks at the path, with new histories between. */
async function answerAll(run: string, handle: WorkflowHandle, within: string): Promise<void> {
  await failsForGood(run, `${within}poor`);
  for (let i = 1; i <= 3; i++) {
    const path = `${within}asked[${i}].ok`;
    await reaches(run, path, 'waiting');
    if (i > 1) await renew(handle);
    await reaches(run, path, 'waiting');
    // Before the end is over: a file that is done begins again with a new history, and tries once more what failed in it.
    for (const [step, times] of failedAfter) {
      if (step.startsWith(`${run} ${within}`)) expect([step, began.get(step)]).toEqual([step, times]);
    }
    await eventually(() => say(handle, answerName, { gate: path, answer: { go: i !== 2 } }).catch(() => undefined));
    await reaches(run, `${within}asked[${i}].told`, 'done');
    await failsForGood(run, `${within}asked[${i}].poor`);
    const decisions = [0, 1].map((at) => ({ candidateId: `c${2 * (i - 1) + at}`, verdict: 'accept' }));
    await eventually(() =>
      say(handle, decideName, { gate: `${within}look`, batch: `b${i}`, decisions }).catch(() => undefined),
    );
  }
}

beforeAll(async () => {
  rig = await openRig();
  worker = await rig.startWorker(steps);
});

afterAll(async () => {
  await rig?.close();
});

const seenIn = (within: string, state: string) => [
  `${within}made[1].a 10`,
  `${within}made[2].a 20`,
  ...[1, 2, 3].map((i) => `${within}asked[${i}].told ${i} ${i !== 2}`),
  `${within}last ${state} 20 3`,
];
const failing = ['poor', ...[1, 2, 3].map((i) => `asked[${i}].poor`)];

test('runs each step of its end once, over several histories, after steps that were done and that failed', async () => {
  const started = async (run: string, main: PlannedStep[]) => {
    const handle = await rig.startRun(run, { steps: main, finally: await asking(run) }, { renewAfter: 40 });
    await answerAll(run, handle, '');
    return handle;
  };
  const [done, failed] = await Promise.all([
    started('done', [made('done')]),
    started('failed', [made('failed'), bad('failed')]),
  ]);
  expect(await done.result()).toEqual({ state: 'done' });
  await expect(failed.result()).rejects.toThrow(WorkflowFailedError);
  const { state } = (await readRun(rig.store, 'failed'))!;
  expect(state).toMatchObject({ state: 'failed', error: 'bad failed: The disk said no.' });
  for (const run of ['done', 'failed']) {
    expect(notesOf(run)).toEqual(seenIn('', run));
    for (const path of failing.map((one) => `${run} ${one}`)) {
      expect([path, began.get(path)]).toEqual([path, failedAfter.get(path)]);
    }
  }
  expect(began.get('failed bad')).toBe(1);
}, 240_000);

test('does the same in the ends of files, whose other steps do not run again, with another worker', async () => {
  const run = 'files';
  const scope: PlannedScope = {
    steps: [
      file(
        'fit',
        { steps: [made(run)], finally: await asking(run, 'fit') },
        { outputs: { v: cel('steps.made.all[0].v') } },
      ),
      repeat('rounds', [
        file('out', { steps: [made(run), bad(run)], finally: await asking(run, 'out') }, { onFailure: 'continue' }),
      ]),
      note('after', run, cel('steps.fit.v'), ['fit', 'rounds']),
    ],
  };
  const handle = await rig.startRun(run, scope, { renewAfter: 60 });
  const answers = Promise.all([answerAll(run, handle, 'fit.'), answerAll(run, handle, 'rounds[1].out.')]);
  await reaches(run, 'fit.asked[2].ok', 'waiting');
  await worker.shutdown();
  worker = await rig.startWorker(steps);
  await answers;
  expect(await handle.result()).toEqual({ state: 'done' });
  const notesWithin = (within: string) => notesOf(run).filter((one) => one.startsWith(within));
  expect(notesWithin('fit.')).toEqual(seenIn('fit.', 'done'));
  expect(notesWithin('rounds[1].out.')).toEqual(seenIn('rounds[1].out.', 'failed'));
  expect(notesOf(run).at(-1)).toBe('after 10');
  expect((await rig.step(run, 'rounds[1].out'))?.error).toBe('rounds[1].out.bad failed: The disk said no.');
}, 240_000);

test('tries a step of an end again as often as people want, and waits for nobody once the run is cancelled', async () => {
  const kept = (run: string) => activity('kept', 'weak', { with: { of: run }, onFailure: 'hold' });
  const started = async (run: string, end: PlannedStep[]) => {
    const inner = file('fit', { steps: [made(run)], finally: end });
    const scope = {
      steps: [inner, note('next', run, 1, ['fit'])],
      finally: [...end, file('also', { steps: [], finally: end })],
    };
    const handle = await rig.startRun(run, scope, { renewAfter: 40 });
    return handle;
  };
  const tried = await started('tried', [kept('tried')]);
  const retry = async (path: string, times: number) => {
    for (let i = 0; i < times; i++) {
      await reaches('tried', path, 'held');
      await eventually(() => say(tried, 'retry', { path }).catch(() => undefined));
    }
  };
  const first = await runIdOf(tried);
  await retry('fit.kept', 8);
  const second = await runIdOf(tried);
  expect(second).not.toBe(first);
  mended.add('tried');
  await eventually(async () => {
    await say(tried, 'retry', { path: 'fit.kept' }).catch(() => undefined);
    return (await rig.step('tried', 'fit.kept'))?.state === 'done';
  });
  expect(await tried.result()).toEqual({ state: 'done' });
  expect(notesOf('tried')).toEqual(['fit.made[1].a 10', 'fit.made[2].a 20', 'next 1']);

  const cancelled = await started('cancelled', [approve('ok', form), note('told', 'cancelled', cel('run.state'))]);
  await reaches('cancelled', 'fit.ok', 'waiting');
  await renew(cancelled);
  await reaches('cancelled', 'fit.ok', 'waiting');
  await eventually(() => say(cancelled, answerName, { gate: 'fit.ok', answer: { go: true } }).catch(() => undefined));
  await reaches('cancelled', 'ok', 'waiting');
  await reaches('cancelled', 'also.ok', 'waiting');
  await renew(cancelled);
  await say(cancelled, 'cancel');
  expect(await cancelled.result()).toEqual({ state: 'cancelled' });
  expect(notesOf('cancelled').toSorted()).toEqual(
    ['also.told done', 'fit.made[1].a 10', 'fit.made[2].a 20', 'fit.told done', 'next 1', 'told done'].toSorted(),
  );
  expect(await rig.states('cancelled')).toContain('also.ok: skipped');
}, 240_000);

test('runs what is left of a cut end also where its file is skipped before it goes on, and once', async () => {
  const run = 'skipped';
  const end = [
    note('begun', run, 1),
    approve('ok', form),
    activity('slow', 'slow', { needs: ['begun'], with: { of: run }, onFailure: 'fail' }),
    note('told', run, cel('steps.ok.go'), ['ok']),
    note('left', run, { $text: [cel('run.state'), ' ', cel('steps.made.all[1].v')] }, ['slow']),
  ];
  const handle = await rig.startRun(
    run,
    { steps: [file('fit', { steps: [made(run)], finally: end })], finally: [approve('bye', form)] },
    { renewAfter: 40 },
  );
  await reaches(run, 'fit.ok', 'waiting');
  await eventually(async () => began.get(`${run} fit.slow`) === 1);
  await pauseAnew(run, handle);
  await say(handle, 'skip', { path: 'fit', reason: 'not needed' });
  released.add(run);
  await eventually(() => say(handle, 'resume').catch(() => undefined));
  await reaches(run, 'bye', 'waiting');
  await renew(handle);
  await reaches(run, 'bye', 'waiting');
  await eventually(() => say(handle, answerName, { gate: 'bye', answer: { go: true } }).catch(() => undefined));
  expect(await handle.result()).toEqual({ state: 'done' });
  // It asks nobody any more, so what reads the answer is skipped; its other steps had been done.
  expect(notesOf(run)).toEqual(['fit.made[1].a 10', 'fit.made[2].a 20', 'fit.begun 1', 'fit.left done 20']);
}, 240_000);

test('a file within a cut end comes to its end after its steps, also where the run is cancelled before they go on', async () => {
  const run = 'within';
  const inner = file('inner', {
    steps: [activity('slow', 'slow', { with: { of: run } }), note('made', run, 1, ['slow'])],
    finally: [note('told', run, cel('run.state'))],
  });
  const handle = await rig.startRun(
    run,
    { steps: [file('fit', { steps: [], finally: [inner, note('after', run, cel('run.state'), ['inner'])] })] },
    { renewAfter: 40 },
  );
  await eventually(async () => began.get(`${run} fit.inner.slow`) === 1);
  await pauseAnew(run, handle);
  released.add(run);
  await say(handle, 'cancel');
  expect(await handle.result()).toEqual({ state: 'cancelled' });
  expect(notesOf(run)).toEqual(['fit.inner.made 1', 'fit.inner.told done', 'fit.after done']);
}, 240_000);

/** A changed plan reaches a run that goes on: what lies in the future follows it, what does not refuses it. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verifyRun } from '../../activities/verify-run.ts';
import { type RunRecord, readOperations, readRun } from '../../artifacts/run-record.ts';
import { problemOfReplay } from '../../deploy/move-runs.ts';
import { problemOfUpgradeIn } from '../../deploy/prove-upgrade.ts';
import type { RunningWorker } from '../../deploy/worker.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import { followFork } from '../../plan/follow-fork.ts';
import { forkScope } from '../../plan/fork.ts';
import { parsePath } from '../../plan/paths.ts';
import type { Plan, PlannedScope, PlannedStep } from '../../plan/types.ts';
import { type OperateAnswer, queueName, type UpgradeMessage, workflowIdOf } from '../../workflows/messages.ts';
import { eventually, openRig, type Rig } from '../rig.ts';
import { activity, cel, fanOut, imported, repeat, testQueuePrefix } from '../small-plans.ts';
import { logSteps, refusal } from './logged-steps.ts';
import { boxesAfter, isWaiting, missingAt, reviewOf, saveReviewed, sendDecisions } from './reviews.ts';

let rig: Rig;
let worker: RunningWorker;
const { released, ranIn, hasRun, steps } = logSteps();

beforeAll(async () => {
  rig = await openRig();
  worker = await rig.startWorker({ ...steps, lazy });
});

/** As a slow step, but takes its time to stop. */
const lazy: typeof steps.slow = (context, inputs) =>
  steps.slow(context, inputs).catch(async (error: unknown) => {
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    throw error;
  });

afterAll(async () => {
  await rig?.close();
});

/** Part of every step, so that no other run's result is reused. */
let only = '';
const note = (id: string, value: unknown, needs: string[] = []) =>
  activity(id, 'note', { with: { value: value as number, only }, needs });
const slow = (id: string, value: unknown, needs: string[] = []) =>
  activity(id, 'slow', { with: { value: value as number, only }, needs });

async function messageOf(scope: PlannedScope, more: Partial<UpgradeMessage> = {}): Promise<UpgradeMessage> {
  const plan: Plan = { format: 1, pipeline: 'test-pipeline', seed: 1, params: {}, root: scope };
  const planDigest = await rig.store.putObject(Buffer.from(canonicalJson(plan)));
  const file = { file: 'test.yaml', source: planDigest, params: {} };
  return {
    by: 'ada',
    reason: 'a better idea',
    planDigest,
    scope,
    file,
    changes: ['it changed'],
    recorded: {},
    ...more,
  };
}

async function upgrade(run: string, scope: PlannedScope, more: Partial<UpgradeMessage> = {}): Promise<OperateAnswer> {
  const handle = rig.client.workflow.getHandle(workflowIdOf(run));
  return handle.executeUpdate<OperateAnswer, [UpgradeMessage]>('upgrade', { args: [await messageOf(scope, more)] });
}

const proof = async (run: string, scope: PlannedScope) =>
  problemOfUpgradeIn(rig.client, rig.bundlePath, run, await messageOf(scope));

/** The interpreter does the same again from the recorded history, upgrade included. */
async function replays(run: string): Promise<void> {
  const history = await rig.client.workflow.getHandle(workflowIdOf(run)).fetchHistory();
  expect(await problemOfReplay(rig.bundlePath, [{ workflowId: workflowIdOf(run), history }])).toBeNull();
}

const scopeOf = (...steps: PlannedStep[]): PlannedScope => ({ steps });

describe('an upgrade', () => {
  test('changes, adds and removes steps that have not begun, and proves first that they have not', async () => {
    only = 'future';
    const first = scopeOf(
      slow('a', 1),
      note('b', 2, ['a']),
      note('c', cel('steps.b.value + 1'), ['b']),
      note('d', 9, ['a']),
    );
    const handle = await rig.startRun('future', first);
    await hasRun('future', 'a 1');
    const changed = scopeOf(
      slow('a', 1),
      note('e', 7),
      note('b', 20, ['a', 'e']),
      note('c', cel('steps.b.value + 1'), ['b']),
    );
    expect(await proof('future', changed)).toBeNull();
    expect(await proof('future', scopeOf(slow('a', 5)))).toMatch(/a has begun, and its with\.value changed\./);
    expect(ranIn('future')).toEqual(['a 1']);
    expect((await upgrade('future', changed)).steps).toEqual(['b', 'd', 'e']);
    released.add('future a');
    expect(await handle.result()).toEqual({ state: 'done' });
    expect(ranIn('future').sort()).toEqual(['a 1', 'b 20', 'c 21', 'e 7']);

    const { header, state } = (await readRun(rig.store, 'future'))!;
    const { planDigest: filePlan } = await messageOf(changed);
    expect(header).toMatchObject({ filePlan, planDigest: filePlan });
    expect(state.upgrades).toMatchObject([{ plan: filePlan, filePlan, before: (await messageOf(first)).planDigest }]);
    expect(await readOperations(rig.store, 'future')).toMatchObject([
      { operation: 'upgrade', by: 'ada', reason: 'a better idea', steps: ['b', 'd', 'e'], changes: ['it changed'] },
    ]);
    await replays('future');
  });

  test('is refused, and changes nothing, where it touches what has begun', async () => {
    only = 'past';
    const first = scopeOf(note('a', 1), slow('b', 2, ['a']), note('c', 3, ['b']));
    const handle = await rig.startRun('past', first);
    await hasRun('past', 'b 2');
    const refused = (...steps: PlannedStep[]) => refusal(upgrade('past', scopeOf(...steps)));
    expect(await refused(note('a', 5), slow('b', 6, ['a']))).toBe(
      'a has ended, and its with.value changed. b has begun, and its with.value changed.',
    );
    expect(await refused(slow('b', 2), note('c', 3, ['b']))).toBe(
      'a has ended, and the changed file has it no more. b has begun, and its needs changed.',
    );
    // How often an ended step may be tried says nothing about what it made.
    const retried = { ...note('a', 1), timeoutMs: 1_000, onFailure: 'fail' as const };
    expect((await upgrade('past', scopeOf(retried, slow('b', 2, ['a']), note('c', 4, ['b'])))).steps).toEqual([
      'a',
      'c',
    ]);
    released.add('past b');
    expect(await handle.result()).toEqual({ state: 'done' });
    expect(ranIn('past')).toEqual(['a 1', 'b 2', 'c 4']);
  });

  test('changes the rounds that have not begun, and how many there are', async () => {
    only = 'rounds';
    const loop = (value: number, max: number, more: readonly PlannedStep[] = []) =>
      repeat('rounds', [slow('x', value), ...more], { max, next: { value: cel('steps.x.value') } });
    const handle = await rig.startRun('rounds', scopeOf(note('a', 1), loop(1, 2)));
    await hasRun('rounds', 'rounds[1].x 1');
    // What later rounds read must be there.
    const later = scopeOf(slow('w', 1), loop(2, 4, [note('y', cel('steps.w.value'))]));
    const needing = { steps: later.steps.map((step) => (step.id === 'rounds' ? { ...step, needs: ['w'] } : step)) };
    expect(await refusal(upgrade('rounds', { steps: [note('a', 1), ...needing.steps] }))).toBe(
      'rounds has begun, and later rounds would read w, which has not ended.',
    );
    const reading = { ...loop(2, 4, [note('y', cel('steps.a.value + round.index'))]), needs: ['a'] };
    const changed = scopeOf(note('a', 1), reading);
    expect(await proof('rounds', changed)).toBeNull();
    await upgrade('rounds', changed);
    for (const round of [1, 2, 3, 4]) released.add(`rounds rounds[${round}].x`);
    await hasRun('rounds', 'rounds[3].y 4');
    expect(await handle.result()).toEqual({ state: 'done' });
    const rounds = ['rounds[1].x 1', 'rounds[2].x 2', 'rounds[3].x 2', 'rounds[4].x 2'];
    const added = ['rounds[2].y 3', 'rounds[3].y 4', 'rounds[4].y 5'];
    expect(ranIn('rounds').sort()).toEqual(['a 1', ...rounds, ...added].sort());
    expect(await readOperations(rig.store, 'rounds')).toMatchObject([{ steps: ['rounds'], from: { rounds: 2 } }]);
    await replays('rounds');

    // Begun again from its record alone, each round does what it did: nothing runs anew.
    const { header } = (await readRun(rig.store, 'rounds'))!;
    const plan = JSON.parse(String(await rig.store.getObject(header.planDigest))) as Plan;
    const before = ranIn('rounds').length;
    const { planDigest } = header;
    const again = await rig.client.workflow.start('test-pipeline', {
      workflowId: workflowIdOf('rounds'),
      taskQueue: queueName(testQueuePrefix, 'workflows'),
      args: [{ run: 'rounds', pipeline: 'test-pipeline', planDigest, seed: 1, scope: plan.root }],
    });
    expect(await again.result()).toEqual({ state: 'done' });
    expect(ranIn('rounds')).toHaveLength(before);
  });

  test('reaches the rounds of a long loop, which run in a child of their own, after the one that runs', async () => {
    only = 'long';
    const loop = (value: number, max: number) => repeat('long', [slow('x', value)], { max, perBatch: 3 });
    const handle = await rig.startRun('long', scopeOf(loop(1, 7)));
    for (const round of [1, 2, 3, 4, 6, 7, 8]) released.add(`long long[${round}].x`);
    await hasRun('long', 'long[5].x 1');
    await upgrade('long', scopeOf(loop(2, 8)));
    await eventually(async () => (await readOperations(rig.store, 'long')).length === 1);
    expect(await readOperations(rig.store, 'long')).toMatchObject([{ from: { long: 6 } }]);
    released.add('long long[5].x');
    expect(await handle.result()).toEqual({ state: 'done' });
    expect(ranIn('long').slice(4)).toEqual(['long[5].x 1', 'long[6].x 2', 'long[7].x 2', 'long[8].x 2']);
    const { header } = (await readRun(rig.store, 'long'))!;
    const { root } = JSON.parse(String(await rig.store.getObject(header.planDigest))) as Plan;
    expect(root.steps[0]).toMatchObject({ max: 8, bodies: [{ from: 6 }] });
    await replays('long');
  });

  test('changes a step that waits for the end of a pause, also where the worker dies right after', async () => {
    only = 'paused';
    const handle = await rig.startRun('paused', scopeOf(slow('a', 1), note('b', 2, ['a']), note('c', 3, ['b'])));
    await hasRun('paused', 'a 1');
    await handle.executeUpdate('pause', { args: [{ by: 'ada' }] });
    released.add('paused a');
    await eventually(async () => (await readRun(rig.store, 'paused'))?.state.state === 'paused');
    await upgrade('paused', scopeOf(slow('a', 1), note('b', 5, ['a']), note('c', 3, ['b'])));
    await worker.shutdown();
    worker = await rig.startWorker({ ...steps, lazy });
    await handle.executeUpdate('resume', { args: [{ by: 'ada' }] });
    expect(await handle.result()).toEqual({ state: 'done' });
    expect(ranIn('paused')).toEqual(['a 1', 'b 5', 'c 3']);
    expect((await rig.states('paused')).every((state) => state.endsWith('done'))).toBe(true);
    await replays('paused');
  });

  test('twice in a row, with the plan fetched from the store, ends with the second; steps at the end change too', async () => {
    only = 'twice';
    const atEnd = (value: number) => ({ finally: [note('last', value)] });
    const handle = await rig.startRun('twice', { ...scopeOf(slow('a', 1), note('b', 2, ['a'])), ...atEnd(1) });
    await hasRun('twice', 'a 1');
    await upgrade('twice', { ...scopeOf(slow('a', 1), note('b', 3, ['a'])), ...atEnd(2) }, { scope: undefined });
    await upgrade('twice', { ...scopeOf(slow('a', 1), note('b', 4, ['a'])), ...atEnd(3) });
    released.add('twice a');
    expect(await handle.result()).toEqual({ state: 'done' });
    expect(ranIn('twice')).toEqual(['a 1', 'b 4', 'last 3']);
    const { upgrades = [] } = (await readRun(rig.store, 'twice'))!.state;
    expect(upgrades.map(({ before }) => before).slice(1)).toEqual(upgrades.map(({ plan }) => plan).slice(0, 1));
  });

  test('reaches steps of a file and of legs that have not begun: the whole begins again, and what is finished is found', async () => {
    only = 'within';
    const legs = (...sizes: number[]) => ({
      matrix: sizes.map((size) => ({ name: `size=${size}`, values: { size } })),
    });
    const scope = (value: number, ...sizes: number[]): PlannedScope => ({
      steps: [
        imported('fit', [note('a', 1), slow('b', 2, ['a']), note('c', value, ['b'])]),
        fanOut('tune', [note('x', cel('matrix.size')), slow('y', 3, ['x']), note('z', value, ['y'])], {
          legs: legs(...sizes),
        }),
        note('after', value, ['fit', 'tune']),
        slow('beside', 9),
      ],
    });
    const handle = await rig.startRun('within', scope(5, 1, 2));
    for (const entry of ['fit.b 2', 'tune[size=1].y 3', 'tune[size=2].y 3', 'beside 9']) await hasRun('within', entry);
    const began = ranIn('within').length;
    const changed = scope(6, 1, 2, 4);
    expect(await proof('within', changed)).toBeNull();
    await upgrade('within', changed);
    // A second one, before all of the first has happened.
    await upgrade('within', scope(7, 1, 2, 4));
    for (const path of ['fit.b', 'beside', ...[1, 2, 4].map((size) => `tune[size=${size}].y`)]) {
      released.add(`within ${path}`);
    }
    expect(await handle.result()).toEqual({ state: 'done' });
    const later = new Set(ranIn('within').slice(began));
    const [anew, done] = [
      [1, 2, 4].map((size) => `tune[size=${size}].z 7`),
      ['fit.a 1', 'tune[size=1].x 1', 'beside 9'],
    ];
    for (const entry of ['fit.c 7', 'tune[size=4].x 4', 'after 7', ...anew]) expect(later).toContain(entry);
    for (const entry of done) expect(later).not.toContain(entry);
    expect((await rig.states('within')).filter((state) => !state.endsWith(': done'))).toEqual([]);
    const [first] = await readOperations(rig.store, 'within');
    expect(first).toMatchObject({ again: ['fit', 'tune'], steps: ['fit', 'tune', 'after'] });
    const verified = await verifyRun(rig.store, (await readRun(rig.store, 'within'))!);
    expect(verified.checks.find(({ name }) => name === 'plan')!.problems).toEqual([]);
    await replays('within');
  });

  test('waits for what an upgrade just before stopped, which takes its time', async () => {
    only = 'twice';
    const scope = (value: number) =>
      scopeOf(imported('fit', [{ ...slow('a', 1), kind: 'lazy' }, note('b', value, ['a'])]));
    const handle = await rig.startRun('twice', scope(1));
    await hasRun('twice', 'fit.a 1');
    await upgrade('twice', scope(2));
    await upgrade('twice', scope(3));
    released.add('twice');
    expect(await handle.result()).toEqual({ state: 'done' });
    expect(ranIn('twice').filter((entry) => entry.startsWith('fit.b'))).toEqual(['fit.b 3']);
    expect((await rig.states('twice')).filter((state) => !state.endsWith(': done'))).toEqual([]);
  });

  test('reaches later rounds of loops in a file and in legs, and the rounds before stay as they were', async () => {
    only = 'inner';
    const loop = (value: number, max: number) =>
      repeat('loop', [slow('x', value)], { max, next: { value: cel('steps.x.value') } });
    const legs = { matrix: [1, 2].map((size) => ({ name: `size=${size}`, values: { size } })) };
    const scope = (value: number, max: number) =>
      scopeOf(imported('fit', [loop(value, max)]), fanOut('tune', [loop(value, max)], { legs }));
    const handle = await rig.startRun('inner', scope(1, 2));
    const rounds = (at: number) => ['fit', 'tune[size=1]', 'tune[size=2]'].map((path) => `${path}.loop[${at}].x`);
    released.add('inner fit.loop[1].x').add('inner tune[size=2].loop[1].x');
    for (const path of ['fit.loop[2].x', 'tune[size=1].loop[1].x', 'tune[size=2].loop[2].x']) {
      await hasRun('inner', `${path} 1`);
    }
    const changed = scope(2, 4);
    const within = { 'fit.loop': 3, 'tune[].loop': 3 };
    expect(await refusal(upgrade('inner', changed, { rounds: { fit: 'all' } as never }))).toMatch(/^"rounds" has/);
    await upgrade('inner', changed, { rounds: within });
    for (const path of [1, 2, 3, 4].flatMap(rounds)) released.add(`inner ${path}`);
    expect(await handle.result()).toEqual({ state: 'done' });
    const expected = [1, 2, 3, 4].flatMap((round) => rounds(round).map((path) => `${path} ${round > 2 ? 2 : 1}`));
    expect([...new Set(ranIn('inner'))].sort()).toEqual(expected.sort());
    expect(ranIn('inner').filter((entry) => entry === 'fit.loop[1].x 1')).toHaveLength(1);
    expect(await readOperations(rig.store, 'inner')).toMatchObject([{ from: within, again: ['fit', 'tune'] }]);
    const { checks } = await verifyRun(rig.store, (await readRun(rig.store, 'inner'))!);
    expect(checks.flatMap(({ problems }) => problems)).toEqual([]);
    await replays('inner');
  });

  /** A file with an end of its own. */
  const ending = (id: string, file: readonly PlannedStep[], last: PlannedStep) =>
    imported(id, [], { scope: { steps: file, finally: [last] } });
  const state = cel('run.state');

  test('reaches files with a finally of their own, also in legs and in other files, and each runs once, at its end', async () => {
    only = 'ends';
    const file = (id: string, value: number) =>
      ending(id, [note('a', 1), slow('b', 2, ['a']), note('c', value, ['b'])], note('last', state));
    // The worker has four slots.
    const legs = { matrix: [{ name: 'size=1', values: { size: 1 } }] };
    const scope = (value: number): PlannedScope =>
      scopeOf(
        file('fit', value),
        imported('around', [file('in', value)]),
        fanOut('tune', [file('', value)], { legs }),
        // Its finally runs, and it does not change.
        ending('beside', [note('x', 1)], slow('last', 7)),
      );
    const handle = await rig.startRun('ends', scope(5));
    const files = ['fit', 'around.in', 'tune[size=1]'];
    for (const path of files) await hasRun('ends', `${path}.b 2`);
    await hasRun('ends', 'beside.last 7');
    expect(await proof('ends', scope(6))).toBeNull();
    await upgrade('ends', scope(6));
    // It waits until all has begun again.
    expect(await eventually(async () => (await refusal(upgrade('ends', scope(7)))) === 'taken')).toBe(true);
    for (const path of [...files.map((file) => `${file}.b`), 'beside.last']) released.add(`ends ${path}`);
    expect(await handle.result()).toEqual({ state: 'done' });
    const entries = ranIn('ends');
    for (const path of files) {
      // What began in the moment in which it was stopped runs once more.
      const own = entries.filter((entry) => entry.startsWith(`${path}.`) && !/\.b |\.c 6/.test(entry));
      expect(own).toEqual([`${path}.a 1`, `${path}.c 7`, `${path}.last done`]);
    }
    expect(entries.filter((entry) => entry.startsWith('beside'))).toEqual(['beside.x 1', 'beside.last 7']);
    expect((await rig.states('ends')).filter((state) => !state.endsWith(': done'))).toEqual([]);
    const { checks } = await verifyRun(rig.store, (await readRun(rig.store, 'ends'))!);
    expect(checks.flatMap(({ problems }) => problems)).toEqual([]);
    await replays('ends');
  });

  test('is refused while a finally runs in a file that would begin again, which goes on', async () => {
    only = 'ending';
    const scope = (value: number) =>
      scopeOf(
        ending('fit', [note('a', 1)], slow('last', state)),
        imported('two', [slow('x', 1), note('y', value, ['x'])]),
      );
    const changed = (value: number): PlannedScope => ({
      ...scope(value),
      steps: [ending('fit', [note('a', 1), note('b', 2)], slow('last', state)), ...scope(value).steps.slice(1)],
    });
    const handle = await rig.startRun('ending', scope(1));
    await hasRun('ending', 'fit.last done');
    await hasRun('ending', 'two.x 1');
    expect(await refusal(upgrade('ending', changed(2)))).toMatch(/^A finally within fit runs just now, and cannot/);
    // Nothing of it is left behind: the next one is taken.
    expect(await eventually(async () => (await refusal(upgrade('ending', scope(3)))) === 'taken')).toBe(true);
    for (const path of ['fit.last', 'two.x']) released.add(`ending ${path}`);
    expect(await handle.result()).toEqual({ state: 'done' });
    const entries = ranIn('ending').filter((entry) => entry !== 'two.x 1');
    expect(entries.sort()).toEqual(['fit.a 1', 'fit.last done', 'two.y 3']);
    await replays('ending');
  });

  test('of a run that is cancelled right then leaves no finally out, and runs none twice', async () => {
    only = 'cut';
    const scope = (value: number) =>
      scopeOf(ending('fit', [slow('a', 1), note('b', value, ['a'])], note('last', state)));
    const handle = await rig.startRun('cut', scope(1));
    await hasRun('cut', 'fit.a 1');
    await Promise.all([refusal(upgrade('cut', scope(2))), handle.executeUpdate('cancel', { args: [{ by: 'ada' }] })]);
    expect(await handle.result()).toEqual({ state: 'cancelled' });
    expect(ranIn('cut').filter((entry) => !entry.startsWith('fit.a'))).toEqual(['fit.last cancelled']);
    await replays('cut');
  });

  test('keeps the questions and decisions of a file that begins again, and what was said in that moment', async () => {
    only = 'asked';
    const data = await saveReviewed(rig, 'asked', [], [0, 30, 60].map(missingAt));
    const scope = (value: number) => scopeOf(imported('fit', [reviewOf(data), note('c', value, ['review'])]));
    const handle = await rig.startRun('asked', scope(1));
    await isWaiting(rig, 'asked', 'fit.review');
    const decide = (x: number, verdict: 'accept' | 'reject') =>
      sendDecisions(rig, 'asked', 'ada', [{ candidateId: `at-${x}`, verdict }], { gate: 'fit.review' });
    await decide(0, 'accept');
    await Promise.all([upgrade('asked', scope(2)), decide(30, 'reject')]);
    await decide(60, 'accept');
    expect(await handle.result()).toEqual({ state: 'done' });
    expect(ranIn('asked')).toEqual(['fit.c 2']);
    expect(await boxesAfter(rig, 'asked', 'fit.review')).toEqual([0, 60]);
    const { checks } = await verifyRun(rig.store, (await readRun(rig.store, 'asked'))!);
    expect(checks.flatMap(({ problems }) => problems)).toEqual([]);
    await replays('asked');
  });

  test('reaches the later rounds of a fork, with what it runs anew, and the whole chain of plans can be verified', async () => {
    only = 'fork';
    const file = (value: number, add = 0): PlannedScope => ({
      steps: [
        note('a', 1),
        repeat('rounds', [note('x', cel(`carry.value + ${add}`)), slow('y', value, ['x'])], {
          needs: ['a'],
          max: 3,
          carry: { value: cel('steps.a.value') },
          next: { value: cel('steps.y.value') },
        }),
      ],
    });
    for (const round of [1, 2, 3]) released.add(`fork-of rounds[${round}].y`);
    await (await rig.startRun('fork-of', file(1))).result();
    const place = { from: parsePath('rounds[2].y')!, salt: 'salt' };
    const own = forkScope(file(1), file(2), place.from, place.salt);
    const handle = await rig.startRun('fork', own);
    const { header: begun } = (await readRun(rig.store, 'fork'))!;
    const digestOf = async (scope: PlannedScope) => (await messageOf(scope)).planDigest;
    const forkPlans = { before: await digestOf(file(1)), file: await digestOf(file(2)), salt: 'salt' };
    const fork = { run: 'fork-of', from: 'rounds[2].y', params: {} };
    await rig.store.writeRecord('runs/fork/run.json', Buffer.from(canonicalJson({ ...begun, fork, forkPlans })));

    await hasRun('fork', 'rounds[2].y 2');
    const followed = followFork(own, { was: file(2), is: file(3, 10) }, place);
    const edit = { was: forkPlans.file, is: await digestOf(file(3, 10)) };
    expect(await proof('fork', followed)).toBeNull();
    const { file: facts } = await messageOf(followed);
    await upgrade('fork', followed, { file: { ...facts, edit } });
    for (const round of [2, 3]) released.add(`fork rounds[${round}].y`);
    expect(await handle.result()).toEqual({ state: 'done' });
    expect(ranIn('fork')).toEqual(['rounds[2].y 2', 'rounds[3].x 12', 'rounds[3].y 3']);
    await replays('fork');

    const record = (await readRun(rig.store, 'fork'))!;
    const plans = async (changed: RunRecord) =>
      (await verifyRun(rig.store, changed)).checks
        .find(({ name }) => name === 'plan')!
        .problems.map(({ what }) => what);
    expect(await plans(record)).toEqual([]);
    const other = { ...record.header, forkPlans: { ...forkPlans, salt: 'other' } };
    expect(await plans({ ...record, header: other })).toEqual([
      expect.stringContaining('is not what follows from that of fork-of'),
      expect.stringContaining("is not the fork's own"),
    ]);
    const [last] = record.state.upgrades!;
    const upgrades = [{ ...last!, edit: { ...edit, was: forkPlans.before } }];
    expect(await plans({ ...record, state: { ...record.state, upgrades } })).toEqual([
      expect.stringMatching(/^the plans of the file before and after it, .* are missing, damaged or others$/),
    ]);
  });

  test('of a run in parts reaches those that have not begun, and begins again those under way that change', async () => {
    only = 'parts';
    const loop = (value: number, max: number) => repeat('loop', [slow('x', value)], { max });
    const scope = (value: number, last: number, ...more: PlannedStep[]): PlannedScope => ({
      steps: [
        slow('a', 1),
        note('b', 2, ['a']),
        slow('c', 3),
        note('d', value, ['c']),
        loop(value, value),
        note('e', last, ['b', 'd', 'loop']),
        ...more,
      ],
      parts: [0, 2, 5],
    });
    const handle = await rig.startRun('parts', scope(2, 6));
    for (const entry of ['a 1', 'c 3', 'loop[1].x 2']) await hasRun('parts', entry);
    const changed = scope(3, 7, note('f', 8, ['e']));
    expect(await proof('parts', changed)).toBeNull();
    await upgrade('parts', changed, { recorded: { a: 0, c: 0, loop: 1 }, rounds: { loop: 2 } });
    released.add('parts a');
    await hasRun('parts', 'b 2');
    await upgrade('parts', scope(3, 9, note('f', 8, ['e'])));
    for (const path of ['c', 'loop[1].x', 'loop[2].x', 'loop[3].x']) released.add(`parts ${path}`);
    expect(await handle.result()).toEqual({ state: 'done' });
    const rounds = ['loop[1].x 2', 'loop[2].x 3', 'loop[3].x 3'];
    expect([...new Set(ranIn('parts'))].sort()).toEqual(['a 1', 'b 2', 'c 3', 'd 3', 'e 9', 'f 8', ...rounds]);
    expect(ranIn('parts').filter((entry) => entry === 'a 1')).toHaveLength(1);
    expect((await rig.states('parts')).filter((state) => !state.endsWith(': done'))).toEqual([]);
    const { checks } = await verifyRun(rig.store, (await readRun(rig.store, 'parts'))!);
    expect(checks.flatMap(({ problems }) => problems)).toEqual([]);
    await replays('parts');
  });

  test('is refused where its message is none, or the run would be in parts', async () => {
    only = 'words';
    const handle = await rig.startRun('words', scopeOf(slow('a', 1), note('b', 2, ['a'])));
    await hasRun('words', 'a 1');
    const send = (message: object) => refusal(handle.executeUpdate('upgrade', { args: [message] }));
    expect(await send({ reason: 'why not' })).toBe('"upgrade" needs "by": who asks.');
    expect(await send({ by: 'ada', planDigest: 'none' })).toMatch(/^"planDigest" is the SHA-256/);
    const whole = await messageOf(scopeOf(slow('a', 1)));
    expect(await send({ ...whole, recorded: { b: 0 } })).toMatch(/^The run is beginning again, .* b has not begun\.$/);
    expect(await send({ ...whole, proof: true })).toBe('"proof" has a place in replays alone.');
    expect(await send({ ...whole, scope: { ...whole.scope, parts: [0, 1] } })).toBe(
      'The run words would have so many steps that they run in parts, and has begun with all of them in one.',
    );
    expect(await send({ ...whole, scope: undefined, planDigest: '0'.repeat(64) })).toBe(
      `The store has no plan ${'0'.repeat(64)}.`,
    );
    released.add('words a');
    expect(await handle.result()).toEqual({ state: 'done' });
  });
});

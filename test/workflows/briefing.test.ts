/** Messages to a root that does not know its plan yet, on a real server: they wait, and are told as later ones. */

import type { WorkflowHandle } from '@temporalio/client';
import { expect, test } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { readApproval } from '../../artifacts/approval-record.ts';
import { sha256Hex } from '../../artifacts/digest.ts';
import { createRun, readNotices, readOperations, readRun } from '../../artifacts/run-record.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import type { Form } from '../../plan/form.ts';
import type { Plan, PlannedScope } from '../../plan/types.ts';
import {
  answerName,
  gatesName,
  queueName,
  type RunArguments,
  upgradeName,
  workflowIdOf,
} from '../../workflows/messages.ts';
import { rigOfFile } from '../rig-of-file.ts';
import { activity, approve, cel, testQueuePrefix } from '../small-plans.ts';

const notes: string[] = [];

const steps = {
  note: async ({ run, path }: StepContext, { value }: { value?: unknown }) => {
    notes.push(`${run} ${path} ${String(value)}`);
    return { value: value ?? 0 };
  },
};

const form: Form = { properties: { go: { type: 'boolean' } }, required: ['go'] };

/** A run whose plan is not in the store until `planComes`. */
async function startWithoutPlan(run: string, root: PlannedScope) {
  const plan: Plan = { format: 1, pipeline: 'test-pipeline', seed: 1, params: {}, root };
  const bytes = Buffer.from(canonicalJson(plan));
  const planDigest = sha256Hex(bytes);
  const createdAt = new Date().toISOString();
  const { pipeline, seed, params } = plan;
  await createRun(rig.store, { run, pipeline, planDigest, source: planDigest, file: 'a.yaml', params, createdAt });
  const args: RunArguments = { run, pipeline, planDigest, seed };
  const handle = await rig.client.workflow.start(pipeline, {
    workflowId: workflowIdOf(run),
    taskQueue: queueName(testQueuePrefix, 'workflows'),
    args: [args],
  });
  return { handle, planDigest, planComes: () => rig.store.putObject(bytes) };
}

/** What it answers, or the words by which it is refused. */
const say = (handle: WorkflowHandle, name: string, message: object) =>
  handle
    .executeUpdate<object, [object]>(name, { args: [{ by: 'ann', ...message }] })
    .catch((error: { cause?: Error }) => error.cause?.message);

const rig = rigOfFile(steps);

test('messages that come before the plan wait for it, and are taken or refused as later ones', async () => {
  const { handle, planDigest, planComes } = await startWithoutPlan('early', {
    steps: [
      approve('ok', form),
      approve('more', form),
      activity('next', 'note', { needs: ['ok', 'more'], with: { value: cel('steps.ok.go') } }),
      activity('left', 'note'),
    ],
  });
  const words = {
    gate: 'The run early has no approve step "nope". Its approve steps: ok, more.',
    form: expect.stringContaining('go'),
    path: 'The run early has no step "nope". Its steps: ok, more, next, left.',
    held: 'No step of early is held, so there is nothing to retry.',
    upgrade: expect.stringContaining('"planDigest" is the SHA-256 of the changed plan.'),
  };
  const told: unknown[] = [];
  const keep = (answer: unknown) => void told.push(answer);
  const waiting = [
    say(handle, answerName, { gate: 'ok', answer: { go: true } }).then(keep),
    say(handle, answerName, { gate: 'nope', answer: { go: true } }).then(keep),
    say(handle, answerName, { gate: 'more', answer: { go: 'perhaps' } }).then(keep),
    say(handle, 'skip', { path: 'left', reason: 'not needed' }).then(keep),
    say(handle, 'reset', { path: 'nope' }).then(keep),
    say(handle, 'retry', {}).then(keep),
    say(handle, upgradeName, {}).then(keep),
  ];
  await handle.signal(answerName, { gate: 'more', by: 'ben', answer: { go: false } });
  await handle.signal(answerName, { gate: 'nope', by: 'ben', answer: { go: false } });
  // What concerns the whole run is taken at once.
  expect(await say(handle, 'pause', {})).toMatchObject({ steps: [] });
  expect(await say(handle, 'pause', {})).toBe('The run early is paused already.');
  expect(await say(handle, 'resume', {})).toMatchObject({ steps: [] });
  expect(await handle.query(gatesName)).toEqual({ open: [], refused: [], lists: [] });
  expect(told).toEqual([]);

  expect(await planComes()).toBe(planDigest);
  await Promise.all(waiting);
  expect(told).toHaveLength(7);
  expect(told).toEqual(
    expect.arrayContaining([{ accepted: true }, { at: expect.any(String), steps: ['left'] }, ...Object.values(words)]),
  );
  expect(await handle.result()).toEqual({ state: 'done' });
  expect((await readApproval(rig.store, 'early', 'ok'))?.given).toMatchObject({ answer: { go: true }, by: 'ann' });
  expect((await readApproval(rig.store, 'early', 'more'))?.given).toMatchObject({
    answer: { go: false },
    via: 'signal',
  });
  expect(notes.filter((note) => note.startsWith('early '))).toEqual(['early next true']);
  expect((await rig.step('early', 'left'))?.state).toBe('skipped');
  const taken = (await readOperations(rig.store, 'early')).map(({ operation }) => operation);
  expect(taken).toEqual(['pause', 'resume', 'skip']);
  expect(await readNotices(rig.store, 'early')).toEqual([`An answer signal was refused. ${words.gate}`]);
}, 60_000);

test('a run that is cancelled before its plan is there begins no step, but runs those of finally', async () => {
  const { handle, planComes } = await startWithoutPlan('ended', {
    steps: [activity('first', 'note')],
    finally: [activity('told', 'note', { with: { value: cel('run.state') } })],
  });
  expect(await say(handle, 'cancel', {})).toMatchObject({ steps: [] });
  const late = say(handle, 'skip', { path: 'first', reason: 'not needed' });
  await planComes();
  expect(await handle.result()).toEqual({ state: 'cancelled' });
  expect(await late).toBe('The run ended is being cancelled.');
  expect(notes.filter((note) => note.startsWith('ended '))).toEqual(['ended told cancelled']);
  expect((await readRun(rig.store, 'ended'))?.state.state).toBe('cancelled');
}, 60_000);

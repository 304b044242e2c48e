/** `approve` on a real Temporal server: answers by update and signal, early, wrong, twice, late; in rounds and legs. */

import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { describe, expect, test } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { readApproval, writeApproval } from '../../artifacts/approval-record.ts';
import { sha256Hex } from '../../artifacts/digest.ts';
import { readRun } from '../../artifacts/run-record.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import type { Form } from '../../plan/form.ts';
import type { FanOutStep } from '../../plan/types.ts';
import { type AnswerMessage, type AnswerReceipt, answerName, retryName } from '../../workflows/messages.ts';
import { eventually } from '../rig.ts';
import { rigOfFile } from '../rig-of-file.ts';
import { activity, approve, cel, repeat } from '../small-plans.ts';

const steps = { note: async (_: StepContext, { value }: { value?: unknown }) => ({ value: value ?? 0 }) };

const form: Form = {
  properties: { go: { type: 'boolean' }, epochs: { type: 'integer', minimum: 1, default: 30 } },
  required: ['go'],
};

const answer = (handle: WorkflowHandle, message: Partial<AnswerMessage>) =>
  handle.executeUpdate<AnswerReceipt, [AnswerMessage]>(answerName, {
    args: [{ gate: 'ok', by: 'Ann', answer: { go: true }, ...message }],
  });

const refusal = async (sent: Promise<unknown>) => {
  const error = await sent.then(
    () => undefined,
    (reason: { cause?: Error }) => reason,
  );
  return error?.cause?.message;
};

const waiting = (run: string, path = 'ok') => eventually(async () => (await rig.step(run, path))?.state === 'waiting');

const rig = rigOfFile(steps);

describe('a gate', () => {
  test('waits, shows what it asks, refuses wrong answers, and hands the right one to the steps behind it', async () => {
    const handle = await rig.startRun('asks', {
      steps: [
        activity('a', 'note', { with: { value: 7 } }),
        approve('ok', form, {
          needs: ['a'],
          with: {
            message: { $text: ['AP is ', cel('steps.a.value'), '.'] },
            show: { AP: cel('steps.a.value') },
            assignees: ['ann', 'ben'],
          },
        }),
        activity('b', 'note', { needs: ['ok'], when: 'steps.ok.go', with: { value: cel('steps.ok.epochs * 2') } }),
      ],
    });
    await waiting('asks');
    await eventually(async () => (await readRun(rig.store, 'asks'))?.state.state === 'waiting');
    expect((await rig.step('asks', 'ok'))?.waitingFor).toBe('an answer: hardcase review show ok --run asks');
    expect(await readApproval(rig.store, 'asks', 'ok')).toMatchObject({
      state: 'open',
      message: 'AP is 7.',
      show: { AP: 7 },
      assignees: ['ann', 'ben'],
    });

    expect(await refusal(answer(handle, { answer: { go: 'yes', epoch: 3 } }))).toBe(
      'The form has no field "epoch"; its fields: go, epochs. "go" is "yes"; expected true or false.',
    );
    expect(await refusal(answer(handle, { gate: 'okay' }))).toBe(
      'The run asks has no approve step "okay". Its approve steps: ok.',
    );
    expect(await refusal(answer(handle, { by: '' }))).toBe('"by" is missing; it names who answers.');

    expect(await answer(handle, { answer: { go: true, epochs: 4 }, reason: 'Looks right.' })).toEqual({
      accepted: true,
    });
    await handle.result();
    expect((await rig.step('asks', 'b'))?.outputs?.value).toBe(8);
    expect(await rig.step('asks', 'ok')).toMatchObject({
      state: 'done',
      outputs: { go: true, epochs: 4, by: 'Ann', expired: false },
      note: 'answered by Ann: Looks right.',
    });
    expect(await readApproval(rig.store, 'asks', 'ok')).toMatchObject({
      state: 'answered',
      given: { answer: { go: true, epochs: 4 }, by: 'Ann', via: 'update', reason: 'Looks right.' },
    });
  });

  test('takes the first answer alone, the same again, and one that comes before it opens', async () => {
    const handle = await rig.startRun('early', {
      steps: [
        approve('first', form),
        approve('ok', form, { needs: ['first'], with: { message: { $text: ['by ', cel('steps.first.by')] } } }),
      ],
    });
    await waiting('early', 'first');
    expect(await answer(handle, {})).toEqual({ accepted: true });
    // The default of the form makes it the same answer.
    expect(await answer(handle, { by: 'Ben', answer: { go: true, epochs: 30 } })).toEqual({ accepted: false });
    expect(await refusal(answer(handle, { by: 'Ben', answer: { go: false } }))).toMatch(
      /^ok was answered by Ann at \S+ with {"go":true,"epochs":30}\. The first answer counts\.$/,
    );
    await handle.signal(answerName, { gate: 'first', by: 'Cleo', answer: { go: 1 } });
    await handle.signal(answerName, { gate: 'first', by: 'Cleo', answer: { go: false } });
    await handle.result();
    expect((await rig.step('early', 'first'))?.outputs).toMatchObject({ go: false, by: 'Cleo' });
    expect((await readApproval(rig.store, 'early', 'first'))?.given?.via).toBe('signal');
    expect((await rig.step('early', 'ok'))?.outputs).toMatchObject({ go: true, by: 'Ann' });
    expect((await readRun(rig.store, 'early'))?.state.notices).toEqual([
      'An answer signal was refused. "go" is 1; expected true or false.',
    ]);
  });

  test('that was answered asks again after a reset', async () => {
    const handle = await rig.startRun('reset', {
      steps: [approve('ok', form), approve('more', form, { needs: ['ok'] })],
    });
    await waiting('reset');
    await answer(handle, {});
    await waiting('reset', 'more');
    await handle.executeUpdate('reset', { args: [{ by: 'Ann', path: 'ok' }] });
    await waiting('reset');
    await answer(handle, { by: 'Ben', answer: { go: false } });
    await waiting('reset', 'more');
    await answer(handle, { gate: 'more' });
    await handle.result();
    expect((await rig.step('reset', 'ok'))?.outputs).toMatchObject({ go: false, by: 'Ben' });
  });

  test('waits inside a round and in each leg by its own path', async () => {
    const legs: FanOutStep = {
      type: 'fan-out',
      id: 'legs',
      needs: [],
      concurrency: 10,
      legs: { matrix: [1, 2].map((size) => ({ name: `size=${size}`, values: { size } })) },
      scope: { steps: [approve('', form, { with: { message: { $text: ['Size ', cel('matrix.size'), '?'] } } })] },
    };
    const handle = await rig.startRun('within', {
      steps: [
        repeat('rounds', [approve('ok', form)], { max: 1, next: { go: cel('steps.ok.go') } }),
        legs,
        activity('all', 'note', { needs: ['legs'], with: { value: cel('steps.legs.all.map(l, l.epochs)') } }),
      ],
    });
    await waiting('within', 'rounds[1].ok');
    await waiting('within', 'legs[size=2]');
    await answer(handle, { gate: 'rounds[1].ok' });
    await answer(handle, { gate: 'legs[size=2]', answer: { go: true, epochs: 2 } });
    await answer(handle, { gate: 'legs[size=1]', answer: { go: true, epochs: 1 } });
    await handle.result();
    expect((await readApproval(rig.store, 'within', 'legs[size=2]'))?.message).toBe('Size 2?');
    expect((await rig.step('within', 'all'))?.outputs?.value).toEqual([1, 2]);
    expect((await rig.step('within', 'rounds'))?.outputs?.last).toEqual({ go: true });
  });
});

describe('when nobody answers', () => {
  const expiring = (inMs: string) => ({ after: { expire: { in: inMs } } });

  test('the run fails where the gate says so', async () => {
    const handle = await rig.startRun('unanswered', {
      steps: [approve('ok', form, { with: expiring('200ms'), expired: 'fail', onFailure: 'fail' })],
    });
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    expect((await readRun(rig.store, 'unanswered'))?.state.error).toBe('ok failed: Nobody answered within 0.2 s.');
    expect(await readApproval(rig.store, 'unanswered', 'ok')).toMatchObject({ state: 'expired' });
  });

  test('a held gate takes no answer until a retry opens it again', async () => {
    const handle = await rig.startRun('held', {
      steps: [approve('ok', form, { with: expiring('1500ms'), expired: 'hold' })],
    });
    await eventually(async () => (await readRun(rig.store, 'held'))?.state.state === 'held');
    expect(await rig.step('held', 'ok')).toMatchObject({
      error: 'Nobody answered within 1.5 s.',
      errorType: 'Unanswered',
    });
    expect(await refusal(answer(handle, {}))).toBe('ok takes no more answers: its time ran out.');
    await handle.executeUpdate(retryName, { args: [{ by: 'Ann' }] });
    await waiting('held');
    await answer(handle, {});
    await handle.result();
    expect((await rig.step('held', 'ok'))?.outputs).toMatchObject({ go: true, expired: false });
  });
});

test('a run that begins again under its id does not ask again, and a cancelled gate is closed', async () => {
  const plan = { steps: [approve('ok', form), approve('more', form, { needs: ['ok'] })] };
  const handle = await rig.startRun('again', plan);
  await waiting('again');
  await answer(handle, {});
  await waiting('again', 'more');
  await handle.cancel();
  await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
  expect((await readApproval(rig.store, 'again', 'more'))?.state).toBe('closed');

  const { workflowId } = handle;
  const description = await handle.describe();
  const begun = await rig.client.workflow.start(description.type, {
    workflowId,
    taskQueue: description.taskQueue,
    args: [{ run: 'again', pipeline: 'test-pipeline', planDigest: 'unused', seed: 1, scope: plan }],
  });
  await waiting('again', 'more');
  expect((await rig.step('again', 'ok'))?.outputs).toMatchObject({ go: true, by: 'Ann' });
  expect(await refusal(answer(begun, { by: 'Ben', answer: { go: false } }))).toMatch(
    /^ok was answered by Ann at \S+ with {"epochs":30,"go":true}\. The first answer counts\.$/,
  );
  expect(await answer(begun, { by: 'Ben' })).toEqual({ accepted: false });
  await answer(begun, { gate: 'more' });
  await begun.result();
});

test('an answer that came early to a gate that is found answered is said not to count', async () => {
  const handle = await rig.startRun('found', {
    steps: [approve('first', form), approve('ok', form, { needs: ['first'] })],
  });
  await waiting('found', 'first');
  const given = {
    answer: { go: false, epochs: 30 },
    by: 'Ann',
    at: '2026-01-01T00:00:00.000Z',
    via: 'update',
  } as const;
  const message = 'ok waits for an answer.';
  const shown = sha256Hex(canonicalJson({ message, form }));
  const found = { path: 'ok', state: 'answered', openedAt: given.at, message, form, given, shown } as const;
  await writeApproval(rig.store, 'found', found);
  expect(await answer(handle, { by: 'Ben' })).toEqual({ accepted: true });
  await answer(handle, { gate: 'first' });
  await handle.result();
  expect((await rig.step('found', 'ok'))?.outputs).toMatchObject({ go: false, by: 'Ann' });
  expect((await readRun(rig.store, 'found'))?.state.notices).toEqual([
    'The answer of Ben to ok, {"go":true,"epochs":30}, does not count: ok was answered by Ann at 2026-01-01T00:00:00.000Z with {"epochs":30,"go":false}. The first answer counts.',
  ]);
});

/** What happens while nobody answers, in skipped time: a reminder, an escalation, and after days the answer of nobody. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { readApproval } from '../../artifacts/approval-record.ts';
import { readRun, readStepRecord } from '../../artifacts/run-record.ts';
import type { Form } from '../../plan/form.ts';
import { type AnswerMessage, type AnswerReceipt, answerName } from '../../workflows/messages.ts';
import { openSkippingRig, type SkippingRig } from '../skipping-rig.ts';
import { activity, approve, cel } from '../small-plans.ts';

let rig: SkippingRig;

const form: Form = {
  properties: { go: { type: 'boolean' }, epochs: { type: 'integer', default: 30 } },
  required: ['go'],
};

const ladder = {
  assignees: ['ann', 'ben'],
  after: { remind: '4h', escalate: { in: '2d', to: ['cleo'] }, expire: { in: '7d' } },
};

const plan = {
  steps: [
    approve('ok', form, { with: ladder, expired: { go: false, epochs: 30 } }),
    activity('b', 'note', { needs: ['ok'], with: { value: cel("steps.ok.expired ? 'nobody' : steps.ok.by") } }),
  ],
};

const daysBetween = (from: string, to: string) => (Date.parse(to) - Date.parse(from)) / 86_400_000;

beforeAll(async () => {
  rig = await openSkippingRig({ note: async (_: StepContext, { value }: { value: unknown }) => ({ value }) });
});

afterAll(async () => {
  await rig?.close();
});

test('nobody answers for 8 days: the run has reminded, escalated, and gone on after 7', async () => {
  const before = await rig.now();
  const handle = await rig.startRun('nobody', plan);
  await rig.sleep('8 days');
  expect(daysBetween(before, await rig.now())).toBeGreaterThanOrEqual(8);
  await handle.result();

  const approval = await readApproval(rig.store, 'nobody', 'ok');
  expect(approval).toMatchObject({
    state: 'answered',
    assignees: ['ann', 'ben', 'cleo'],
    given: { answer: { go: false, epochs: 30 }, by: 'nobody', via: 'timeout' },
  });
  expect(daysBetween(approval!.openedAt, approval!.given!.at)).toBeCloseTo(7, 2);
  expect((await readRun(rig.store, 'nobody'))?.state.notices).toEqual([
    '"ok" has waited for 4 h for an answer of ann, ben. See "hardcase review show ok --run nobody".',
    '"ok" has waited for 2 d for an answer, and now asks cleo too. See "hardcase review show ok --run nobody".',
  ]);
  expect(await readStepRecord(rig.store, 'nobody', 'ok')).toMatchObject({
    outputs: { go: false, epochs: 30, by: 'nobody', expired: true },
    note: 'nobody answered in time',
  });
  expect((await readStepRecord(rig.store, 'nobody', 'b'))?.outputs?.value).toBe('nobody');
});

test('an answer on the second day ends the ladder: nobody is escalated to', async () => {
  const handle = await rig.startRun('somebody', plan);
  await rig.sleep('30 hours');
  const receipt = await handle.executeUpdate<AnswerReceipt, [AnswerMessage]>(answerName, {
    args: [{ gate: 'ok', by: 'ben', answer: { go: true } }],
  });
  expect(receipt).toEqual({ accepted: true });
  await handle.result();
  expect((await readRun(rig.store, 'somebody'))?.state.notices).toHaveLength(1);
  expect((await readApproval(rig.store, 'somebody', 'ok'))?.assignees).toEqual(['ann', 'ben']);
  expect((await readStepRecord(rig.store, 'somebody', 'b'))?.outputs?.value).toBe('ben');
});

/** A run whose root goes on in new histories, on a real server, while people answer, decide, pause, resume and retry. */

import type { WorkflowHandle } from '@temporalio/client';
import { expect, test } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { readApproval } from '../../artifacts/approval-record.ts';
import { readDecisions } from '../../artifacts/gate-record.ts';
import { readOperations, readRun } from '../../artifacts/run-record.ts';
import { answerName, decideName, workflowIdOf } from '../../workflows/messages.ts';
import { eventually } from '../rig.ts';
import { rigOfFile } from '../rig-of-file.ts';
import { activity, approve, cel, fanOut, gate, repeat } from '../small-plans.ts';
import { saveSpurious } from './reviews.ts';

/** How often each step began, by its path. */
const began = new Map<string, number>();

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const steps = {
  note: async ({ path }: StepContext, { value }: { value?: unknown }) => {
    began.set(path, (began.get(path) ?? 0) + 1);
    return { value: value ?? 0 };
  },
};

const form = { properties: { epochs: { type: 'integer' as const } }, required: ['epochs'] };
const candidatesCount = 14;

/** Nobody is asked twice about one image, so each gate has one of its own. */
const reviewed = (name: string) => saveSpurious(rig, name, candidatesCount);

/** How many histories the run's root has had. */
async function histories(run: string): Promise<number> {
  let count = 0;
  for await (const _ of rig.client.workflow.list({ query: `WorkflowId = "${workflowIdOf(run)}"` })) count++;
  return count;
}

const asked = (handle: WorkflowHandle, name: string, message: object) =>
  handle.executeUpdate<object, [object]>(name, { args: [{ by: 'ann', ...message }] });

/** Says it until it was taken: a new history may begin just now. */
const surely = (handle: WorkflowHandle, name: string, message: object = {}) =>
  eventually(
    () =>
      asked(handle, name, message).catch((error: { cause?: Error }) => {
        // What the history before has taken is as good as taken.
        return (
          /takes no more answers|is closed|paused already|is not paused/.test(error.cause?.message ?? '') || undefined
        );
      }),
    60_000,
  );

const rig = rigOfFile(steps);

test('loses no answer, no decision and no operation over its new histories', async () => {
  const rounds = 5;
  const legs = 4;
  const handle = await rig.startRun(
    'renewed',
    {
      steps: [
        activity('first', 'note'),
        repeat(
          'rounds',
          [approve('ok', form), activity('train', 'note', { needs: ['ok'], with: { value: cel('steps.ok.epochs') } })],
          { max: rounds, needs: ['first'] },
        ),
        fanOut('legs', [approve('', form)], { legs: { forEach: Array.from({ length: legs }, (_, i) => i) } }),
        gate('review', { with: await reviewed('one') }),
        activity('last', 'note', { needs: ['rounds', 'legs', 'review'] }),
      ],
    },
    { renewAfter: 60 },
  );
  let ended = false;
  const operations: Promise<void> = (async () => {
    while (!ended) {
      await asked(handle, 'pause', { now: true }).catch(() => undefined);
      await pause(40);
      // Whoever paused the run lets it go on: a refusal would leave it standing.
      await asked(handle, 'resume', { reason: 'goes on' }).catch(() => undefined);
      await pause(150);
    }
  })();
  const say = (name: string, message: object) => surely(handle, name, message);
  const people = [
    (async () => {
      // Some come before their gate is open.
      for (let i = rounds; i > 0; i--) await say(answerName, { gate: `rounds[${i}].ok`, answer: { epochs: i } });
    })(),
    (async () => {
      for (let i = 1; i <= legs; i++) {
        await say(answerName, { gate: `legs[${i}]`, answer: { epochs: 10 * i } });
        await pause(100);
      }
    })(),
    (async () => {
      for (let i = 0; i < candidatesCount; i++) {
        const decisions = [{ candidateId: `c${i}`, verdict: i % 2 === 0 ? 'accept' : 'reject' }];
        await say(decideName, { gate: 'review', batch: `b${i}`, decisions });
        await pause(60);
      }
    })(),
  ];
  await Promise.all(people);
  ended = true;
  await operations;
  await surely(handle, 'resume');
  await handle.result();

  expect((await rig.states('renewed')).filter((state) => !/: done/.test(state))).toEqual([]);
  for (let i = 1; i <= rounds; i++) {
    expect((await rig.step('renewed', `rounds[${i}].train`))?.outputs).toEqual({ value: i });
    // Found again in later histories, and not run twice.
    expect([i, began.get(`rounds[${i}].train`)]).toEqual([i, 1]);
  }
  for (let i = 1; i <= legs; i++) {
    expect((await readApproval(rig.store, 'renewed', `legs[${i}]`))?.given?.answer).toEqual({ epochs: 10 * i });
  }
  const decided = await readDecisions(rig.store, 'renewed', 'review');
  expect(decided.map(({ candidateId, verdict }) => `${candidateId} ${verdict}`).sort()).toEqual(
    Array.from({ length: candidatesCount }, (_, i) => `c${i} ${i % 2 === 0 ? 'accept' : 'reject'}`).sort(),
  );
  // Each pause was taken back by one that resumed.
  const taken = (await readOperations(rig.store, 'renewed')).map(({ operation }) => operation);
  expect(taken.filter((_, at) => at % 2 === 0).every((one) => one === 'pause')).toBe(true);
  expect(taken.filter((_, at) => at % 2 === 1).every((one) => one === 'resume')).toBe(true);
  await eventually(async () => (await histories('renewed')) > 1);
}, 240_000);

test('stays paused in its new history, refuses what was answered or decided otherwise, and can be cancelled there', async () => {
  const handle = await rig.startRun(
    'paused',
    {
      steps: [
        approve('ok', form),
        activity('next', 'note', { needs: ['ok'] }),
        approve('more', form),
        approve('held', form, { needs: ['next'] }),
        gate('look', { with: await reviewed('another') }),
      ],
    },
    { renewAfter: 40 },
  );
  const waits = (path: string) => eventually(async () => (await rig.step('paused', path))?.state === 'waiting');
  await waits('ok');
  await waits('more');
  await waits('look');
  const decide = (verdict: string) => ({
    gate: 'look',
    batch: `c0-${verdict}`,
    decisions: [{ candidateId: 'c0', verdict }],
  });
  await surely(handle, decideName, decide('accept'));
  await eventually(async () => (await readDecisions(rig.store, 'paused', 'look')).length === 1);
  const first = (await handle.describe()).runId;
  for (let i = 0; i < 6; i++) {
    await surely(handle, 'pause');
    if (i < 5) await surely(handle, 'resume');
  }
  await surely(handle, answerName, { gate: 'ok', answer: { epochs: 3 } });
  await eventually(async () => (await handle.describe()).runId !== first);
  await waits('more');
  await eventually(async () => (await readRun(rig.store, 'paused'))?.state.state === 'paused');
  expect(began.get('next')).toBeUndefined();
  await expect(asked(handle, answerName, { gate: 'ok', answer: { epochs: 4 } })).rejects.toThrow();
  await expect(asked(handle, decideName, decide('reject'))).rejects.toMatchObject({
    cause: { message: expect.stringContaining('contradicts that. The first decision counts.') },
  });
  await surely(handle, 'resume');
  await waits('held');
  expect(began.get('next')).toBe(1);
  expect((await readApproval(rig.store, 'paused', 'ok'))?.given?.answer).toEqual({ epochs: 3 });
  await surely(handle, 'cancel');
  expect(await handle.result()).toEqual({ state: 'cancelled' });
}, 120_000);

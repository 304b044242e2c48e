/** Runs whose root goes on in new histories because those of workflows below it grow long by their gates, on a real server. */

import type { WorkflowHandle } from '@temporalio/client';
import { expect, test } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { readApproval } from '../../artifacts/approval-record.ts';
import type { Form } from '../../plan/form.ts';
import { answerName, workflowIdOf } from '../../workflows/messages.ts';
import { eventually } from '../rig.ts';
import { rigOfFile } from '../rig-of-file.ts';
import { activity, approve, cel, fanOut, imported, repeat } from '../small-plans.ts';

/** How often each step began, by its path. */
const began = new Map<string, number>();

/** Whether steps of kind `slow` may end. */
let isReleased = false;

const steps = {
  note: async ({ path }: StepContext, { value }: { value?: unknown }) => {
    began.set(path, (began.get(path) ?? 0) + 1);
    return { value: value ?? 0 };
  },
  slow: async ({ signal }: StepContext) => {
    while (!isReleased) {
      signal.throwIfAborted();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return {};
  },
};

const form: Form = { properties: { go: { type: 'integer' } }, required: ['go'] };

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

/** Says it until the gate has it: a new history may begin just now. */
const answer = (handle: WorkflowHandle, gate: string, go: number) =>
  eventually(
    () =>
      handle
        .executeUpdate<object, [object]>(answerName, { args: [{ gate, by: 'Ann', answer: { go } }] })
        .catch((error: { cause?: Error }) => error.cause?.message.includes('takes no more answers')),
    60_000,
  );

const isOpen = async (run: string, path: string) => (await readApproval(rig.store, run, path))?.state === 'open';

/** How many histories the root has had, and the longest of any workflow of the run. */
async function histories(run: string): Promise<{ readonly ofRoot: number; readonly longest: number }> {
  let ofRoot = 0;
  let longest = 0;
  for await (const { workflowId, historyLength } of rig.client.workflow.list()) {
    if (workflowId === workflowIdOf(run)) ofRoot++;
    else if (!workflowId.startsWith(`${workflowIdOf(run)}:`)) continue;
    longest = Math.max(longest, historyLength);
  }
  return { ofRoot, longest };
}

const rig = rigOfFile(steps);

test('a run goes on in new histories for the sake of a batch of legs that ask again and again, and loses no answer', async () => {
  const [legs, rounds] = [4, 5];
  // Two of the legs are answered by a person; in the others the time runs out, at different moments.
  const expires = cel(`item > 2 ? (item > 3 ? '700ms' : '1100ms') : '1h'`);
  const asks = approve('ok', form, { with: { after: { expire: { in: expires } } }, expired: { go: 0 } });
  const trains = activity('train', 'note', { needs: ['ok'], with: { value: cel('steps.ok.go') } });
  const loop = repeat('rounds', [asks, trains], { max: rounds, next: { went: cel('steps.ok.go') } });
  const handle = await rig.startRun(
    'worn',
    {
      steps: [
        fanOut('ask', [loop], {
          legs: { forEach: numbers(legs) },
          concurrency: legs,
          outputs: { went: cel('steps.rounds.all.map(r, r.went)') },
        }),
        activity('all', 'note', { needs: ['ask'], with: { value: cel('steps.ask.all.map(l, l.went)') } }),
      ],
    },
    { renewAfter: 3_000, wornAfter: 80 },
  );
  for (const round of numbers(rounds)) {
    for (const leg of [1, 2]) {
      await eventually(() => isOpen('worn', `ask[${leg}].rounds[${round}].ok`), 120_000);
      await answer(handle, `ask[${leg}].rounds[${round}].ok`, 10 * leg + round);
    }
  }
  await handle.result();
  const went = numbers(legs).map((leg) => numbers(rounds).map((round) => (leg > 2 ? 0 : 10 * leg + round)));
  expect((await rig.step('worn', 'all'))?.outputs?.value).toEqual(went);
  for (const [path, times] of began) expect([path, times]).toEqual([path, 1]);
  await eventually(async () => (await histories('worn')).ofRoot > 2);
  const { longest } = await histories('worn');
  expect([longest, longest < 300]).toEqual([longest, true]);
}, 240_000);

test('answers that come in the moment in which the run leaves its history count, once each', async () => {
  const [legs, rounds] = [2, 6];
  const handle = await rig.startRun(
    'raced',
    {
      steps: [
        fanOut('ask', [repeat('rounds', [approve('ok', form)], { max: rounds, next: { went: cel('steps.ok.go') } })], {
          legs: { forEach: numbers(legs) },
          outputs: { went: cel('steps.rounds.all.map(r, r.went)') },
        }),
        activity('all', 'note', { needs: ['ask'], with: { value: cel('steps.ask.all.map(l, l.went)') } }),
      ],
    },
    { renewAfter: 3_000, wornAfter: 2_000 },
  );
  const gates = numbers(rounds).flatMap((round) => numbers(legs).map((leg) => [leg, round] as const));
  for (const [leg, round] of gates) {
    const gate = `ask[${leg}].rounds[${round}].ok`;
    // Some wait by then, and some open in the new history only.
    if ((leg + round) % 3 > 0) await eventually(() => isOpen('raced', gate), 120_000);
    const worn = handle.signal('worn', { atOnce: true });
    await Promise.all([worn, answer(handle, gate, 10 * leg + round)]);
  }
  await handle.result();
  const went = numbers(legs).map((leg) => numbers(rounds).map((round) => 10 * leg + round));
  expect((await rig.step('raced', 'all'))?.outputs?.value).toEqual(went);
  await eventually(async () => (await histories('raced')).ofRoot > 2);
}, 240_000);

test('a run goes on in new histories for legs within legs, and an end of each file in them runs once', async () => {
  const rounds = 2;
  const expires = cel(`params.leg == 'a' ? '900ms' : '1h'`);
  const asks = approve('ok', form, { with: { after: { expire: { in: expires } } }, expired: { go: 0 } });
  const loop = repeat('rounds', [asks], { max: rounds, next: { went: cel('steps.ok.go') } });
  const file = imported('file', [], {
    params: { leg: cel('item') },
    outputs: { went: cel('steps.rounds.all.map(r, r.went)') },
    scope: { steps: [loop], finally: [activity('tidy', 'note')] },
  });
  const inner = fanOut('inner', [file], { legs: { forEach: ['a', 'b'] }, outputs: { went: cel('steps.file.went') } });
  const handle = await rig.startRun(
    'nested',
    {
      steps: [
        fanOut('outer', [inner], {
          legs: { forEach: [1, 2] },
          outputs: { went: cel('steps.inner.all.map(l, l.went)') },
        }),
        activity('all', 'note', { needs: ['outer'], with: { value: cel('steps.outer.all.map(l, l.went)') } }),
      ],
    },
    { renewAfter: 3_000, wornAfter: 60 },
  );
  for (const round of numbers(rounds)) {
    for (const leg of [1, 2]) {
      const gate = `outer[${leg}].inner[2].file.rounds[${round}].ok`;
      await eventually(() => isOpen('nested', gate), 120_000);
      await answer(handle, gate, 10 * leg + round);
    }
  }
  await handle.result();
  const went = [1, 2].map((leg) => [numbers(rounds).map(() => 0), numbers(rounds).map((round) => 10 * leg + round)]);
  expect((await rig.step('nested', 'all'))?.outputs?.value).toEqual(went);
  const tidied = [1, 2].flatMap((leg) => [1, 2].map((one) => began.get(`outer[${leg}].inner[${one}].file.tidy`)));
  expect(tidied).toEqual([1, 1, 1, 1]);
  await eventually(async () => (await histories('nested')).ofRoot > 1);
}, 240_000);

test('a run goes on in a new history also where a batch of legs has grown by what people order of the whole run', async () => {
  const legs = numbers(2);
  const handle = await rig.startRun(
    'ordered',
    { steps: [fanOut('train', [activity('', 'slow')], { legs: { forEach: legs } })] },
    { renewAfter: 3_000, wornAfter: 60 },
  );
  for (const leg of legs)
    await eventually(async () => (await rig.step('ordered', `train[${leg}]`))?.state === 'running');
  const first = (await handle.describe()).runId;
  await eventually(async () => {
    for (const name of ['pause', 'resume']) {
      await handle.executeUpdate<object, [object]>(name, { args: [{ by: 'Ann' }] }).catch(() => undefined);
    }
    return (await handle.describe()).runId !== first;
  });
  isReleased = true;
  await handle.executeUpdate<object, [object]>('resume', { args: [{ by: 'Ann' }] }).catch(() => undefined);
  expect(await handle.result()).toEqual({ state: 'done' });
}, 120_000);

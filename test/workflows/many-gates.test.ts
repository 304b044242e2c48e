/** Very many gates side by side, on a real server: what they tell the root goes up and comes down in few messages, and nothing is lost. */

import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { readApproval, writeApproval } from '../../artifacts/approval-record.ts';
import { saveDataset, saveJson } from '../../artifacts/codecs.ts';
import { sha256Hex } from '../../artifacts/digest.ts';
import { readDecisions } from '../../artifacts/gate-record.ts';
import { readRun } from '../../artifacts/run-record.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import type { Form } from '../../plan/form.ts';
import type { Json } from '../../plan/types.ts';
import { answerName, decideName, workflowIdOf } from '../../workflows/messages.ts';
import { eventually, openRig, type Rig } from '../rig.ts';
import { activity, approve, cel, fanOut, gate, repeat } from '../small-plans.ts';
import { missingAt, saveReviewed } from './reviews.ts';

let rig: Rig;
/** Steps of this kind end once it is set. */
let open = false;

const steps = {
  note: async (_: StepContext, { value }: { value?: unknown }) => ({ value: value ?? 0 }),
  wait: async ({ signal }: StepContext) => {
    await eventually(async () => open || signal.aborted);
    return {};
  },
};

const form: Form = { properties: { go: { type: 'boolean' } }, required: ['go'] };

const answer = (handle: WorkflowHandle, gate: string, by: string, go = true) =>
  handle.executeUpdate<object, [object]>(answerName, { args: [{ gate, by, answer: { go } }] });

const refusal = (sent: Promise<unknown>): Promise<string | undefined> =>
  sent.then(
    () => undefined,
    (reason: { cause?: Error }) => reason.cause?.message,
  );

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

/** Messages that the root took from other workflows, and that it sent them. */
async function messagesOf(handle: WorkflowHandle): Promise<{ readonly taken: number; readonly sent: number }> {
  const { events } = await handle.fetchHistory();
  const all = events ?? [];
  const news = all.filter((event) => event.workflowExecutionSignaledEventAttributes?.signalName === 'news');
  const sent = all.filter((event) => event.signalExternalWorkflowExecutionInitiatedEventAttributes);
  return { taken: news.length, sent: sent.length };
}

/** The gate was answered before the run came to it. */
async function foundAnswered(run: string, path: string): Promise<void> {
  const message = `${path} waits for an answer.`;
  const shown = sha256Hex(canonicalJson({ message, form }));
  const given = { answer: { go: true }, by: 'Ann', at: '2026-01-01T00:00:00.000Z', via: 'update' } as const;
  await writeApproval(rig.store, run, { path, state: 'answered', openedAt: given.at, message, form, given, shown });
}

beforeAll(async () => {
  rig = await openRig();
  await rig.startWorker(steps);
});

afterAll(async () => {
  await rig?.close();
});

test('answers that came early, answers, and the end of the time arrive at each gate, in few messages of the root', async () => {
  const legs = 24;
  const [early, late] = [8, 10];
  const expires = cel(`item <= ${late} ? '1h' : '2500ms'`);
  const asks = approve('', form, { with: { after: { expire: { in: expires } } }, expired: { go: false } });
  const handle = await rig.startRun('wide', {
    steps: [
      fanOut('ask', [asks], { legs: { forEach: numbers(legs) }, concurrency: legs }),
      activity('all', 'note', {
        needs: ['ask'],
        with: { value: cel('steps.ask.all.filter(l, l.go).map(l, l.index)') },
      }),
    ],
  });
  await Promise.all(numbers(early).map((i) => answer(handle, `ask[${i}]`, 'Ann')));
  for (let i = early + 1; i <= late; i++) {
    await eventually(async () => (await rig.step('wide', `ask[${i}]`))?.state === 'waiting');
    await answer(handle, `ask[${i}]`, 'Ben');
  }
  await handle.result();
  expect((await rig.step('wide', 'all'))?.outputs?.value).toEqual(numbers(late));
  const by = await Promise.all(
    numbers(legs).map(async (i) => (await readApproval(rig.store, 'wide', `ask[${i}]`))?.given?.by),
  );
  expect(by).toEqual(numbers(legs).map((i) => (i <= early ? 'Ann' : i <= late ? 'Ben' : 'nobody')));
  // One for each gate that opens, and for each whose time ran out, would be 38, and 24 answers.
  const { taken, sent } = await messagesOf(handle);
  expect([taken, taken < 20, sent, sent < 20]).toEqual([taken, true, sent, true]);
}, 120_000);

test('decisions that came early, decisions, and the end of the time arrive at each gate, in few messages of the root', async () => {
  const legs = 24;
  const [early, late] = [14, 16];
  const look = (i: number) => saveReviewed(rig, `look ${i}`, [], [missingAt(10), missingAt(50)]);
  const looked = await Promise.all(numbers(legs).map(look));
  const asks = gate('', {
    with: {
      dataset: cel('item.dataset'),
      candidates: cel('item.saved'),
      reviewer: 'human',
      after: { expire: { in: cel(`index <= ${late} ? '1h' : '2500ms'`) } },
    },
  });
  const items = looked.map(({ dataset, saved }) => ({ dataset, saved })) as unknown as Json[];
  open = false;
  const handle = await rig.startRun('looks', {
    steps: [
      activity('before', 'wait'),
      fanOut('look', [asks], { legs: { forEach: items }, concurrency: legs, needs: ['before'] }),
    ],
  });
  const decide = (i: number, batch: string, x: number) => {
    const decisions = [{ candidateId: `at-${x}`, verdict: i % 2 === 0 ? 'accept' : 'reject' }];
    return handle.executeUpdate<object, [object]>(decideName, {
      args: [{ gate: `look[${i}]`, batch, by: 'Ann', decisions }],
    });
  };
  for (const i of numbers(early)) {
    await decide(i, 'first', 10);
    await decide(i, 'second', 50);
  }
  open = true;
  for (let i = early + 1; i <= late; i++) {
    await eventually(async () => (await rig.step('looks', `look[${i}]`))?.state === 'waiting');
    await decide(i, 'first', 10);
    await decide(i, 'second', 50);
  }
  await handle.result();
  for (const i of numbers(legs)) {
    const decided = (await readDecisions(rig.store, 'looks', `look[${i}]`)).map(
      ({ batch, candidateId, verdict }) => `${batch} ${candidateId} ${verdict}`,
    );
    const verdict = i % 2 === 0 ? 'accept' : 'reject';
    const all = [`000001-first at-10 ${verdict}`, `000002-second at-50 ${verdict}`];
    expect([i, ...decided]).toEqual(i <= late ? [i, ...all] : [i]);
  }
  // One for each that opens, is told what was decided, tells that it is written, and closes, would be 64 and more, and 40.
  const { taken, sent } = await messagesOf(handle);
  expect([taken, taken < 32, sent, sent < 20]).toEqual([taken, true, sent, true]);
}, 120_000);

test('a late answer and a late decision to a gate within that never waits are refused', async () => {
  const digest = await rig.store.putObject(Buffer.from('image'));
  const dataset = await saveDataset(rig.store, {
    categories: [{ id: 1, name: 'apple' }],
    images: [{ id: 1, fileName: 'a.png', width: 100, height: 100, digest, split: 'train', group: '1' }],
    labels: { parent: null, author: 'import', note: '', annotations: [] },
  });
  const nothing = { dataset, candidates: await saveJson(rig.store, 'candidates', []), reviewer: 'human' } as never;
  for (const path of ['rounds[1].ok', 'legs[1]']) await foundAnswered('late', path);
  const handle = await rig.startRun('late', {
    steps: [
      repeat('rounds', [approve('ok', form), gate('look', { with: nothing })], { max: 1 }),
      fanOut('legs', [approve('', form)], { legs: { forEach: [1] } }),
      approve('last', form, { needs: ['rounds', 'legs'] }),
    ],
  });
  await eventually(async () => (await rig.step('late', 'last'))?.state === 'waiting');
  for (const path of ['rounds[1].ok', 'legs[1]']) {
    expect(await refusal(answer(handle, path, 'Ben', false))).toBe(
      `${path} was answered by Ann at 2026-01-01T00:00:00.000Z with {"go":true}. The first answer counts.`,
    );
  }
  const decisions = [{ candidateId: 'c1', verdict: 'accept' }];
  const decided = handle.executeUpdate<object, [object]>(decideName, {
    args: [{ gate: 'rounds[1].look', batch: 'b', by: 'Ben', decisions }],
  });
  expect(await refusal(decided)).toMatch(/^The gate rounds\[1\]\.look is closed: its decisions have been applied\./);
  await answer(handle, 'last', 'Ben');
  await handle.result();
}, 60_000);

test('a loop whose gates never wait tells the root of them in few messages', async () => {
  const rounds = 16;
  await Promise.all(numbers(rounds).map((i) => foundAnswered('passes', `rounds[${i}].ok`)));
  const handle = await rig.startRun('passes', {
    steps: [
      repeat('rounds', [approve('ok', form)], { max: rounds, perBatch: rounds / 2 }),
      approve('last', form, { needs: ['rounds'] }),
    ],
  });
  await eventually(async () => (await rig.step('passes', 'last'))?.state === 'waiting');
  for (const i of [1, rounds]) {
    expect(await refusal(answer(handle, `rounds[${i}].ok`, 'Ben', false))).toMatch(/was answered by Ann/);
  }
  const { taken } = await messagesOf(handle);
  expect([taken, taken < rounds]).toEqual([taken, true]);
  await answer(handle, 'last', 'Ben');
  await handle.result();
}, 60_000);

test('gates side by side keep their answers over new histories of the root', async () => {
  const legs = 9;
  const expires = cel(`item % 3 == 0 ? '1500ms' : '1h'`);
  const asks = approve('', form, { with: { after: { expire: { in: expires } } }, expired: { go: false } });
  open = false;
  const handle = await rig.startRun(
    'renewed',
    {
      steps: [
        fanOut('ask', [asks], { legs: { forEach: numbers(legs) }, concurrency: legs }),
        activity('beside', 'wait'),
        activity('all', 'note', { needs: ['ask'], with: { value: cel('steps.ask.all.map(l, l.by)') } }),
      ],
    },
    { renewAfter: 40 },
  );
  for (const i of numbers(legs).filter((each) => each % 3 !== 0)) {
    // A new history may begin just now; what the one before has taken is as good as taken.
    await eventually(async () => {
      const why = await refusal(answer(handle, `ask[${i}]`, 'Ann'));
      return why === undefined || why.includes('takes no more answers');
    });
  }
  open = true;
  await handle.result();
  const by = numbers(legs).map((i) => (i % 3 === 0 ? 'nobody' : 'Ann'));
  expect((await rig.step('renewed', 'all'))?.outputs?.value).toEqual(by);
  await eventually(async () => {
    let histories = 0;
    const query = `WorkflowId = "${workflowIdOf('renewed')}"`;
    for await (const _ of rig.client.workflow.list({ query })) histories++;
    return histories > 1;
  });
  expect((await readRun(rig.store, 'renewed'))?.state.state).toBe('done');
}, 120_000);

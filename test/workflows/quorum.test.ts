/** Several opinions of one candidate on a real Temporal server: agreement, conflict, who settles it, and the end of the wait. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadJson } from '../../artifacts/codecs.ts';
import { readDecisions, readGate } from '../../artifacts/gate-record.ts';
import { readStepRecord } from '../../artifacts/run-record.ts';
import type { Decision } from '../../detection/types.ts';
import type { Json } from '../../plan/types.ts';
import { type DecideMessage, type GatesAnswer, gatesName } from '../../workflows/messages.ts';
import { eventually, openRig, type Rig } from '../rig.ts';
import { approve, repeat } from '../small-plans.ts';
import { boxesAfter, isWaiting, missingAt, reviewOf as reviewStep, saveReviewed, sendDecisions } from './reviews.ts';

let rig: Rig;

beforeAll(async () => {
  rig = await openRig();
  await rig.startWorker({});
});

afterAll(async () => {
  await rig?.close();
});

/** An image without labels, and targets that the model found at 0, 30 and 60. */
async function reviewOf(name: string, more: { [name: string]: Json }) {
  return reviewStep(await saveReviewed(rig, name, [], [0, 30, 60].map(missingAt)), more);
}

const decide = (run: string, by: string, decisions: Decision[], more: Partial<DecideMessage> = {}) =>
  sendDecisions(rig, run, by, decisions, more);
const waiting = (run: string) => isWaiting(rig, run);
const written = (run: string, decisions: number) =>
  eventually(async () => (await readDecisions(rig.store, run, 'review')).length === decisions);

const accept = (x: number): Decision => ({ candidateId: `at-${x}`, verdict: 'accept' });
const reject = (x: number): Decision => ({ candidateId: `at-${x}`, verdict: 'reject' });
const settle = (decision: Decision): Decision => ({ ...decision, settles: true });

async function correctionsOf(run: string, path = 'review') {
  const outputs = (await readStepRecord(rig.store, run, path))?.outputs;
  const corrections = await loadJson(rig.store, 'corrections', outputs?.corrections as never);
  return { places: await boxesAfter(rig, run, path), corrections };
}

test('two who agree close a candidate, two who do not wait for a third, and all of it is in the ledger', async () => {
  const handle = await rig.startRun('two', { steps: [await reviewOf('two', { reviewers: 2 })] });
  await waiting('two');
  // The first opinions close nothing, and are no conflict with the second person's.
  expect(await decide('two', 'ada', [accept(0), accept(30), reject(60)])).toEqual({ accepted: 3, repeated: 0 });
  await written('two', 3);
  expect(await readGate(rig.store, 'two', 'review')).toMatchObject({ decided: 0 });
  expect(await decide('two', 'ada', [accept(0)])).toEqual({ accepted: 0, repeated: 1 });
  await expect(decide('two', 'ada', [reject(0)])).rejects.toMatchObject({
    cause: {
      message: expect.stringMatching(/was decided as "accept" by ada before; "reject" contradicts that/),
    },
  });
  const drawn: Decision = { candidateId: 'at-30', verdict: 'edit', box: [31, 11, 50, 30] };
  expect(await decide('two', 'ben', [reject(0), drawn, reject(60)])).toEqual({ accepted: 3, repeated: 0 });
  await eventually(async () => (await readGate(rig.store, 'two', 'review'))?.decided === 2);
  const open = '1 decision of a reviewer, 1 of them about opinions that differ: hardcase review list two review';
  // Written after the gate's record.
  await eventually(async () => (await readStepRecord(rig.store, 'two', 'review'))?.waitingFor === open);
  // Neither a fourth opinion nor the verdict of one of the two is taken; both are told why.
  await decide('two', 'cy', [reject(0)]);
  await decide('two', 'ada', [settle(accept(0))]);
  await eventually(async () => (await handle.query<GatesAnswer>(gatesName)).refused.length === 2);
  expect((await handle.query<GatesAnswer>(gatesName)).refused.map(({ by, why }) => [by, why])).toEqual([
    ['cy', 'It has its 2 opinions, and they differ: it waits for somebody who settles it, and for no other opinion.'],
    ['ada', 'ada gave one of the opinions; somebody else must settle it.'],
  ]);
  await decide('two', 'cy', [settle(accept(0))]);
  await handle.result();
  const { places, corrections } = await correctionsOf('two');
  expect(places).toEqual([0, 30]);
  expect(corrections).toMatchObject({ asked: 3, undecided: 0 });
  const ledger = (await readDecisions(rig.store, 'two', 'review')).filter(({ candidateId }) => candidateId === 'at-0');
  expect(ledger.map(({ by, verdict, settles }) => [by, verdict, settles ?? false])).toEqual([
    ['ada', 'accept', false],
    ['ben', 'reject', false],
    ['cy', 'accept', true],
  ]);
});

test('who is named settles, also where they gave an opinion; opinions without a verdict keep the label when time is up', async () => {
  const after = { expire: { in: '4s' } };
  const reviewers = { count: 2, adjudicators: ['lea'] };
  const handle = await rig.startRun('named', { steps: [await reviewOf('named', { reviewers, after })] });
  await waiting('named');
  await decide('named', 'ada', [accept(0), accept(30), accept(60)]);
  await decide('named', 'lea', [reject(0), reject(30)]);
  await decide('named', 'cy', [settle(accept(0))]);
  await eventually(async () => (await handle.query<GatesAnswer>(gatesName)).refused.length === 1);
  expect((await handle.query<GatesAnswer>(gatesName)).refused[0]?.why).toBe('lea must settle it, and not cy.');
  await decide('named', 'lea', [settle(accept(0))]);
  await handle.result();
  // At 30 they differ, at 60 one alone has looked: neither is a verdict.
  const { places, corrections } = await correctionsOf('named');
  expect(places).toEqual([0]);
  expect(corrections).toMatchObject({ asked: 3, undecided: 2 });
  expect(await readGate(rig.store, 'named', 'review')).toMatchObject({ reason: 'expired', decided: 1 });

  // In a later run a verdict holds, and one of several opinions does not.
  const again = await rig.startRun('named-again', { steps: [await reviewOf('named', { reviewers: 2, limit: 3 })] });
  await waiting('named-again');
  expect(await readGate(rig.store, 'named-again', 'review')).toMatchObject({ asked: 2, carriedOver: 1 });
  await again.terminate();
  const anew = await rig.startRun('named-anew', { steps: [await reviewOf('named', { reviewers: 2, reask: true })] });
  await waiting('named-anew');
  expect(await readGate(rig.store, 'named-anew', 'review')).toMatchObject({ asked: 3, carriedOver: 0 });
  await anew.terminate();
});

test('opinions that come before the gate opens are kept apart by person, also in a round', async () => {
  const review = await reviewOf('early', { reviewers: { count: 2, share: 0.34 } });
  const handle = await rig.startRun('early', { steps: [repeat('rounds', [review])] });
  const inRound = { gate: 'rounds[1].review' };
  // Of three candidates one is asked twice. Who speaks second about one of the others says the same, or is refused.
  await decide('early', 'ada', [accept(0), accept(30), accept(60)], inRound);
  await decide('early', 'ben', [accept(0), accept(30), accept(60)], inRound);
  await handle.result();
  const { places, corrections } = await correctionsOf('early', 'rounds[1].review');
  expect(places).toEqual([0, 30, 60]);
  expect(corrections).toMatchObject({ asked: 3, undecided: 0 });
  expect(await readDecisions(rig.store, 'early', 'rounds[1].review')).toHaveLength(4);
});

test("an opinion that came early is the same person's also in a new history of the run", async () => {
  const run = 'renewed';
  const early = { ...(await reviewOf(run, { reviewers: 2 })), needs: ['ok'] };
  const handle = await rig.startRun(
    run,
    { steps: [approve('ok', { properties: {}, required: [] }), early] },
    { renewAfter: 40 },
  );
  await decide(run, 'ada', [accept(0)]);
  const first = (await handle.describe()).runId;
  await eventually(async () => {
    for (const name of ['pause', 'resume']) {
      await handle.executeUpdate<object, [object]>(name, { args: [{ by: 'ada' }] }).catch(() => undefined);
    }
    return (await handle.describe()).runId !== first;
  });
  expect(await decide(run, 'ada', [accept(0)])).toEqual({ accepted: 0, repeated: 1 });
  await expect(decide(run, 'ada', [reject(0)])).rejects.toMatchObject({
    cause: { message: expect.stringContaining('by ada before; "reject" contradicts that') },
  });
  expect(await decide(run, 'ben', [reject(0)])).toEqual({ accepted: 1, repeated: 0 });
  await handle.terminate();
});

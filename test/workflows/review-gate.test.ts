/** The review gate on a real Temporal server: decisions from people, early, repeated, in conflict, and too late. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadDataset, loadJson, saveJson, saveLabels } from '../../artifacts/codecs.ts';
import { readBatches, readGate } from '../../artifacts/gate-record.ts';
import { readRun, readStepRecord } from '../../artifacts/run-record.ts';
import type { Annotation, Decision } from '../../detection/types.ts';
import type { Json } from '../../plan/types.ts';
import {
  type DecideMessage,
  decideName,
  type GatesAnswer,
  gatesName,
  type RunArguments,
  workflowIdOf,
} from '../../workflows/messages.ts';
import { openMailServer } from '../mail-server.ts';
import { eventually, openRig, type Rig } from '../rig.ts';
import { repeat } from '../small-plans.ts';
import { boxAt, boxesAfter, isWaiting, reviewOf, saveReviewed, sendDecisions } from './reviews.ts';

let rig: Rig;

beforeAll(async () => {
  rig = await openRig();
  await rig.startWorker({});
});

afterAll(async () => {
  await rig?.close();
});

const label = (id: string, x: number): Annotation => ({ id, imageId: 1, categoryId: 1, box: boxAt(x) });

/** An image with the labels a (right) and b (nothing there); the model also found a target at 60 that has no label. */
const dataset = (name: string) =>
  saveReviewed(
    rig,
    name,
    [label('a', 0), label('b', 30)],
    [
      { id: 'spurious-b', type: 'spurious', annotation: label('b', 30), rank: 0.9 },
      { id: 'missing-60', type: 'missing', detection: { categoryId: 1, box: boxAt(60), score: 0.8 }, rank: 0.8 },
    ],
  );

const decide = (run: string, decisions: Decision[], more: Partial<DecideMessage> = {}) =>
  sendDecisions(rig, run, 'Ann', decisions, more);

const waiting = (run: string, path = 'review') => isWaiting(rig, run, path);

/** `then` as a key of its own, because an object that has it looks like a promise. */
const expireIn = (duration: string, ending: Json): Json =>
  Object.fromEntries([
    ['in', duration],
    ['then', ending],
  ]);

/** A history as text, and its payloads, which are base64 in it. */
const decoded = (history: string): string[] => [
  history,
  ...[...history.matchAll(/[A-Za-z0-9+/]{40,}={0,2}/g)].map(([text]) => Buffer.from(text, 'base64').toString()),
];

const accept = (candidateId: string): Decision => ({ candidateId, verdict: 'accept' });
const reject = (candidateId: string): Decision => ({ candidateId, verdict: 'reject' });

const reviewedBoxes = async (run: string, path = 'review') =>
  (await boxesAfter(rig, run, path)).map((x1) => `at ${x1}`).sort();

describe('a gate', () => {
  test('whose workflow begins again, with nothing but the record, refuses what contradicts it, and counts what repeats it', async () => {
    const data = await dataset('forgotten');
    const first = await rig.startRun('forgotten', { steps: [reviewOf(data)] });
    await waiting('forgotten');
    expect(await decide('forgotten', [accept('spurious-b')])).toEqual({ accepted: 1, repeated: 0 });
    await eventually(async () => (await readBatches(rig.store, 'forgotten', 'review')).length === 1);
    const { taskQueue, type } = await first.describe();
    await first.terminate();

    const input = await first.fetchHistory();
    const [payload] = input.events![0]!.workflowExecutionStartedEventAttributes!.input!.payloads!;
    const argument = JSON.parse(Buffer.from(payload!.data!).toString()) as RunArguments;
    // Sent at once: it waits until the workflow knows what was decided.
    const again = await rig.client.workflow.start(type, {
      workflowId: workflowIdOf('forgotten'),
      taskQueue,
      args: [{ ...argument, decided: true }],
    });
    await expect(decide('forgotten', [reject('spurious-b')])).rejects.toMatchObject({
      cause: { message: expect.stringContaining('was decided as "accept" before; "reject" contradicts that.') },
    });
    expect(await decide('forgotten', [accept('spurious-b')])).toEqual({ accepted: 0, repeated: 1 });
    expect(await decide('forgotten', [reject('missing-60')])).toEqual({ accepted: 1, repeated: 0 });
    expect(await again.result()).toEqual({ state: 'done' });
    expect(await reviewedBoxes('forgotten')).toEqual(['at 0']);
    expect((await readRun(rig.store, 'forgotten'))?.state.notices ?? []).toEqual([]);
  });

  test('waits for every decision, then makes a label version of them', async () => {
    const data = await dataset('all');
    const handle = await rig.startRun('all', { steps: [reviewOf(data)] });
    await waiting('all');
    expect((await rig.step('all', 'review'))?.waitingFor).toBe(
      '2 decisions of a reviewer: hardcase review list all review',
    );
    await eventually(async () => (await readRun(rig.store, 'all'))?.state.state === 'waiting');
    expect(await handle.query<GatesAnswer>(gatesName)).toEqual({
      open: [{ gate: 'review', undecided: 2, queued: 0 }],
      refused: [],
      lists: [],
    });

    expect(await decide('all', [accept('spurious-b')])).toEqual({ accepted: 1, repeated: 0 });
    expect(await decide('all', [accept('spurious-b'), accept('missing-60')])).toEqual({ accepted: 1, repeated: 1 });
    await handle.result();
    expect(await reviewedBoxes('all')).toEqual(['at 0', 'at 60']);
    const step = await rig.step('all', 'review');
    expect(step).toMatchObject({ state: 'done', outputs: { changed: 2 } });
    const corrections = await loadJson(rig.store, 'corrections', step?.outputs?.corrections as never);
    expect(corrections).toMatchObject({ reviewer: 'human', asked: 2, undecided: 0, carriedOver: 0 });
    expect(corrections.decisions[0]).toMatchObject({ candidateId: 'spurious-b', by: 'Ann', type: 'spurious' });
    const { labels, manifest } = await loadDataset(rig.store, step?.outputs?.dataset as never);
    expect(labels).toMatchObject({ author: 'review', parent: corrections.before });
    expect(manifest.labels).toBe(corrections.after);
    expect(await readGate(rig.store, 'all', 'review')).toMatchObject({
      state: 'closed',
      reason: 'decided',
      decided: 2,
    });
  });

  test('takes decisions that come before it is open, also inside a round', async () => {
    const data = await dataset('early');
    const handle = await rig.startRun('early', { steps: [repeat('rounds', [reviewOf(data)])] });
    const answer = await decide('early', [accept('spurious-b'), reject('missing-60')], { gate: 'rounds[1].review' });
    expect(answer).toEqual({ accepted: 2, repeated: 0 });
    await handle.result();
    expect(await reviewedBoxes('early', 'rounds[1].review')).toEqual(['at 0']);
  });

  test('refuses what contradicts an earlier decision, has no known form, or names no gate', async () => {
    const data = await dataset('conflict');
    const handle = await rig.startRun('conflict', { steps: [reviewOf(data)] });
    await waiting('conflict');
    await decide('conflict', [accept('spurious-b')]);
    const refusal = async (sent: Promise<unknown>) => {
      const error = await sent.then(
        () => undefined,
        (reason: { cause?: Error }) => reason,
      );
      return error?.cause?.message;
    };
    expect(await refusal(decide('conflict', [reject('spurious-b'), accept('missing-60')]))).toBe(
      'Candidate spurious-b of review was decided as "accept" before; "reject" contradicts that. The first decision counts. Nothing of this message was taken.',
    );
    expect(await refusal(decide('conflict', [{ candidateId: 'x', verdict: 'maybe' as never }]))).toBe(
      'decisions[0]: candidate x has the verdict "maybe"; expected one of accept, reject, edit, ignore, add.',
    );
    expect(await refusal(decide('conflict', [{ candidateId: 'x', verdict: 'edit' }]))).toMatch(/has neither "box"/);
    expect(await refusal(decide('conflict', [accept('x')], { gate: 'reviews' }))).toBe(
      'The run conflict has no review gate "reviews". Its gates: review.',
    );
    expect(
      await refusal(
        decide(
          'conflict',
          Array.from({ length: 501 }, (_, i) => accept(`c${i}`)),
        ),
      ),
    ).toMatch(/carries 501 decisions; at most 500/);
    await decide('conflict', [reject('missing-60')]);
    await handle.result();
    expect(await reviewedBoxes('conflict')).toEqual(['at 0']);
  });

  test('reports unknown candidates as a notice of the run', async () => {
    const data = await dataset('unknown');
    const handle = await rig.startRun('unknown', { steps: [reviewOf(data)] });
    await waiting('unknown');
    await decide('unknown', [accept('nobody'), accept('spurious-b')]);
    await eventually(async () => (await handle.query<GatesAnswer>(gatesName)).refused.length === 1);
    expect((await readRun(rig.store, 'unknown'))?.state.notices).toEqual([
      'A decision by Ann about candidate nobody of review was refused. No candidate that this gate asks about has this id.',
    ]);
    await decide('unknown', [accept('missing-60')]);
    await handle.result();
  });

  test('takes signals, and says in the run record which it refused', async () => {
    const data = await dataset('signal');
    const handle = await rig.startRun('signal', { steps: [reviewOf(data)] });
    await waiting('signal');
    const message = { gate: 'review', batch: 's1', by: 'Ben' };
    await handle.signal(decideName, { ...message, decisions: [{ candidateId: 'spurious-b' }] });
    await handle.signal(decideName, { ...message, decisions: [reject('spurious-b'), reject('missing-60')] });
    await handle.result();
    expect((await readRun(rig.store, 'signal'))?.state.notices?.[0]).toMatch(
      /^A decide signal was refused. decisions\[0\]/,
    );
    // Nothing changed, so the labels keep their version.
    expect((await rig.step('signal', 'review'))?.outputs).toMatchObject({ changed: 0, dataset: data.dataset });
  });

  test('takes a long list by reference', async () => {
    const data = await dataset('reference');
    const handle = await rig.startRun('reference', { steps: [reviewOf(data)] });
    const list = [accept('spurious-b'), accept('missing-60')];
    const reference = await rig.store.putObject(Buffer.from(JSON.stringify(list)));
    const answer = await decide('reference', [], { decisions: undefined, reference });
    expect(answer).toEqual({ accepted: 0, repeated: 0 });
    await handle.result();
    expect(await reviewedBoxes('reference')).toEqual(['at 0', 'at 60']);
    expect((await handle.query<GatesAnswer>(gatesName)).lists).toEqual([
      { gate: 'review', reference, accepted: 2, repeated: 0 },
    ]);
  });

  test('takes decisions that come one by one and fast in few messages, also in a round', async () => {
    const data = await dataset('flood');
    const [missing] = data.candidates.slice(1);
    const ids = Array.from({ length: 40 }, (_, i) => `c${i}`);
    const saved = await saveJson(
      rig.store,
      'candidates',
      ids.map((id) => ({ ...missing!, id })),
    );
    const handle = await rig.startRun('flood', { steps: [repeat('rounds', [reviewOf({ ...data, saved })])] });
    const path = 'rounds[1].review';
    await waiting('flood', path);
    // As many at once as Temporal takes of one run.
    for (let at = 0; at < ids.length; at += 10) {
      await Promise.all(ids.slice(at, at + 10).map((id) => decide('flood', [reject(id)], { gate: path })));
    }
    await handle.result();
    const corrections = await loadJson(
      rig.store,
      'corrections',
      (await rig.step('flood', path))?.outputs?.corrections as never,
    );
    expect(corrections).toMatchObject({ asked: 40, undecided: 0 });
    expect(new Set(corrections.decisions.map(({ candidateId }) => candidateId)).size).toBe(40);
    // One by one it would be 14 events a decision for the root, and 15 for the round.
    const lengthOf = async (id: string) => (await rig.client.workflow.getHandle(id).describe()).historyLength;
    expect(await lengthOf('hardcase:flood')).toBeLessThan(40 * 10);
    expect(await lengthOf('hardcase:flood:rounds[1]')).toBeLessThan(40 * 10);
  });

  test('keeps the labels of the undecided when it expires, after a reminder', async () => {
    const data = await dataset('expiry');
    const after = { remind: '200ms', expire: { in: '1500ms' } };
    const handle = await rig.startRun('expiry', { steps: [reviewOf(data, { after })] });
    await waiting('expiry');
    await decide('expiry', [accept('missing-60')]);
    await handle.result();
    expect(await reviewedBoxes('expiry')).toEqual(['at 0', 'at 30', 'at 60']);
    expect(await readGate(rig.store, 'expiry', 'review')).toMatchObject({ reason: 'expired', decided: 1 });
    expect((await readRun(rig.store, 'expiry'))?.state.notices?.[0]).toMatch(
      /^"review" has waited for 0.2 s: (1 decision is|2 decisions are) open/,
    );
  });

  test('reminds by e-mail and tells others by it, and no history has the password of the server', async () => {
    const mails = await openMailServer('hardcase@example.org', 'password-of-the-server');
    process.env.HARDCASE_SECRET_SMTP_URL = mails.url;
    try {
      const data = await dataset('mailed');
      const after = {
        remind: { in: '100ms', email: ['ada@example.org'] },
        escalate: { in: '800ms', to: ['cleo', 'dan@example.org'] },
        expire: expireIn('2s', 'hold'),
      };
      const handle = await rig.startRun('mailed', { steps: [reviewOf(data, { after })] });
      await eventually(async () => (await readStepRecord(rig.store, 'mailed', 'review'))?.state === 'held');
      // On a busy machine the later one may be quicker.
      expect(mails.received.map(({ to }) => to.join(' ')).sort()).toEqual([
        'ada@example.org',
        'ada@example.org dan@example.org',
        'ada@example.org dan@example.org',
      ]);
      expect(mails.received[0]!.source).toMatch(/^Subject: 2 decisions are open: review of mailed\r?$/m);
      const history = JSON.stringify(await handle.fetchHistory());
      for (const text of decoded(history)) expect(text).not.toContain('password-of-the-server');
      expect(decoded(history).some((text) => text.includes('dan@example.org'))).toBe(true);
      await handle.terminate();
    } finally {
      delete process.env.HARDCASE_SECRET_SMTP_URL;
      await mails.close();
    }
  });

  test('names others who should look, and accepts what the model is sure of when nobody has', async () => {
    const data = await dataset('sure');
    const after = {
      escalate: { in: '100ms', to: ['cleo'] },
      expire: expireIn('1500ms', { acceptAbove: 0.8 }),
    };
    await (await rig.startRun('sure', { steps: [reviewOf(data, { after })] })).result();
    // the detection has a score of 0.8; the label that may be spurious has none, and stays
    expect(await reviewedBoxes('sure')).toEqual(['at 0', 'at 30', 'at 60']);
    const outputs = (await readStepRecord(rig.store, 'sure', 'review'))?.outputs;
    const corrections = await loadJson(rig.store, 'corrections', outputs?.corrections as never);
    expect(corrections).toMatchObject({ undecided: 1, decisions: [{ candidateId: 'missing-60', by: 'nobody' }] });
    expect((await readRun(rig.store, 'sure'))?.state.notices?.[0]).toMatch(
      /2 decisions are open, and cleo should look too/,
    );
    // what nobody said is carried over to no other run
    const again = await rig.startRun('sure-again', { steps: [reviewOf(data, { limit: 2, after: { remind: '9d' } })] });
    await waiting('sure-again');
    expect(await readGate(rig.store, 'sure-again', 'review')).toMatchObject({ asked: 2, carriedOver: 0 });
    await again.terminate();
  });

  test('is held when its time is up, keeps what is decided then, and opens again with `retry`', async () => {
    const data = await dataset('held');
    const after = { expire: expireIn('400ms', 'hold') };
    const handle = await rig.startRun('held', { steps: [reviewOf(data, { after })] });
    await eventually(async () => (await readStepRecord(rig.store, 'held', 'review'))?.state === 'held');
    expect((await readStepRecord(rig.store, 'held', 'review'))?.error).toBe('After 0.4 s, 2 decisions are open.');
    await decide('held', [accept('spurious-b'), accept('missing-60')]);
    await handle.executeUpdate('retry', { args: [{ by: 'Ann' }] });
    await handle.result();
    expect(await reviewedBoxes('held')).toEqual(['at 0', 'at 60']);
  });

  test('ends the run as failed when its time is up and `then: fail` says so', async () => {
    const data = await dataset('fails');
    const after = { expire: expireIn('100ms', 'fail') };
    const handle = await rig.startRun('fails', { steps: [reviewOf(data, { after })] });
    await expect(handle.result()).rejects.toThrow();
    expect(await readStepRecord(rig.store, 'fails', 'review')).toMatchObject({ state: 'failed' });
  });

  test('goes on with what is decided where somebody says so, and not before it is open', async () => {
    const data = await dataset('proceed');
    const handle = await rig.startRun('proceed', { steps: [reviewOf(data)] });
    await waiting('proceed');
    await decide('proceed', [accept('missing-60')]);
    expect(await decide('proceed', [], { proceed: true, by: 'Lea' })).toEqual({ accepted: 0, repeated: 0 });
    await handle.result();
    expect(await reviewedBoxes('proceed')).toEqual(['at 0', 'at 30', 'at 60']);
    expect(await readGate(rig.store, 'proceed', 'review')).toMatchObject({ reason: 'proceeded', decided: 1 });
    const batches = await readBatches(rig.store, 'proceed', 'review');
    expect(batches.map(({ batch: { by, proceed } }) => [by, proceed ?? false])).toContainEqual(['Lea', true]);

    await rig.startRun('not-yet', { steps: [repeat('rounds', [reviewOf(data)], { max: 0 } as never)] });
    await expect(decide('not-yet', [], { proceed: true, gate: 'rounds[1].review' })).rejects.toThrow();
  });

  test('asks nobody twice: decisions hold in later runs, for a box in the same place', async () => {
    const data = await dataset('twice');
    const first = await rig.startRun('twice', { steps: [reviewOf(data, { limit: 1 })] });
    await waiting('twice');
    await decide('twice', [reject('spurious-b')]);
    await first.result();

    const moved = data.candidates.map((candidate) => ({ ...candidate, id: `${candidate.id}-again` }));
    moved[0] = { ...moved[0]!, annotation: { ...label('b', 30), box: [30, 10, 50, 31] } };
    const again = await saveJson(rig.store, 'candidates', moved);
    const second = await rig.startRun('twice-again', { steps: [reviewOf({ ...data, saved: again })] });
    await waiting('twice-again');
    expect(await readGate(rig.store, 'twice-again', 'review')).toMatchObject({ asked: 1, carriedOver: 1 });
    await decide('twice-again', [accept('missing-60-again')]);
    await second.result();
    expect(await reviewedBoxes('twice-again')).toEqual(['at 0', 'at 30', 'at 60']);
  });

  test('closes when the run is cancelled, and what was decided holds when the run begins again', async () => {
    const data = await dataset('cancelled');
    const handle = await rig.startRun('cancelled', { steps: [reviewOf(data)] });
    await waiting('cancelled');
    await decide('cancelled', [accept('spurious-b')]);
    await eventually(async () => (await readGate(rig.store, 'cancelled', 'review'))?.decided === 1);
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow('Workflow execution cancelled');
    expect(await readGate(rig.store, 'cancelled', 'review')).toMatchObject({ state: 'closed', reason: 'cancelled' });

    const again = await rig.startRun('cancelled', { steps: [reviewOf(data)] });
    await waiting('cancelled');
    await decide('cancelled', [accept('missing-60')]);
    await again.result();
    expect(await reviewedBoxes('cancelled')).toEqual(['at 0', 'at 60']);
  });

  test('is reused with its decisions by the same review in another run', async () => {
    const data = await dataset('all');
    await (await rig.startRun('all-again', { steps: [reviewOf(data, { after: { remind: '9d' } })] })).result();
    expect(await rig.states('all-again')).toEqual(['review: done (reused)']);
  });
});

test('the simulated reviewer decides at once and is named', async () => {
  const data = await dataset('oracle');
  const annotations = [label('a', 0), label('c', 60)];
  const truth = await saveLabels(rig.store, { parent: null, author: 'truth', note: '', annotations });
  const reviewer = { oracle: { truth: truth as never, errorRate: 0 } };
  await (await rig.startRun('oracle', { steps: [reviewOf(data, { reviewer })] })).result();
  expect(await reviewedBoxes('oracle')).toEqual(['at 0', 'at 60']);
  const step = await rig.step('oracle', 'review');
  const corrections = await loadJson(rig.store, 'corrections', step?.outputs?.corrections as never);
  expect(corrections.reviewer).toBe('oracle');
  expect(corrections.againstTruth).toContainEqual(expect.objectContaining({ type: 'missing', before: 1, after: 0 }));
});

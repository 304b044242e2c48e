/** Cases with reviews of labels. */

import type { WorkflowHandle } from '@temporalio/client';
import { saveDataset, saveJson } from '../../artifacts/codecs.ts';
import { readDecisions, readGate } from '../../artifacts/gate-record.ts';
import type { Store } from '../../artifacts/store.ts';
import type { Annotation, Candidate, Decision } from '../../detection/types.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import type { GateStep, Json, PlannedScope } from '../../plan/types.ts';
import { type DecideMessage, decideName } from '../../workflows/messages.ts';
import { type Case, legs, numbers, pause, planIsThere, repeat, step, untilTaken } from './case.ts';

/** One candidate each, in a gate of a round. */
const decisionsCount = 50_000;

const looksCount = 1_000;
/** Of those, some that are decided before they open, and some one by one while they wait; the time of the others runs out. */
const looksEarly = 300;
const looksDecided = 300;

export const reviewCases: { readonly [name: string]: Case } = {
  decisions: {
    about: '50,000 decisions: by 500, in lists, one by one',
    steps: [],
    prepared: preparedReview,
    people: decideAll,
  },
  reviews: {
    about: `${looksCount} reviews side by side, ${looksEarly} decided early, ${looksDecided} while they wait`,
    steps: [],
    prepared: preparedReviews,
    people: decideSome,
  },
};

const review = (id: string, values: GateStep['with']): GateStep => ({
  ...step(id, 'review-labels', values),
  type: 'gate',
});

/** An image with so many boxes, each of which a reviewer is asked about. `image`: its bytes. */
async function reviewed(store: Store, image: string, count: number): Promise<{ readonly [name: string]: Json }> {
  const digest = await store.putObject(Buffer.from(image));
  const annotations = numbers(count).map(
    (i): Annotation => ({ id: `b${i}`, imageId: 1, categoryId: 1, box: [i * 30, 10, i * 30 + 20, 30] }),
  );
  const width = (count + 1) * 30;
  const dataset = await saveDataset(store, {
    categories: [{ id: 1, name: 'apple' }],
    images: [{ id: 1, fileName: 'a.png', width, height: 100, digest, split: 'train', group: '1' }],
    labels: { parent: null, author: 'import', note: '', annotations },
  });
  const candidates = annotations.map(
    (annotation, i): Candidate => ({
      id: `c${i}`,
      type: 'spurious',
      annotation,
      rank: i / count,
      imageId: 1,
      imageDigest: digest,
    }),
  );
  const saved = await saveJson(store, 'candidates', candidates);
  return { dataset, candidates: saved, reviewer: 'human' } as unknown as GateStep['with'];
}

async function preparedReview(store: Store): Promise<PlannedScope['steps']> {
  const values = await reviewed(store, 'image', decisionsCount);
  return [repeat(1, [review('review', values)])];
}

/** A leg for each gate, with an image of its own, because nobody is asked twice about one. */
async function preparedReviews(store: Store): Promise<PlannedScope['steps']> {
  const items: Json[] = [];
  for (const i of numbers(looksCount)) {
    const isDecided = i <= looksDecided || i > looksCount - looksEarly;
    items.push({ ...(await reviewed(store, `look ${i}`, 1)), expire: isDecided ? '10d' : '3m' });
  }
  const after: Json = { expire: { in: { $: 'item.expire' } } };
  const values: GateStep['with'] = {
    dataset: { $: 'item.dataset' },
    candidates: { $: 'item.candidates' },
    reviewer: 'human',
    after,
  };
  return [{ ...legs('look', { forEach: items }), scope: { steps: [review('', values)] } }];
}

/** The last ones before they open, and the first ones when all wait, as quickly as a script can. Throws where one was lost, or counted twice. */
async function decideSome(handle: WorkflowHandle, store: Store): Promise<void> {
  const decide = async (i: number) => {
    const message: DecideMessage = {
      gate: `look[${i}]`,
      batch: 'b',
      by: 'bench',
      decisions: [{ candidateId: 'c0', verdict: 'reject' }],
    };
    await untilTaken(() => handle.executeUpdate<object, [DecideMessage]>(decideName, { args: [message] }), 'is closed');
  };
  await planIsThere(handle);
  for (let i = looksCount; i > looksCount - looksEarly; i--) await decide(i);
  const isOpen = async (i: number) => (await readGate(store, 'reviews', `look[${i}]`)) !== null;
  while (!(await isOpen(looksCount))) await pause(500);
  for (let i = 1; i <= looksDecided; i++) await decide(i);
  await handle.result();
  for (const i of numbers(looksCount)) {
    const decisions = (await readDecisions(store, 'reviews', `look[${i}]`)).length;
    const isDecided = i <= looksDecided || i > looksCount - looksEarly;
    if (decisions !== (isDecided ? 1 : 0)) throw new Error(`look[${i}] has ${decisions} decisions.`);
  }
}

/** In messages of 500, by a list in the store, and one by one. */
async function decideAll(handle: WorkflowHandle, store: Store): Promise<void> {
  const decisions = numbers(decisionsCount).map((i): Decision => ({ candidateId: `c${i - 1}`, verdict: 'reject' }));
  const send = async (batch: string, more: Partial<DecideMessage>) => {
    await planIsThere(handle);
    await handle.executeUpdate<object, [DecideMessage]>(decideName, {
      args: [{ gate: 'rounds[1].review', batch, by: 'bench', ...more }],
    });
  };
  for (let from = 0; from < 20_000; from += 500) {
    await send(`many-${from}`, { decisions: decisions.slice(from, from + 500) });
  }
  for (const [from, to] of [
    [20_000, 40_000],
    [40_000, decisionsCount - 100],
  ]) {
    const reference = await store.putObject(Buffer.from(canonicalJson(decisions.slice(from, to) as never)));
    await send(`list-${from}`, { reference });
  }
  for (const decision of decisions.slice(-100)) await send(`one-${decision.candidateId}`, { decisions: [decision] });
}

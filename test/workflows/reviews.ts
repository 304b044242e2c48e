/** For tests of reviews on a real server: one image with labels, candidates about it, and who decides them. */

import { loadDataset, saveDataset, saveJson } from '../../artifacts/codecs.ts';
import { readStepRecord } from '../../artifacts/run-record.ts';
import type { Annotation, Candidate, Decision, ImageEntry } from '../../detection/types.ts';
import type { ArtifactRef, GateStep, Json } from '../../plan/types.ts';
import { type DecideAnswer, type DecideMessage, decideName } from '../../workflows/messages.ts';
import { eventually, type Rig } from '../rig.ts';
import { gate } from '../small-plans.ts';

/** A box of 20 by 20, pixels. */
export const boxAt = (x: number): [number, number, number, number] => [x, 10, x + 20, 30];

export interface Reviewed {
  readonly dataset: ArtifactRef;
  readonly candidates: readonly Candidate[];
  readonly saved: ArtifactRef;
}

type Question = Omit<Candidate, 'imageId' | 'imageDigest'>;

/** The model found a target there that has no label. */
export const missingAt = (x: number): Question => ({
  id: `at-${x}`,
  type: 'missing',
  detection: { categoryId: 1, box: boxAt(x), score: 0.8 },
  rank: 0.5,
});

/** `name` tells its image apart from that of any other test, so that no decision is carried over. */
export async function saveReviewed(
  { store }: Rig,
  name: string,
  annotations: readonly Annotation[],
  questions: readonly Question[],
): Promise<Reviewed> {
  const digest = await store.putObject(Buffer.from(`image of ${name}`));
  const image: ImageEntry = { id: 1, fileName: 'a.png', width: 100, height: 100, digest, split: 'train', group: '1' };
  const labels = { parent: null, author: 'import', note: '', annotations };
  const dataset = await saveDataset(store, { categories: [{ id: 1, name: 'apple' }], images: [image], labels });
  const candidates = questions.map((question) => ({ ...question, imageId: 1, imageDigest: digest }) as Candidate);
  return { dataset, candidates, saved: await saveJson(store, 'candidates', candidates) };
}

/** What a gate is given that asks of `count` labels side by side whether they are spurious, `c0` and on. `name`: as above. */
export async function saveSpurious(rig: Rig, name: string, count: number): Promise<{ readonly [name: string]: Json }> {
  const annotations = Array.from({ length: count }, (_, i): Annotation => {
    return { id: `b${i}`, imageId: 1, categoryId: 1, box: boxAt(i * 4) };
  });
  const questions = annotations.map((annotation, i): Question => {
    return { id: `c${i}`, type: 'spurious', annotation, rank: i / 100 };
  });
  const { dataset, saved } = await saveReviewed(rig, name, annotations, questions);
  return { dataset: dataset as never, candidates: saved as never, reviewer: 'human' };
}

export const reviewOf = ({ dataset, saved }: Reviewed, more: { [name: string]: Json } = {}): GateStep =>
  gate('review', { with: { dataset, candidates: saved, reviewer: 'human', ...more } });

/** Sends decisions of a person to the gate `review`, in a batch of their own. */
export const sendDecisions = (
  { client }: Rig,
  run: string,
  by: string,
  decisions: readonly Decision[],
  more: Partial<DecideMessage> = {},
): Promise<DecideAnswer> =>
  client.workflow.getHandle(`hardcase:${run}`).executeUpdate<DecideAnswer, [DecideMessage]>(decideName, {
    args: [{ gate: 'review', batch: `b${Math.random().toString(36).slice(2)}`, by, decisions, ...more }],
  });

export const isWaiting = ({ store }: Rig, run: string, path = 'review'): Promise<boolean> =>
  eventually(async () => (await readStepRecord(store, run, path))?.state === 'waiting');

/** Left edges of the boxes of the label version that the review left behind, ascending. */
export async function boxesAfter({ store }: Rig, run: string, path = 'review'): Promise<number[]> {
  const outputs = (await readStepRecord(store, run, path))?.outputs;
  const { labels } = await loadDataset(store, outputs?.dataset as ArtifactRef);
  return labels.annotations.map(({ box: [x1] }) => x1).sort((a, b) => a - b);
}

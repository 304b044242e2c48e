/** `quarantine` as a step: what it holds and releases, and that mining and measuring treat held boxes as they should. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { evaluate } from '../../activities/evaluate.ts';
import { mine } from '../../activities/mine.ts';
import { quarantine } from '../../activities/quarantine.ts';
import { enterTfProcess } from '../../activities/tf-process.ts';
import { loadDataset, loadJson, saveDataset, saveDynamics, saveJson } from '../../artifacts/codecs.ts';
import { type Dynamics, SERIES } from '../../detection/dynamics.ts';
import { applyVerdicts } from '../../detection/label-issues.ts';
import type { Box, Dataset, Decision } from '../../detection/types.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import type { ArtifactRef } from '../../plan/types.ts';
import { modelThatSees, storeDataset } from './hand-made.ts';
import { openRig, type StepRig, stepContext } from './step-rig.ts';

let rig: StepRig;
let dataset: Dataset;
let ref: ArtifactRef;

const left: Box = [10, 10, 30, 30];
const right: Box = [60, 60, 80, 80];

beforeAll(async () => {
  enterTfProcess();
  rig = await openRig();
  ({ dataset, ref } = await storeDataset(rig.store, [
    { split: 'train', boxes: [left, right] },
    { split: 'train', boxes: [left] },
    { split: 'train', boxes: [left, right] },
    { split: 'val', boxes: [left] },
    { split: 'test', boxes: [left, right] },
  ]));
});

afterAll(async () => {
  await rig.close();
});

/** p_true over six epochs by annotation id; loss is 1 - p_true, the margin its logit. */
async function dynamicsOf(courses: Readonly<Record<string, readonly number[]>>): Promise<ArtifactRef> {
  const rows = Object.entries(courses);
  const flat = (of: (p: number) => number) => Float32Array.from(rows.flatMap(([, row]) => row.map(of)));
  const zeros = () => flat(() => 0);
  const dynamics: Dynamics = {
    epochs: rows[0]![1].map((_, e) => e + 1),
    targets: rows.map(([id]) => ({
      annotationId: id,
      imageId: id.startsWith('threshold') ? 1 : Number(id.split('-')[0]),
      planted: id.startsWith('threshold'),
    })),
    series: {
      ...(Object.fromEntries(SERIES.map((name) => [name, zeros()])) as Dynamics['series']),
      pTrue: flat((p) => p),
      total: flat((p) => 1 - p),
      iou: flat(() => 1),
      margin: flat((p) => Math.log(p / (1 - p))),
    },
  };
  return saveDynamics(rig.store, dynamics);
}

const canonicalLines = ({ labels }: Dataset): string[] => labels.annotations.map(canonicalJson);

const learnt = [0.4, 0.6, 0.8, 0.9, 0.9, 0.9];
const lost = [0.1, 0.1, 0.2, 0.1, 0.1, 0.1];
const firstRound = { '1-0': learnt, '1-1': lost, '2-0': learnt, '3-0': learnt, '3-1': learnt };

describe('a quarantine by what never converges', () => {
  test('makes a label version of its own, in which the box is an ignore region that remembers why', async () => {
    const outputs = await quarantine(stepContext(rig.store), {
      dataset: ref,
      dynamics: await dynamicsOf(firstRound),
    });
    expect(outputs).toMatchObject({ held: 1, released: 0 });
    const after = await loadDataset(rig.store, outputs.dataset);
    expect(after.labels).toMatchObject({ author: 'quarantine', note: '1 boxes held by step' });
    expect(after.labels.parent).toBe((await loadDataset(rig.store, ref)).manifest.labels);
    const before = canonicalLines(dataset);
    const changed = after.labels.annotations.filter((_, i) => canonicalLines(after)[i] !== before[i]);
    expect(changed).toEqual([
      { id: '1-1', imageId: 1, categoryId: 1, box: right, ignore: true, quarantine: expect.stringContaining('never') },
    ]);
    const list = await loadJson(rig.store, 'quarantined', outputs.quarantined);
    expect(list).toMatchObject({ by: 'never-converging', considered: 5 });
    expect(list.held[0]).toMatchObject({ rounds: 1, annotation: { id: '1-1' } });
    expect(list.held[0]!.confidence).toBeCloseTo(0.12, 6);
    expect(list.held[0]!.annotation).not.toHaveProperty('ignore');
  });

  test('is tried again: a box is released once it converges, and the labels are those of before', async () => {
    const first = await quarantine(stepContext(rig.store), { dataset: ref, dynamics: await dynamicsOf(firstRound) });
    const again = await quarantine(stepContext(rig.store), {
      dataset: first.dataset,
      previous: first.quarantined,
      dynamics: await dynamicsOf(firstRound),
    });
    expect(again).toMatchObject({ held: 1, released: 0, dataset: first.dataset });
    expect((await loadJson(rig.store, 'quarantined', again.quarantined)).held[0]!.rounds).toBe(2);
    const third = await quarantine(stepContext(rig.store), {
      dataset: again.dataset,
      previous: again.quarantined,
      dynamics: await dynamicsOf({ ...firstRound, '1-1': learnt, '2-0': lost }),
    });
    expect(third).toMatchObject({ held: 1, released: 1 });
    const { annotations } = (await loadDataset(rig.store, third.dataset)).labels;
    expect(annotations.filter((one) => one.ignore).map(({ id }) => id)).toEqual(['2-0']);
    expect(annotations.find(({ id }) => id === '1-1')).toEqual(dataset.labels.annotations[1]);
    const released = (await loadJson(rig.store, 'quarantined', third.quarantined)).released;
    expect(released).toMatchObject([{ rounds: 2, annotation: { id: '1-1' } }]);
  });

  test('says so where the training learnt too little to judge by', async () => {
    const context = stepContext(rig.store);
    await quarantine(context, { dataset: ref, dynamics: await dynamicsOf(firstRound) });
    expect(context.said.notices).toEqual([]);
    const untaught = Object.fromEntries(Object.keys(firstRound).map((id) => [id, lost]));
    await quarantine(context, { dataset: ref, dynamics: await dynamicsOf({ ...untaught, '1-0': learnt }) });
    expect(context.said.notices).toEqual([expect.stringContaining('the training learnt only 1 of 5 boxes (20 %)')]);
  });

  test('needs as many profiled epochs as its rule looks at', async () => {
    const dynamics = await dynamicsOf({ '1-0': [0.1, 0.1], '1-1': [0.9, 0.9] });
    await expect(quarantine(stepContext(rig.store), { dataset: ref, dynamics })).rejects.toMatchObject({
      nonRetryable: true,
      message: expect.stringContaining('looks at the last 5 profiled epochs, but there are 2'),
    });
    const outputs = await quarantine(stepContext(rig.store), { dataset: ref, dynamics, epochs: 2, top: 0.5 });
    expect(outputs.held).toBe(1);
  });
});

test('a quarantine by AUM holds what lies below the threshold boxes, and says so where there are none', async () => {
  const without = await dynamicsOf(firstRound);
  await expect(
    quarantine(stepContext(rig.store), { dataset: ref, dynamics: without, by: 'aum' }),
  ).rejects.toMatchObject({
    nonRetryable: true,
    message: expect.stringContaining('dynamics: { planted: 0.02 }'),
  });
  const dynamics = await dynamicsOf({ ...firstRound, 'threshold-1': [0.3, 0.3, 0.3, 0.3, 0.3, 0.3] });
  const outputs = await quarantine(stepContext(rig.store), { dataset: ref, dynamics, by: 'aum' });
  const list = await loadJson(rig.store, 'quarantined', outputs.quarantined);
  expect(list.held.map(({ annotation }) => annotation.id)).toEqual(['1-1']);
  expect(list.considered).toBe(5);
  expect(list.held[0]!.reason).toMatch(/^AUM -\d/);
});

test('a quarantine by share holds the worst, and takes the models of profiles for epochs', async () => {
  const model = (name: string): ArtifactRef => ({ artifact: 'model', digest: name.repeat(64), bytes: 0 });
  const profile = await saveJson(rig.store, 'profile', {
    models: [
      { name: 'model 1', model: model('a') },
      { name: 'model 2', model: model('b') },
    ],
    targets: ['1-0', '1-1', '2-0', '3-0', '3-1'].map((annotationId, i) => ({
      annotationId,
      imageId: Number(annotationId[0]),
      loss: [-1, i],
      pTrue: [0.1, 0.2],
      full: [i, i],
      iou: [0, 0.9],
    })),
  });
  const outputs = await quarantine(stepContext(rig.store), {
    dataset: ref,
    profiles: [profile],
    by: 'share',
    share: 0.4,
  });
  const list = await loadJson(rig.store, 'quarantined', outputs.quarantined);
  expect(list.held.map(({ annotation }) => annotation.id)).toEqual(['3-0', '3-1']);
  await expect(quarantine(stepContext(rig.store), { dataset: ref })).rejects.toMatchObject({ nonRetryable: true });
});

test('a held box is neither missed nor false in mining, and no candidate; measuring asks for it all the same', async () => {
  const { dataset: held } = await quarantine(stepContext(rig.store), {
    dataset: ref,
    dynamics: await dynamicsOf(firstRound),
  });
  const seen: [number, Box, number][] = [1, 2, 3, 4, 5].map((id) => [id, left, 0.9]);
  const blind = await modelThatSees(rig.store, 'blind', dataset, [...seen, [3, right, 0.9]]);
  const before = await mine(stepContext(rig.store), { model: blind, dataset: ref });
  const after = await mine(stepContext(rig.store), { model: blind, dataset: held });
  expect([before.falseNegatives, after.falseNegatives]).toEqual([1, 0]);
  expect(await loadJson(rig.store, 'candidates', before.candidates)).toHaveLength(1);
  expect(await loadJson(rig.store, 'candidates', after.candidates)).toEqual([]);
  // A model that finds the box is not wrong either.
  const sharp = await modelThatSees(rig.store, 'sharp', dataset, [...seen, [3, right, 0.9], [1, right, 0.8]]);
  expect(await mine(stepContext(rig.store), { model: sharp, dataset: held })).toMatchObject({ falsePositives: 0 });

  for (const splits of [['train'], ['val'], ['test']] as const) {
    const measured = async (dataset: ArtifactRef) =>
      (await evaluate(stepContext(rig.store), { models: [blind], dataset, splits, replicates: 10 })).AP;
    expect(await measured(held)).toBe(await measured(ref));
  }
});

test('label versions that differ only in what is held are one column of a table', async () => {
  const { dataset: held } = await quarantine(stepContext(rig.store), {
    dataset: ref,
    dynamics: await dynamicsOf(firstRound),
  });
  const model = await modelThatSees(rig.store, 'left', dataset, [[5, left, 0.9]]);
  const reviewed = await loadDataset(rig.store, held);
  const annotations = reviewed.labels.annotations.filter(({ id }) => id !== '4-0');
  const later = await saveDataset(rig.store, {
    ...reviewed,
    labels: { ...reviewed.labels, author: 'review', annotations },
  });
  const { metrics } = await evaluate(stepContext(rig.store), {
    models: [model],
    dataset: ref,
    versions: [held, later, held],
    splits: ['test'],
    replicates: 10,
  });
  const { labelVersions } = await loadJson(rig.store, 'metrics', metrics);
  expect(labelVersions.map(({ name, annotations }) => [name, annotations])).toEqual([
    ['original', 8],
    ['final', 7],
  ]);
});

test('held boxes that look mislabelled go to a reviewer, whose word ends the quarantine of that box', async () => {
  // Never in doubt, while the others moved.
  const dynamics = await dynamicsOf({ ...firstRound, '1-1': [0.1, 0.1, 0.1, 0.1, 0.1, 0.1] });
  const outputs = await quarantine(stepContext(rig.store), { dataset: ref, dynamics });
  const candidates = await loadJson(rig.store, 'candidates', outputs.candidates);
  expect(candidates).toMatchObject([{ type: 'spurious', imageId: 1, annotation: { id: '1-1', box: right } }]);
  const { labels } = await loadDataset(rig.store, outputs.dataset);
  const after = (verdict: Partial<Decision> & Pick<Decision, 'verdict'>) => {
    const decisions = [{ candidateId: candidates[0]!.id, ...verdict }];
    const applied = applyVerdicts(labels, candidates, decisions, { parent: null, author: 'review', note: '' });
    return applied.labels.annotations.find(({ id }) => id === '1-1');
  };
  expect(after({ verdict: 'accept' })).toBe(undefined);
  expect(after({ verdict: 'reject' })).toMatchObject({ ignore: true, quarantine: expect.any(String) });
  expect(after({ verdict: 'edit', box: [50, 50, 70, 70] })).toEqual({
    id: '1-1',
    imageId: 1,
    categoryId: 1,
    box: [50, 50, 70, 70],
  });
  expect(after({ verdict: 'ignore' })).toEqual({ id: '1-1', imageId: 1, categoryId: 1, box: right, ignore: true });
});

test('a review after a quarantine keeps what it holds', async () => {
  const first = await quarantine(stepContext(rig.store), { dataset: ref, dynamics: await dynamicsOf(firstRound) });
  const held = await loadDataset(rig.store, first.dataset);
  // As a review leaves it: another box was moved.
  const annotations = held.labels.annotations.map((one) =>
    one.id === '2-0' ? { ...one, box: [12, 12, 32, 32] as const } : one,
  );
  const reviewed = await saveDataset(rig.store, {
    ...held,
    labels: { parent: held.manifest.labels, author: 'review', note: '', annotations },
  });
  const again = await quarantine(stepContext(rig.store), {
    dataset: reviewed,
    dynamics: await dynamicsOf(firstRound),
    previous: first.quarantined,
  });
  expect(again).toMatchObject({ held: 1, released: 0, dataset: reviewed });
});

/** What happens while nobody decides, in skipped time: notices in working hours, and after days the labels as they are. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { saveDataset, saveJson } from '../../artifacts/codecs.ts';
import { readGate } from '../../artifacts/gate-record.ts';
import { readRun, readStepRecord } from '../../artifacts/run-record.ts';
import type { Candidate } from '../../detection/types.ts';
import { openSkippingRig, type SkippingRig } from '../skipping-rig.ts';
import { gate } from '../small-plans.ts';

let rig: SkippingRig;

beforeAll(async () => {
  rig = await openSkippingRig({});
});

afterAll(async () => {
  await rig?.close();
});

test('nobody decides for 8 days: the run has reminded, named others, and gone on after 7', async () => {
  const digest = await rig.store.putObject(Buffer.from('image'));
  const dataset = await saveDataset(rig.store, {
    categories: [{ id: 1, name: 'apple' }],
    images: [{ id: 1, fileName: 'a.png', width: 100, height: 100, digest, split: 'train', group: '1' }],
    labels: { parent: null, author: 'import', note: '', annotations: [] },
  });
  const detection = { categoryId: 1, box: [10, 10, 30, 30] as const, score: 0.8 };
  const asked: Candidate[] = [{ id: 'c', type: 'missing', imageId: 1, imageDigest: digest, detection, rank: 0.5 }];
  const candidates = await saveJson(rig.store, 'candidates', asked);
  const after = { remind: '4h', escalate: { in: '2d', to: ['cleo'] }, expire: { in: '7d' } };
  const step = gate('review', { with: { dataset, candidates, reviewer: 'human', after } as never });
  const handle = await rig.startRun('nobody', { steps: [step] });
  await rig.sleep('8 days');
  await handle.result();
  expect(await readGate(rig.store, 'nobody', 'review')).toMatchObject({
    state: 'closed',
    reason: 'expired',
    decided: 0,
  });
  expect(await readStepRecord(rig.store, 'nobody', 'review')).toMatchObject({ state: 'done', outputs: { changed: 0 } });
  expect((await readRun(rig.store, 'nobody'))?.state.notices).toEqual([
    '"review" has waited for 4 h: 1 decision is open. See "hardcase review list nobody review".',
    '"review" has waited for 2 d: 1 decision is open, and cleo should look too. See "hardcase review list nobody review".',
  ]);
});

import { describe, expect, it } from 'vitest';
import { merge } from '../../activities/merge.ts';
import { loadJson } from '../../artifacts/codecs.ts';
import type { ArtifactRef } from '../../plan/types.ts';
import { createMemoryStore } from '../artifacts/memory-store.ts';
import { stepContext } from './step-rig.ts';

const model = (letter: string): ArtifactRef => ({ artifact: 'model', digest: letter.repeat(64), bytes: 1 });
const [a, b, c] = [model('a'), model('b'), model('c')];

describe('merge', () => {
  it('makes an ensemble of every prefix of at least two models, and of all', async () => {
    const store = createMemoryStore();
    const { models, prefixes, ensemble } = await merge(stepContext(store), {
      models: [a, b, c],
      method: 'nms',
      iou: 0.5,
    });
    expect(models).toEqual([a, b, c]);
    expect(await Promise.all(prefixes.map((ref) => loadJson(store, 'ensemble', ref)))).toEqual([
      { models: [a, b], method: 'nms', iou: 0.5 },
      { models: [a, b, c], method: 'nms', iou: 0.5 },
    ]);
    expect(ensemble).toEqual(prefixes[1]);
  });

  it('has no prefixes for one model, and an ensemble of it alone', async () => {
    const store = createMemoryStore();
    const { prefixes, ensemble } = await merge(stepContext(store), { models: [a], method: 'nms', iou: 0.5 });
    expect(prefixes).toEqual([]);
    expect(await loadJson(store, 'ensemble', ensemble)).toEqual({ models: [a], method: 'nms', iou: 0.5 });
  });

  it('refuses to merge nothing', async () => {
    const merging = merge(stepContext(createMemoryStore()), { models: [], method: 'nms', iou: 0.5 });
    await expect(merging).rejects.toMatchObject({ type: 'BadData', nonRetryable: true });
  });
});

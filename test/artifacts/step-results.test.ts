import { describe, expect, it } from 'vitest';
import { saveDataset, saveJson } from '../../artifacts/codecs.ts';
import {
  createStepResult,
  forgetStepResult,
  readStepResult,
  type StepResultContent,
} from '../../artifacts/step-results.ts';
import type { ArtifactRef } from '../../plan/types.ts';
import { createMemoryStore, type MemoryStore } from './memory-store.ts';

const fingerprint = '0'.repeat(64);

const result = (run: string, outputs: StepResultContent['outputs']): StepResultContent => ({
  kind: 'mine',
  version: 1,
  run,
  path: 'errors',
  at: '2026-01-01T00:00:00.000Z',
  outputs,
});

async function emptyDataset(store: MemoryStore): Promise<ArtifactRef> {
  const labels = { parent: null, author: 'import', note: '', annotations: [] };
  return saveDataset(store, { categories: [], images: [], labels });
}

describe('Results of steps', () => {
  it('are null until one is recorded, and then the same for everybody', async () => {
    const store = createMemoryStore();
    expect(await readStepResult(store, fingerprint)).toBeNull();
    await createStepResult(store, fingerprint, result('first', { AP: 0.5 }));
    expect(await readStepResult(store, fingerprint)).toEqual({
      ...result('first', { AP: 0.5 }),
      fingerprint,
      generation: 1,
    });
  });

  it('are those of the first writer; the loser is given them', async () => {
    const store = createMemoryStore();
    const answers = await Promise.all(
      ['a', 'b', 'c'].map((run) => createStepResult(store, fingerprint, result(run, { AP: 0.5 }))),
    );
    expect(new Set(answers.map(({ run }) => run)).size).toBe(1);
  });

  it('count as absent when an object is missing, and can be made again', async () => {
    const store = createMemoryStore();
    const selection = await saveJson(store, 'selection', { images: [1] });
    await createStepResult(store, fingerprint, result('first', { hardImages: [selection] }));
    store.objects.delete(selection.digest);
    expect(await readStepResult(store, fingerprint)).toBeNull();
    await saveJson(store, 'selection', { images: [1] });
    // The forgotten one stays forgotten, although its object is back.
    expect(await readStepResult(store, fingerprint)).toBeNull();
    const again = await createStepResult(store, fingerprint, result('second', { hardImages: [selection] }));
    expect(again).toMatchObject({ run: 'second', generation: 2 });
    expect(await readStepResult(store, fingerprint)).toEqual(again);
  });

  it.each(['images', 'labels'] as const)('count as absent when the %s of a dataset are missing', async (part) => {
    const store = createMemoryStore();
    const dataset = await emptyDataset(store);
    await createStepResult(store, fingerprint, result('first', { dataset }));
    expect(await readStepResult(store, fingerprint)).not.toBeNull();
    const manifest = JSON.parse(store.objects.get(dataset.digest)!.toString());
    store.objects.delete(manifest[part]);
    expect(await readStepResult(store, fingerprint)).toBeNull();
  });

  it("count as absent when the list of a dataset's parts is damaged, which is taken out of the way", async () => {
    const store = createMemoryStore();
    const dataset = await emptyDataset(store);
    await createStepResult(store, fingerprint, result('first', { dataset }));
    store.objects.set(dataset.digest, Buffer.from('damaged'));
    expect(await readStepResult(store, fingerprint)).toBeNull();
    expect(await store.hasObject(dataset.digest)).toBe(false);
  });

  it('give way to a new result when their objects vanished before the next writer came', async () => {
    const store = createMemoryStore();
    const selection = await saveJson(store, 'selection', { images: [1] });
    await createStepResult(store, fingerprint, result('first', { hardImages: selection }));
    store.objects.delete(selection.digest);
    const second = await createStepResult(store, fingerprint, result('second', { AP: 1 }));
    expect(second).toMatchObject({ run: 'second', generation: 2 });
  });

  it('are forgotten by generation, so that a successor made meanwhile stays', async () => {
    const store = createMemoryStore();
    const first = await createStepResult(store, fingerprint, result('first', { AP: 1 }));
    await forgetStepResult(store, fingerprint, first.generation);
    await createStepResult(store, fingerprint, result('second', { AP: 1 }));
    await forgetStepResult(store, fingerprint, first.generation);
    expect(await readStepResult(store, fingerprint)).toMatchObject({ run: 'second' });
    await forgetStepResult(store, fingerprint);
    expect(await readStepResult(store, fingerprint)).toBeNull();
  });
});

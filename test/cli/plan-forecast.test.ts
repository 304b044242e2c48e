/** What a run would reuse, run or not yet know, from results in a real store. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fingerprintOf, stepSeed } from '../../artifacts/fingerprint.ts';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { createStepResult } from '../../artifacts/step-results.ts';
import type { Store } from '../../artifacts/store.ts';
import { forecastPlan } from '../../cli/plan-forecast.ts';
import { stepKinds } from '../../plan/step-kinds.ts';
import type { ArtifactKind, ArtifactRef, Json, Plan } from '../../plan/types.ts';
import { planOf, withOf } from '../plan/compile-text.ts';

let folder: string;
let store: Store;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hardcase-forecast-'));
  store = await openFolderStore(folder);
});
afterEach(() => rm(folder, { recursive: true }));

async function put(artifact: ArtifactKind, content: Json): Promise<ArtifactRef> {
  const bytes = Buffer.from(JSON.stringify(content));
  return { artifact, digest: await store.putObject(bytes), bytes: bytes.length };
}

/** Records a result as a run would, for the path `at` with these resolved parameters. */
async function record(
  plan: Plan,
  kind: string,
  at: string,
  parameters: { readonly [name: string]: Json },
  outputs: { readonly [name: string]: Json },
) {
  const row = stepKinds.get(kind)!;
  const seed = row.seeded ? stepSeed(plan.seed, at) : undefined;
  const fingerprint = fingerprintOf({ kind, version: row.version, with: parameters, seed });
  await createStepResult(store, fingerprint, {
    kind,
    version: row.version,
    outputs,
    run: 'earlier',
    path: at,
    at: '2026-01-01T00:00:00Z',
  });
}

const outlooks = async (plan: Plan) =>
  (await forecastPlan(plan, store)).map(({ path, outlook, reason = '' }) => `${path} ${outlook} ${reason}`.trim());

const yaml = `
  name: test
  steps:
    data: { uses: synthesize, with: { images: 20 } }
    model: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", epochs: 1 } }
    second: { uses: train, when: steps.model.AP < 0.5, with: { init: "\${{ steps.model.model }}", dataset: "\${{ steps.data.dataset }}" } }
    loop:
      repeat: { max: 3, until: steps.train.AP > 0.8, carry: { model: "\${{ steps.model.model }}" } }
      steps:
        train: { uses: train, with: { init: "\${{ carry.model }}", dataset: "\${{ steps.data.dataset }}", epochs: 2 } }
      next: { model: "\${{ steps.train.model }}" }
    merge: { uses: merge, with: { models: "\${{ steps.loop.all.map(r, r.model) }}" } }`;

test('in an empty store the first step runs, and the others cannot be known', async () => {
  expect(await outlooks(planOf(yaml))).toEqual([
    'data run no result of the same inputs and parameters is in the store',
    'model unknown unknown until data has ended',
    'second unknown unknown until model has ended',
    'loop unknown unknown until model has ended',
    'merge unknown unknown until loop has ended',
  ]);
});

test('a reused step has outputs, so what follows is known too, round after round', async () => {
  const plan = planOf(yaml);
  const images = await store.putObject(Buffer.from('[]'));
  const labels = await store.putObject(Buffer.from('{}'));
  const dataset = await put('dataset', { categories: [], images, labels });
  const [m1, m2] = [await put('model', 1), await put('model', 2)];
  const model = withOf(plan, 'model') as { readonly [name: string]: Json };
  const round = withOf(plan, 'loop.train') as { readonly [name: string]: Json };
  await record(plan, 'synthesize', 'data', withOf(plan, 'data') as { readonly [name: string]: Json }, { dataset });
  await record(plan, 'train', 'model', { ...model, dataset }, { model: m1, AP: 0.6 });
  await record(plan, 'train', 'loop[1].train', { ...round, init: m1, dataset }, { model: m2, AP: 0.7 });

  const before = ['data reuse', 'model reuse', 'second skip when: steps.model.AP < 0.5', 'loop[1].train reuse'];
  const absent = 'run no result of the same inputs and parameters is in the store';
  expect(await outlooks(plan)).toEqual([
    ...before,
    `loop[2].train ${absent}`,
    'loop[3] unknown unknown until loop[2] has ended',
    'merge unknown unknown until loop has ended',
  ]);

  // The second round was good enough, so the loop ends there.
  await record(plan, 'train', 'loop[2].train', { ...round, init: m2, dataset }, { model: m2, AP: 0.9 });
  expect(await outlooks(plan)).toEqual([...before, 'loop[2].train reuse', `merge ${absent}`]);
});

/** What a run would reuse, run or not yet know, from results in a real store. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fingerprintOf, stepSeed } from '../../artifacts/fingerprint.ts';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { createRun, writeStepRecord } from '../../artifacts/run-record.ts';
import { createStepResult } from '../../artifacts/step-results.ts';
import type { Store } from '../../artifacts/store.ts';
import { describePlaced, placeChange } from '../../cli/change-places.ts';
import { readEarlierWork } from '../../cli/earlier-work.ts';
import { estimatePlan } from '../../cli/plan-estimate.ts';
import { forecastPlan } from '../../cli/plan-forecast.ts';
import { describeChange } from '../../cli/step-changes.ts';
import { parsePipeline } from '../../plan/compile.ts';
import { stepKinds } from '../../plan/step-kinds.ts';
import type { ArtifactKind, ArtifactRef, Json, Plan } from '../../plan/types.ts';
import { resolveValue } from '../../plan/values.ts';
import { compileText, dedent, planOf, withOf } from '../plan/compile-text.ts';

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

const small = `
  name: test
  params: { epochs: { type: integer, default: 10 } }
  steps:
    data: { uses: synthesize, with: { images: 20 } }
    model:
      uses: train
      with: { dataset: "\${{ steps.data.dataset }}", epochs: "\${{ params.epochs }}" }
    table: { uses: evaluate, with: { models: ["\${{ steps.model.model }}"], dataset: "\${{ steps.data.dataset }}", splits: [val] } }`;

/** A run of the plan that took a minute for each step. */
async function recordRun(plan: Plan, outputs: { readonly [path: string]: { readonly [name: string]: Json } }) {
  const planDigest = 'a'.repeat(64);
  const header = { run: 'first', pipeline: plan.pipeline, planDigest, source: planDigest, file: 'test.yaml' };
  await createRun(store, { ...header, params: plan.params, createdAt: '2026-01-01T00:00:00.000Z' });
  const times = { startedAt: '2026-01-01T00:00:00.000Z', endedAt: '2026-01-01T00:01:00.000Z' };
  for (const [path, given] of Object.entries(outputs)) {
    const step = plan.root.steps.find(({ id }) => id === path);
    if (step === undefined || 'scope' in step) throw new Error(path);
    const { kind, version } = step;
    const seed = stepKinds.get(kind)!.seeded ? stepSeed(plan.seed, path) : undefined;
    const parameters = resolveValue(step.with, { steps: outputs }) as { readonly [name: string]: Json };
    await record(plan, kind, path, parameters, given);
    const fingerprint = fingerprintOf({ kind, version, with: parameters, seed });
    const state = { path, kind, state: 'done', reused: false, with: parameters, outputs: given, fingerprint } as const;
    await writeStepRecord(store, 'first', {
      ...state,
      seed: stepSeed(plan.seed, path),
      ...times,
      attempts: [{ ...times, worker: 'w' }],
    });
  }
}

async function runOf(plan: Plan) {
  const images = await store.putObject(Buffer.from('[]'));
  const labels = await store.putObject(Buffer.from('{}'));
  const dataset = await put('dataset', { categories: [], images, labels });
  await recordRun(plan, {
    data: { dataset },
    model: { model: await put('model', 1), AP: 0.6 },
    table: { metrics: await put('metrics', 1) },
  });
}

test('a step that runs says what changed against the nearest earlier record, and one behind it what changed besides', async () => {
  await runOf(planOf(small));
  const earlier = await readEarlierWork(store, 'test');
  const edited = small.replace('splits: [val]', 'splits: [val, test]');
  const plan = planOf(edited, { params: { epochs: '30' } });
  const forecasts = await forecastPlan(plan, store, earlier);
  expect(
    forecasts.map(({ path, outlook, changes = [] }) => [path, outlook, ...changes.map(describeChange)].join(' ')),
  ).toEqual(['data reuse', 'model run epochs 10 -> 30', 'table unknown splits ["val"] -> ["val","test"]']);
  expect(forecasts[1]!.nearest).toEqual({ run: 'first', path: 'model' });
});

test('a change is found on its line, with the param behind it', async () => {
  await runOf(planOf(small));
  const { plan, sources } = compileText(small, { params: { epochs: '30' } });
  const places = parsePipeline({ file: 'test.yaml', text: dedent(small) }).parsed!.places;
  const source = { text: dedent(small), sources, places, params: plan!.params };
  const change = { what: 'parameter', name: 'epochs', was: 10, is: 30 } as const;
  const placed = placeChange(change, 'model', source, { epochs: 10 });
  expect(placed).toMatchObject({ line: 7, param: { name: 'epochs', was: 10, is: 30, line: 2 } });
  expect(describePlaced(placed)).toBe('epochs 10 -> 30 (line 7, from params.epochs)');
  expect(describePlaced(placeChange({ ...change, name: 'width' }, 'model', source, { epochs: 30 }))).toBe(
    'width 10 -> 30 (line 5)',
  );
});

test('times of earlier runs grow with the epochs, and count only what is not reused', async () => {
  await runOf(planOf(small));
  const earlier = await readEarlierWork(store, 'test');
  const plan = planOf(small, { params: { epochs: '30' } });
  const estimate = estimatePlan(plan, earlier, await forecastPlan(plan, store, earlier));
  expect(Object.fromEntries(estimate.steps)).toEqual({ data: 60_000, model: 180_000, table: 60_000 });
  expect(estimate).toMatchObject({ workMs: 240_000, elapsedMs: 240_000, unmeasured: [] });
  const other = planOf(`${small}\n    files: { uses: export, with: { model: "\${{ steps.model.model }}" } }`);
  expect(estimatePlan(other, earlier, await forecastPlan(other, store, earlier))).toMatchObject({
    workMs: 0,
    unmeasured: ['files'],
  });
});

test('trainings side by side take as long as one after the other, because one worker trains', async () => {
  const yaml = `
    name: test
    steps:
      data: { uses: synthesize, with: { images: 20 } }
      model: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", epochs: 10 } }
      other: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", epochs: 20 } }`;
  await runOf(planOf(small));
  const earlier = await readEarlierWork(store, 'test');
  const plan = planOf(yaml);
  const estimate = estimatePlan(plan, earlier, await forecastPlan(plan, store, earlier));
  expect(estimate).toMatchObject({ workMs: 120_000, elapsedMs: 120_000 });
});

test('people, other programs and what runs at the end have their lines, and a program that did the work is not asked again', async () => {
  const plan = planOf(`
    name: others
    steps:
      data: { uses: synthesize, with: { images: 12 } }
      ok: { approve: { message: Go on? } }
      first: { activity: survey, queue: q, with: { n: 1 }, outputs: { score: number } }
      next: { activity: survey, queue: q, when: steps.first.score > 0.5, with: { dataset: "\${{ steps.data.dataset }}" } }
      always: { activity: tell, queue: q, reuse: false }
    finally:
      last: { activity: tell, queue: q }
  `);
  const lines = async () =>
    (await forecastPlan(plan, store)).map(({ path, outlook, reason }) => `${path} ${outlook} ${reason ?? ''}`.trim());
  const absent = 'no result of the same inputs and parameters is in the store';
  const before = [
    `data run ${absent}`,
    'ok run asks people in each run',
    `first run ${absent}`,
    'next unknown unknown until data has ended',
    'always run runs anew in each run',
    'last unknown unknown until the run has ended',
  ];
  expect(await lines()).toEqual(before);

  const [kind, seed, outputs] = ['activity:survey', stepSeed(plan.seed, 'first'), { score: 'number' }] as const;
  const fingerprint = fingerprintOf({ kind, version: 1, with: { n: 1 }, seed, outputs });
  const made = { kind, version: 1, outputs: { score: 0.9 }, run: 'r', path: 'first', at: '2026-03-01T10:00:00.000Z' };
  await createStepResult(store, fingerprint, made);
  expect((await lines())[2]).toBe('first reuse');
});

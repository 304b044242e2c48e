/** `report`: gathers what the run left behind, and stores the pages. */

import { type JsonArtifacts, loadDynamics, loadJson, readBytes, saveJson } from '../artifacts/codecs.ts';
import { readOperations, readRun, readStepRecords } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import type { Quarantined } from '../artifacts/types.ts';
import type { Dynamics } from '../detection/dynamics.ts';
import { type ArtifactKind, type ArtifactRef, isArtifactRef, type StepRecord } from '../plan/types.ts';
import { buildReport } from '../report/build.ts';
import { lastHolding, worstFirst } from '../report/quarantine.ts';
import { renderHtml, renderMarkdown } from '../report/render.ts';
import type { BoxPicture, Made, ReportInput } from '../report/types.ts';
import type { StepImplementation } from './context.ts';
import { cropPictures } from './crop-pictures.ts';

/** Pictures of held boxes: two rows of six. */
const picturesMost = 12;

export interface ReportParameters {
  readonly tables: readonly ArtifactRef[];
  readonly title?: string;
}

export const report: StepImplementation<ReportParameters, { report: ArtifactRef }> = async (context, parameters) => {
  const { store } = context;
  const record = await readRun(store, context.run);
  if (record === null) throw new Error(`Internal error: run ${context.run} has no record in the store ${store.url}.`);
  // The report's own step is still running, and would show as such for ever.
  const steps = (await readStepRecords(store, context.run)).filter((step) => step.path !== context.path);
  const tables = new Set(parameters.tables.map((table) => table.digest));
  const metrics = await load(store, steps, 'metrics');

  const quarantined = await load(store, steps, 'quarantined');
  const input: ReportInput = {
    title: parameters.title ?? record.header.pipeline,
    header: record.header,
    state: record.state,
    steps,
    operations: await readOperations(store, context.run),
    metrics: metrics.filter((one) => tables.has(one.digest)),
    trials: await load(store, steps, 'trials'),
    curves: await load(store, steps, 'curves'),
    profiles: await load(store, steps, 'profile'),
    forgetting: await load(store, steps, 'forgetting'),
    dynamics: await loadEachDynamics(store, steps),
    quarantined,
    heldPictures: await picturesOfHeld(store, steps, quarantined),
    corrections: await load(store, steps, 'corrections'),
    planted: await load(store, steps, 'planted'),
    coercions: await load(store, steps, 'coercions'),
    source: (await readBytes(store, 'pipeline file', record.header.source)).toString(),
    now: new Date().toISOString(),
  };
  const built = buildReport(input);
  const pages = {
    html: await store.putObject(Buffer.from(renderHtml(built))),
    markdown: await store.putObject(Buffer.from(renderMarkdown(built))),
  };
  return { report: await saveJson(store, 'report', pages) };
};

async function load<K extends keyof JsonArtifacts>(
  store: Store,
  steps: readonly StepRecord[],
  kind: K,
): Promise<(Made<JsonArtifacts[K]> & { readonly digest: string })[]> {
  const found = madeOf(steps, kind);
  return Promise.all(
    found.map(async ({ path, ref }) => ({ path, value: await loadJson(store, kind, ref), digest: ref.digest })),
  );
}

async function picturesOfHeld(
  store: Store,
  steps: readonly StepRecord[],
  quarantined: readonly Made<Quarantined>[],
): Promise<BoxPicture[]> {
  const last = lastHolding(quarantined);
  if (!last) return [];
  const worst = worstFirst(last.value).slice(0, picturesMost);
  return cropPictures(
    store,
    steps,
    last.path,
    worst.map(({ annotation }) => annotation),
  );
}

async function loadEachDynamics(store: Store, steps: readonly StepRecord[]): Promise<Made<Dynamics>[]> {
  const found = madeOf(steps, 'dynamics');
  return Promise.all(found.map(async ({ path, ref }) => ({ path, value: await loadDynamics(store, ref) })));
}

/** Every artifact of one kind among the outputs of the steps, in their order; one that two steps gave, only once. */
function madeOf(
  steps: readonly StepRecord[],
  kind: ArtifactKind,
): { readonly path: string; readonly ref: ArtifactRef }[] {
  const made: { path: string; ref: ArtifactRef }[] = [];
  const seen = new Set<string>();
  for (const step of steps) {
    for (const output of Object.values(step.outputs ?? {})) {
      if (!isArtifactRef(output) || output.artifact !== kind || seen.has(output.digest)) continue;
      seen.add(output.digest);
      made.push({ path: step.path, ref: output });
    }
  }
  return made;
}

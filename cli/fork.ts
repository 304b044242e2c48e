/** `hardcase fork RUN --from STEP`: a new run that reuses what came before a step, and does it and the rest anew. */

import { randomBytes } from 'node:crypto';
import { readStepRecords } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { canonicalJson } from '../plan/canonical.ts';
import { compilePipeline, parsePipeline, textsOf } from '../plan/compile.ts';
import { forkScope, isForkPlace } from '../plan/fork.ts';
import type { GivenParams, UnreadablePath } from '../plan/params.ts';
import { innerPath, innerScope, parsePath, stepPath, stepsOf } from '../plan/paths.ts';
import { digestPlan } from '../plan/plan-digest.ts';
import type { Json, Plan, PlannedScope, RunHeader } from '../plan/types.ts';
import { hasErrors, printDiagnostics } from '../spec/diagnostic.ts';
import { openExistingStore } from './connect.ts';
import { readEarlierWork } from './earlier-work.ts';
import { findRun } from './find-run.ts';
import { ingestFolder, readParamWords, storedImports } from './load-pipeline.ts';
import {
  CommandError,
  didYouMean,
  type ExitCode,
  exitCodes,
  note,
  paintState,
  print,
  printJson,
  table,
} from './output.ts';
import { type Forecast, forecastPlan } from './plan-forecast.ts';
import { readPlan } from './run-view.ts';
import type { Settings } from './settings.ts';

export interface ForkOptions {
  readonly from: string;
  /** `name=value`, as given with `-p`. */
  readonly params: readonly string[];
  /** Id of the new run. */
  readonly run?: string;
  readonly wait: boolean;
  /** Shows what would be reused and run, and starts nothing. */
  readonly dryRun: boolean;
  readonly json?: boolean;
}

export async function runFork(settings: Settings, name: string, options: ForkOptions): Promise<ExitCode> {
  const store = await openExistingStore(settings);
  const { header } = await findRun(store, name);
  const before = await readPlan(store, header.planDigest);
  if (before === null) {
    throw new CommandError(
      `The plan of run ${header.run} (${header.planDigest}) is not in ${store.url}, so nothing can be forked from it.`,
      exitCodes.input,
    );
  }
  await checkFrom(store, header, before, options.from);
  const { from } = options;
  const [same, now] = [await planAnew(store, header, []), await planAnew(store, header, options.params)];
  if (same === null || now === null) return exitCodes.input;
  const salt = randomBytes(6).toString('hex');
  const plan: Plan = { ...now, root: forkScope(before.root, now.root, parsePath(from)!, salt) };
  const changed = changedParams(before, now);
  if (Object.keys(changed).length > 0) sayWhatStays({ before, same, now, fork: plan }, Object.keys(changed), from);
  const forecasts = await forecastPlan(plan, store, await readEarlierWork(store, plan.pipeline));
  if (options.dryRun) {
    if (options.json) printJson({ run: header.run, from, params: changed, forecasts });
    else print(forecastText(forecasts));
    return exitCodes.done;
  }
  for (const each of [plan, now]) await store.putObject(Buffer.from(canonicalJson(each)));
  const { startOrJoin } = await import('./run.ts');
  const { source, imports, file, given } = header;
  const loaded = {
    store,
    plan,
    planDigest: digestPlan(plan),
    source,
    imports,
    given: [...new Set([...(given ?? []), ...Object.keys(changed)])],
    fork: { run: header.run, from, params: changed },
    forkPlans: { before: header.planDigest, file: digestPlan(now), salt },
  };
  const { run, wait, json } = options;
  return await startOrJoin(settings, loaded, file, { params: [], run, forceNew: run === undefined, wait, json });
}

/** The step must be in the plan, and the round or leg in which it stands must have begun. */
async function checkFrom(store: Store, { run }: RunHeader, { root }: Plan, from: string): Promise<void> {
  const began = (await readStepRecords(store, run)).map(({ path }) => path);
  const parts = parsePath(from);
  const isPlace = parts !== null && isForkPlace(root, parts);
  const within = from.slice(0, from.lastIndexOf(']') + 1);
  if (isPlace && (within === '' || began.some((path) => path === within || path.startsWith(`${within}.`)))) return;
  const places = began.filter((path) => isForkPlace(root, parsePath(path) ?? []));
  const near = isPlace ? undefined : didYouMean(from, places);
  throw new CommandError(
    `--from ${from}: ${isPlace ? `${within} did not begin in` : 'this is no step of'} ${run}.${near === undefined ? '' : ` Did you mean "${near}"?`} Steps that began: ${places.join(', ') || 'none'}.`,
    exitCodes.usage,
  );
}

/** The run's own file with its own params, but for those that are given. Null where they do not fit; that was printed. */
async function planAnew(store: Store, header: RunHeader, words: readonly string[]): Promise<Plan | null> {
  const bytes = await store.getObject(header.source);
  if (bytes === null) {
    throw new CommandError(
      `The pipeline file of run ${header.run} (${header.source}) is not in ${store.url}, so it cannot be planned anew.`,
      exitCodes.input,
    );
  }
  const text = bytes.toString('utf8');
  const pipeline = parsePipeline({ file: header.file, text }, await storedImports(store, header));
  const given = readParamWords(words);
  const values: { [name: string]: GivenParams[string] | UnreadablePath } = { ...header.params, ...given };
  for (const [name, param] of Object.entries(pipeline.params)) {
    const folder = given[name];
    if (param.type === 'path' && folder !== undefined) values[name] = await ingestFolder(store, folder);
  }
  const { plan, diagnostics } = compilePipeline(pipeline, { params: values });
  if (plan !== undefined && !hasErrors(diagnostics)) return plan;
  note(printDiagnostics(diagnostics, textsOf(pipeline)));
  return null;
}

function changedParams(before: Plan, now: Plan): { readonly [name: string]: Json } {
  const changed = Object.entries(now.params).filter(
    ([name, value]) => canonicalJson(value) !== canonicalJson(before.params[name] ?? null),
  );
  return Object.fromEntries(changed);
}

/** Params that steps before `from` read keep their values there. One that nothing behind reads would do nothing. */
function sayWhatStays(plans: { before: Plan; same: Plan; now: Plan; fork: Plan }, names: string[], from: string): void {
  const { before, same, now, fork } = plans;
  const given = names.map((name) => `-p ${name}`).join(', ');
  const [was, is] = [stepTexts(same.root, ''), stepTexts(now.root, '')];
  // Steps without a mark are those of the earlier run.
  const kept = [...stepTexts(fork.root, '')]
    .filter(([path, text]) => !text.includes('"fresh"') && was.get(path) !== is.get(path))
    .map(([path]) => path);
  const parts = parsePath(from)!;
  const [without, along] = [same, now].map(({ root }) => canonicalJson(forkScope(before.root, root, parts, 'salt')));
  if (without === along) {
    const readers = kept.length === 0 ? 'No step reads it.' : `It is read by ${kept.join(', ')}: fork from there.`;
    throw new CommandError(`${given} changes nothing from ${from} on. ${readers}`, exitCodes.input);
  }
  if (kept.length > 0) note(`${given}: from ${from} on. What came before stays as it was: ${kept.join(', ')}.`);
}

/** Of steps of a kind, by path with `[]` for rounds and legs. */
function stepTexts(scope: PlannedScope, within: string): Map<string, string> {
  const texts = new Map<string, string>();
  for (const step of stepsOf(scope)) {
    const path = stepPath(within, step.id);
    const inner = innerScope(step);
    if (inner === null) texts.set(path, canonicalJson(step));
    else for (const [each, text] of stepTexts(inner, innerPath(step, path))) texts.set(each, text);
  }
  return texts;
}

function forecastText(forecasts: readonly Forecast[]): string {
  return table(
    forecasts.map(({ path, kind, outlook, reason = '' }) => [
      paintState({ reuse: 'done', run: 'running', skip: 'skipped', unknown: 'pending' }[outlook], outlook),
      path,
      kind,
      reason,
    ]),
  );
}

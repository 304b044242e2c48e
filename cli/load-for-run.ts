/** A pipeline file to a plan that can run: checked first, then its folders are taken into the store. */

import { RUN_ID_PATTERN, readRun } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { compilePipeline } from '../plan/compile.ts';
import type { GivenParams, UnreadablePath } from '../plan/params.ts';
import type { Plan, RunHeader } from '../plan/types.ts';
import { type Diagnostic, hasErrors, printDiagnostics } from '../spec/diagnostic.ts';
import { openExistingStore, openSettingsStore } from './connect.ts';
import { type LineOf, lineFinder } from './file-lines.ts';
import { ingestFolder, loadPipeline, readParamWords } from './load-pipeline.ts';
import { CommandError, exitCodes, note, ownCommand } from './output.ts';
import { readPlan } from './run-view.ts';
import type { Settings } from './settings.ts';

export interface LoadedPlan {
  readonly store: Store;
  readonly plan: Plan;
  readonly planDigest: string;
  /** Digest of the file's text in the store. */
  readonly source: string;
  /** Of the files that it imports, by path. */
  readonly imports?: RunHeader['imports'];
  /** Names of the params that -p gave. */
  readonly given: readonly string[];
  /** Of a fork: what it was forked from. */
  readonly fork?: RunHeader['fork'];
  readonly forkPlans?: RunHeader['forkPlans'];
  /** Absent for a fork, whose plan is in no file. */
  readonly lineOf?: LineOf;
}

/**
 * Null where the file has errors; they have been printed, all of them, and nothing was put into the store. A param that
 * is not among `params` has the value that it was given when `run` began, so that an id is enough to go on.
 */
export async function loadForRun(
  settings: Settings,
  file: string,
  params: readonly string[],
  run?: string,
  {
    asInFile = false,
  }: { /** Also where the run is a fork, which has a plan of its own. */ readonly asInFile?: boolean } = {},
): Promise<LoadedPlan | null> {
  const forked = run === undefined || asInFile ? null : await loadFork(settings, run, params);
  if (forked !== null) return forked;
  // First with a stand-in for every folder: a mistake in the file must not be told only after gigabytes were read.
  const check = (paramsRequired: boolean, known?: GivenParams) =>
    loadPipeline(file, { params, known, paramsRequired, digestFolders: false });
  let checked = await check(run === undefined);
  if (failed(checked.compilation.diagnostics, checked.texts)) return null;

  const store = await openSettingsStore(settings);
  let known: GivenParams = {};
  if (run !== undefined) {
    known = await givenTo(store, run, Object.keys(checked.pipeline.params));
    checked = await check(true, known);
    if (failed(checked.compilation.diagnostics, checked.texts)) return null;
  }
  const { text, texts, pipeline } = checked;
  const words = readParamWords(params);
  const values: { [name: string]: GivenParams[string] | UnreadablePath } = { ...known, ...words };
  for (const [name, param] of Object.entries(pipeline.params)) {
    const folder = values[name] ?? param.default;
    if (param.type === 'path' && typeof folder === 'string') values[name] = await ingestFolder(store, folder);
  }
  const { plan, planDigest, diagnostics, sources } = compilePipeline(pipeline, { params: values });
  if (failed(diagnostics, texts) || plan === undefined || planDigest === undefined) return null;
  if (diagnostics.length > 0) note(printDiagnostics(diagnostics, texts));
  const source = await store.putObject(Buffer.from(text));
  const imports: { [file: string]: string } = {};
  for (const [name, each] of texts) {
    if (name !== pipeline.source.file) imports[name] = await store.putObject(Buffer.from(each));
  }
  const own = Object.keys(imports).length === 0 ? {} : { imports };
  const lineOf = lineFinder(text, sources);
  return { store, plan, planDigest, source, ...own, given: Object.keys(words), lineOf };
}

/** The plan of a fork, as it was put together when it was forked: no file alone says it. Null for any other run. */
export async function loadFork(settings: Settings, run: string, params: readonly string[]): Promise<LoadedPlan | null> {
  // A store that is away must be told: taken for one without the run, it would have the file of the fork compiled instead.
  const store = await openExistingStore(settings);
  const header = RUN_ID_PATTERN.test(run) ? (await readRun(store, run))?.header : undefined;
  if (header?.fork === undefined) return null;
  if (params.length > 0) {
    throw new CommandError(
      `${run} is a fork of ${header.fork.run} with params of its own, so -p has no place here. Leave it out, or fork again: ${ownCommand('fork', header.fork.run, '--from', header.fork.from, ...params.flatMap((word) => ['-p', word]))}`,
      exitCodes.usage,
    );
  }
  const plan = await readPlan(store, header.planDigest);
  if (plan === null) {
    throw new CommandError(
      `The plan of the fork ${run} (${header.planDigest}) is not in ${store.url}.`,
      exitCodes.input,
    );
  }
  const { planDigest, source, imports, given = [], fork } = header;
  return { store, plan, planDigest, source, imports, given, fork };
}

/** What -p gave to the run when it began; nothing where there is no such run. Folders are in the store since then. */
async function givenTo(store: Store, run: string, names: readonly string[]): Promise<GivenParams> {
  const header = RUN_ID_PATTERN.test(run) ? (await readRun(store, run))?.header : undefined;
  if (header === undefined) return {};
  // A default is read from the file again: one that was changed since makes another plan, and the run says so.
  const given = names.filter((name) => name in header.params && (header.given?.includes(name) ?? true));
  return Object.fromEntries(given.map((name) => [name, header.params[name]!]));
}

/** Prints errors, and what else is to be said with them. */
function failed(diagnostics: readonly Diagnostic[], texts: ReadonlyMap<string, string>): boolean {
  if (!hasErrors(diagnostics)) return false;
  note(printDiagnostics(diagnostics, texts));
  return true;
}

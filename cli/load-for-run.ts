/** A pipeline file to a plan that can run: checked first, then its folders are taken into the store. */

import type { Store } from '../artifacts/store.ts';
import { ingestTree } from '../artifacts/tree.ts';
import { type CompileOptions, compilePipeline } from '../plan/compile.ts';
import type { Plan } from '../plan/types.ts';
import { type Diagnostic, hasErrors, printDiagnostics } from '../spec/diagnostic.ts';
import { openSettingsStore } from './connect.ts';
import { loadPipeline, readParamWords } from './load-pipeline.ts';
import { note } from './output.ts';
import type { Settings } from './settings.ts';

export interface LoadedPlan {
  readonly store: Store;
  readonly plan: Plan;
  readonly planDigest: string;
  /** Digest of the file's text in the store. */
  readonly source: string;
}

/** Null where the file has errors; they have been printed, all of them, and the store was not touched. */
export async function loadForRun(
  settings: Settings,
  file: string,
  params: readonly string[],
): Promise<LoadedPlan | null> {
  // First with a stand-in for every folder: a mistake in the file must not be told only after gigabytes were read.
  const { text, pipeline, compilation } = await loadPipeline(file, {
    params,
    paramsRequired: true,
    digestFolders: false,
  });
  if (report(compilation.diagnostics, text)) return null;

  const store = await openSettingsStore(settings);
  const given: { [name: string]: NonNullable<CompileOptions['params']>[string] } = { ...readParamWords(params) };
  for (const [name, param] of Object.entries(pipeline.params)) {
    const folder = given[name] ?? param.default;
    if (param.type === 'path' && typeof folder === 'string') given[name] = await ingestTree(store, folder);
  }
  const { plan, planDigest, diagnostics } = compilePipeline(pipeline, { params: given });
  if (plan === undefined || planDigest === undefined) {
    report(diagnostics, text);
    return null;
  }
  return { store, plan, planDigest, source: await store.putObject(Buffer.from(text)) };
}

/** Prints them; answers whether there are errors among them. */
function report(diagnostics: readonly Diagnostic[], text: string): boolean {
  if (diagnostics.length > 0) note(printDiagnostics(diagnostics, text));
  return hasErrors(diagnostics);
}

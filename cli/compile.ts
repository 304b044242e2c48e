/** `hardcase compile`: a pipeline as a Temporal workflow in TypeScript, in place of the interpreter. */

import { existsSync, writeFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plan } from '../plan/types.ts';
import { compiledEventsMax, problemOfHistory } from '../plan/typescript/one-history.ts';
import { writeWorkflow } from '../plan/typescript/workflow.ts';
import { hasErrors, lineStartsOf, positionAt, printDiagnostics } from '../spec/diagnostic.ts';
import { pointerTo } from '../spec/types.ts';
import { loadPipeline } from './load-pipeline.ts';
import { CommandError, type ExitCode, exitCodes, note, print } from './output.ts';

export interface CompileOptions {
  readonly params: readonly string[];
  /** A file instead of the standard output. */
  readonly out?: string;
}

export async function runCompile(file: string, { params, out }: CompileOptions): Promise<ExitCode> {
  const {
    text: source,
    texts,
    pipeline,
    compilation,
  } = await loadPipeline(file, { params, paramsRequired: true, digestFolders: true });
  const { plan, planDigest, diagnostics } = compilation;
  if (plan === undefined || hasErrors(diagnostics)) {
    note(printDiagnostics(diagnostics, texts));
    return exitCodes.input;
  }
  const long = problemOfHistory(plan);
  if (long !== null) {
    const place = pipeline.parsed?.places.get(pointerTo('/steps', long.step));
    const { line, column } = positionAt(lineStartsOf(source), (place?.key ?? place?.value)?.start ?? 0);
    const message = `A run of "${plan.pipeline}" may have ${count(long.all)} events, ${count(long.events)} of them for "${long.step}". A compiled workflow has one history, which holds ${count(compiledEventsMax)} safely. Compile it with fewer rounds or legs, or run it as it is: then rounds and legs have histories of their own.`;
    throw new CommandError(`${file}:${line}:${column} ${message}`, exitCodes.input);
  }
  const text = compiledText(plan, planDigest!, file, out);
  if (out === undefined) print(text.trimEnd());
  else {
    writeFileSync(out, text);
    note(`Wrote ${out}.`);
  }
  return exitCodes.done;
}

const count = (value: number): string => value.toLocaleString('en');

/** `out`: where the text will stand, which decides how it imports the library; else beside nothing, in this folder. */
export function compiledText(plan: Plan, planDigest: string, file: string, out?: string): string {
  const library = relative(dirname(resolve(out ?? 'workflow.ts')), libraryPath()).replaceAll('\\', '/');
  return writeWorkflow({ plan, planDigest, file, library: library.startsWith('.') ? library : `./${library}` }).text;
}

/** In a checkout the source, which has the types; else what was compiled from it. */
function libraryPath(): string {
  for (const place of ['../../workflows/compiled/index.ts', '../workflows/compiled/index.ts']) {
    const path = fileURLToPath(new URL(place, import.meta.url));
    if (existsSync(path)) return path;
  }
  return fileURLToPath(new URL('../workflows/compiled/index.js', import.meta.url));
}

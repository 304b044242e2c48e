/** Mends what leaves no choice in a pipeline file: the text between the changes, its comments and its order stay. */

import { randomUUID } from 'node:crypto';
import { open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import colours from 'picocolors';
import { compilePipeline, parsePipeline } from '../plan/compile.ts';
import { type Diagnostic, lineStartsOf } from '../spec/diagnostic.ts';
import { applyFixes } from '../spec/fixes.ts';
import { loadPipeline, readImport, readPipelineFile } from './load-pipeline.ts';
import { CommandError, exitCodes } from './output.ts';

export interface FixedFile {
  /** The text with its changes, also where they were not written. */
  readonly text: string;
  /** The same, and those of the files that it imports, by path. */
  readonly texts: ReadonlyMap<string, string>;
  /** What is left. */
  readonly diagnostics: readonly Diagnostic[];
  /** The change as lines before and after; empty where there was nothing to mend. */
  readonly summary: string;
}

/** A key mended may show the next problem behind it; more turns than this would not be mechanical any more. */
const turnsMax = 20;

export async function fixFile(file: string, params: readonly string[], dryRun: boolean): Promise<FixedFile> {
  const first = await loadPipeline(file, { params, paramsRequired: false, digestFolders: false });
  let text = first.text;
  let diagnostics = first.compilation.diagnostics;
  let mended = 0;
  for (let turn = 0; turn < turnsMax; turn++) {
    // What files that it imports have wrong is mended in them.
    const fixed = applyFixes(
      text,
      diagnostics.filter((diagnostic) => diagnostic.file === file),
    );
    if (fixed.applied.length === 0) break;
    const pipeline = parsePipeline({ file, text: fixed.text }, readImport);
    mended += fixed.applied.length;
    text = fixed.text;
    diagnostics = compilePipeline(pipeline, { paramsRequired: false }).diagnostics;
  }
  const texts = new Map([...first.texts, [first.pipeline.source.file, text]]);
  if (mended === 0) return { text, texts, diagnostics, summary: '' };
  if (!dryRun) await replaceFile(file, first.text, text);
  // Values of the command line, and folders, are checked as without the fixes.
  const after = dryRun
    ? diagnostics
    : (await loadPipeline(file, { params, paramsRequired: false, digestFolders: false })).compilation.diagnostics;
  const verb = dryRun ? 'would be mended' : 'mended';
  const heading = `${file}: ${mended} ${mended === 1 ? 'problem' : 'problems'} ${verb}.`;
  return { text, texts, diagnostics: after, summary: `${heading}\n${changedLines(first.text, text)}` };
}

/** Whole or not at all: a file beside it, renamed. Refuses where somebody else changed the file in the meantime. */
async function replaceFile(file: string, before: string, after: string): Promise<void> {
  const target = await realpath(file);
  const { mode } = await stat(target);
  const temporary = join(dirname(target), `.${basename(target)}-${randomUUID()}`);
  try {
    const handle = await open(temporary, 'wx', mode & 0o777);
    try {
      await handle.writeFile(after);
      await handle.sync();
    } finally {
      await handle.close();
    }
    const text = await readPipelineFile(target);
    if (text !== before) {
      const message = `${file} was changed while it was being mended. Nothing was written; run the same command again.`;
      throw new CommandError(message, exitCodes.input);
    }
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    if (error instanceof CommandError) throw error;
    const { message } = error as Error;
    throw new CommandError(`${file} cannot be written: ${message}.`, exitCodes.usage, error);
  }
}

/** Fixes stay within their lines, so the lines of both texts stand beside each other. */
function changedLines(before: string, after: string): string {
  const linesOf = (text: string) => {
    const starts = lineStartsOf(text);
    return starts.map((start, at) => text.slice(start, starts[at + 1]).replace(/[\r\n]+$/, ''));
  };
  const old = linesOf(before);
  return linesOf(after)
    .flatMap((line, at) => {
      if (line === old[at]) return [];
      const number = String(at + 1).padStart(5);
      return [colours.red(`${number} - ${old[at]}`), colours.green(`${number} + ${line}`)];
    })
    .join('\n');
}

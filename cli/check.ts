/** `hardcase check`: every problem of pipeline files, for people and for programs; mends those that leave no choice. Runs nothing, reads no data. */

import { type Diagnostic, hasErrors, printDiagnostics } from '../spec/diagnostic.ts';
import { toGitHub, toJson, toSarif } from '../spec/diagnostic-formats.ts';
import type { SourceText } from '../spec/types.ts';
import { fixFile } from './fix-file.ts';
import { loadPipeline, readPipelineFile } from './load-pipeline.ts';
import { CommandError, didYouMean, type ExitCode, exitCodes, note, ownCommand, print, printJson } from './output.ts';

export interface CheckOptions {
  readonly format: string;
  readonly params?: readonly string[];
  /** Mend what leaves no choice, and write the file. */
  readonly fix?: boolean;
  /** With `fix`: show the change and write nothing. */
  readonly dryRun?: boolean;
  /** Count warnings as errors. */
  readonly strict?: boolean;
  /** Reads files of tests; given from outside, because only they need what it loads. */
  readonly readTests?: (source: SourceText) => Promise<Pick<Checked, 'texts' | 'diagnostics'>>;
}

export const isTestFile = (file: string): boolean => /\.test\.ya?ml$/.test(file);

const formats = ['text', 'json', 'sarif', 'github'];

interface Checked {
  readonly file: string;
  readonly texts: ReadonlyMap<string, string>;
  readonly diagnostics: readonly Diagnostic[];
}

export async function runCheck(files: readonly string[], options: CheckOptions): Promise<ExitCode> {
  const { format, params = [], fix = false, dryRun = false, strict = false, readTests } = options;
  if (!formats.includes(format)) {
    const nearest = didYouMean(format, formats);
    const question = nearest === undefined ? '' : ` Did you mean ${nearest}?`;
    throw new CommandError(`--format ${format}: expected text, json, sarif or github.${question}`, exitCodes.usage);
  }
  if (dryRun && !fix) throw new CommandError('--dry-run: shows what --fix would change; give both.', exitCodes.usage);
  const checked: Checked[] = [];
  for (const file of files) {
    if (isTestFile(file) && readTests !== undefined) {
      const { texts, diagnostics } = await readTests({ file, text: await readPipelineFile(file) });
      checked.push({ file, texts, diagnostics });
    } else if (fix) {
      const fixed = await fixFile(file, params, dryRun);
      // For people the change is the result; a program reads the problems that are left.
      if (fixed.summary !== '') (format === 'text' ? print : note)(fixed.summary);
      checked.push({ file, ...fixed });
    } else {
      const { texts, compilation } = await loadPipeline(file, { params, paramsRequired: false, digestFolders: false });
      checked.push({ file, texts, diagnostics: compilation.diagnostics });
    }
  }
  const all = checked.flatMap(({ diagnostics }) => diagnostics);
  if (format === 'json') printJson(toJson(all));
  else if (format === 'sarif') printJson(toSarif(all));
  else if (format === 'github') {
    if (all.length > 0) print(toGitHub(all));
  } else printText(checked, !fix);
  return hasErrors(all) || (strict && all.length > 0) ? exitCodes.input : exitCodes.done;
}

function printText(checked: readonly Checked[], proposeFix: boolean): void {
  for (const { file, texts, diagnostics } of checked) {
    print(diagnostics.length === 0 ? `${file}: no problems.` : printDiagnostics(diagnostics, texts));
  }
  const all = checked.flatMap(({ diagnostics }) => diagnostics);
  if (all.length === 0) return;
  const errors = all.filter(({ severity }) => severity === 'error');
  const counts = [counted(errors.length, 'problem'), counted(all.length - errors.length, 'warning')].filter(Boolean);
  const fixable = all.filter(({ fix }) => fix !== undefined).length;
  const files = checked.filter(({ diagnostics }) => diagnostics.some(({ fix }) => fix !== undefined));
  const command = ownCommand('check', '--fix', ...files.map(({ file }) => file));
  const proposal = proposeFix && fixable > 0 ? ` ${fixable} of them can be mended by: ${command}` : '';
  print(`\n${counts.join(', ')}.${proposal}`);
}

function counted(count: number, thing: string): string {
  return count === 0 ? '' : `${count} ${count === 1 ? thing : `${thing}s`}`;
}

/** `hardcase check`: every problem of pipeline files, as text, JSON or SARIF. Runs nothing, reads no data. */

import { hasErrors, printDiagnostics, toSarif } from '../spec/diagnostic.ts';
import { loadPipeline } from './load-pipeline.ts';
import { CommandError, type ExitCode, exitCodes, print, printJson } from './output.ts';

export interface CheckOptions {
  readonly format: string;
  readonly params?: readonly string[];
}

export async function runCheck(files: readonly string[], options: CheckOptions): Promise<ExitCode> {
  const { format, params = [] } = options;
  if (!['text', 'json', 'sarif'].includes(format)) {
    throw new CommandError(`--format ${format}: expected text, json or sarif.`, exitCodes.usage);
  }
  const checked = [];
  for (const file of files) {
    const { text, compilation } = await loadPipeline(file, { params, paramsRequired: false, digestFolders: false });
    checked.push({ file, text, diagnostics: compilation.diagnostics });
  }
  const all = checked.flatMap(({ diagnostics }) => diagnostics);
  if (format === 'json') printJson(all);
  else if (format === 'sarif') printJson(toSarif(all));
  else {
    for (const { file, text, diagnostics } of checked) {
      print(diagnostics.length === 0 ? `${file}: no problems.` : printDiagnostics(diagnostics, text));
    }
    const errors = all.filter(({ severity }) => severity === 'error').length;
    if (errors > 0) print(`\n${errors} ${errors === 1 ? 'problem' : 'problems'}.`);
  }
  return hasErrors(all) ? exitCodes.input : exitCodes.done;
}

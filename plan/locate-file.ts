/** Problems of a file that another one imports, located in it; what its comments allow is left out. */

import { type Diagnostic, locateProblems, type Problem } from '../spec/diagnostic.ts';
import { withoutAllowed } from '../spec/silence.ts';
import type { SourceText } from '../spec/types.ts';

export function locateFile(problems: readonly Problem[], source: SourceText): Diagnostic[] {
  return withoutAllowed(locateProblems(problems, source), source);
}

/** Each once: a file that two steps import has its problems twice. */
export function eachOnce(diagnostics: readonly Diagnostic[]): Diagnostic[] {
  const seen = new Set<string>();
  return diagnostics.filter(({ file, line, column, code, message }) => {
    const key = JSON.stringify([file, line, column, code, message]);
    return !seen.has(key) && seen.add(key);
  });
}

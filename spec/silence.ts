/** Comments that silence a warning where it stands: `# hardcase: allow UNUSED_STEP`, in its line or the lines above. */

import { type Diagnostic, diagnosticCodes, lineStartsOf, type Problem } from './diagnostic.ts';
import { nameFix } from './fixes.ts';
import { suggestion } from './suggest.ts';
import type { SourceText } from './types.ts';

interface Allowance {
  readonly code: string;
  /** Line that it speaks of, from 1. */
  readonly line: number;
  readonly range: { readonly start: number; readonly end: number };
}

/** Without the warnings that a comment allows. Errors stay. */
export function withoutAllowed(diagnostics: readonly Diagnostic[], source: SourceText): Diagnostic[] {
  const allowances = allowancesOf(source.text);
  if (allowances.length === 0) return [...diagnostics];
  const allowed = new Set(allowances.map(({ code, line }) => `${line} ${code}`));
  return diagnostics.filter(({ severity, code, line }) => severity === 'error' || !allowed.has(`${line} ${code}`));
}

/** Comments that allow what is not there: left behind, mistyped, or in the wrong place. */
export function idleAllowances(diagnostics: readonly Diagnostic[], source: SourceText): Problem[] {
  const present = new Set(diagnostics.map(({ code, line }) => `${line} ${code}`));
  return allowancesOf(source.text).flatMap(({ code, line, range }): Problem[] => {
    if (present.has(`${line} ${code}`)) return [];
    const known = Object.keys(diagnosticCodes);
    const isCode = known.includes(code);
    const message = isCode
      ? `This allows ${code}, but there is no such warning in line ${line}.`
      : `This allows "${code}", which is no code.`;
    const hint = isCode ? 'Remove the comment.' : suggestion(code, warningCodes, 'Codes of warnings');
    const meant = diagnostics.filter((diagnostic) => diagnostic.line === line).map((diagnostic) => diagnostic.code);
    return [{ code: 'IDLE_ALLOW', severity: 'warning', range, message, hint, ...nameFix(code, meant, range) }];
  });
}

/** Those whose description says so. */
export const warningCodes: readonly string[] = Object.entries(diagnosticCodes)
  .filter(([, about]) => about.endsWith('(Warning.)'))
  .map(([code]) => code);

function allowancesOf(text: string): Allowance[] {
  if (!text.includes('hardcase: allow')) return [];
  const starts = lineStartsOf(text);
  const lines = starts.map((start, at) => text.slice(start, starts[at + 1]));
  return lines.flatMap((content, at) => {
    const comment = /(?:^|\s)#\s*hardcase: allow\s+([\w-]+(?:[ \t]*,[ \t]*[\w-]+)*)/.exec(content);
    if (comment === null) return [];
    // A comment with a line of its own speaks of the next line that holds more than a comment.
    let line = at;
    while (/^\s*(#|$)/.test(lines[line] ?? '-')) line++;
    const first = starts[at]! + comment.index + comment[0].length - comment[1]!.length;
    return [...comment[1]!.matchAll(/[\w-]+/g)].map((word) => {
      const start = first + word.index;
      return { code: word[0], line: line + 1, range: { start, end: start + word[0].length } };
    });
  });
}

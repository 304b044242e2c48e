/** A problem in what a user wrote, where it stands, and its printed form: text with a code frame. */

import type { Range, SourceText } from './types.ts';

export const diagnosticCodes = {
  YAML_SYNTAX: 'The file is not YAML that can be read.',
  YAML_LIMIT: 'The file is too large, too deep or expands to too much.',
  DUPLICATE_KEY: 'A mapping has the same key twice.',
  UNKNOWN_KEY: 'A key that has no meaning in its place.',
  MISSING_KEY: 'A key that must be there is not.',
  INVALID_VALUE: 'A value of the wrong type or out of its range.',
  INVALID_NAME: 'A name that expressions could not use.',
  UNKNOWN_KIND: 'A step kind that does not exist.',
  UNKNOWN_STEP: 'A step that does not exist in the scope.',
  UNKNOWN_OUTPUT: 'An output that the step does not have.',
  UNKNOWN_PARAM: 'A param that the pipeline does not declare.',
  UNKNOWN_NAME: 'A name in an expression that is not known there.',
  MISSING_PARAM: 'A param without a default was not given.',
  INVALID_PARAM: 'A param was given a value that its declaration does not allow.',
  EXPRESSION_SYNTAX: 'An expression that is not CEL.',
  EXPRESSION_LIMIT: 'An expression that is too long or too deep.',
  EXPRESSION_TYPE: 'An expression whose types do not fit, or that cannot be computed.',
  NOT_DETERMINISTIC: 'A function with a clock or with chance.',
  WRONG_ARTIFACT: 'An input was given another kind of artifact, or a value.',
  MISPLACED_SECRET: 'A secret where it could be seen.',
  CYCLE: 'Steps wait for each other.',
  UNGUARDED_LAST: 'The last round is read where there may be no round.',
  MAYBE_ABSENT: 'A name is read that is not there in every round or leg.',
  NO_LEGS: 'A matrix has no combination left.',
  DUPLICATE_LEG: 'A matrix has the same combination twice.',
  UNREADABLE_IMPORT: 'A file that a step names cannot be read.',
  IMPORT_CYCLE: 'Files import each other.',
  AMBIGUOUS_GAIN: '`round.gain` cannot tell which models and which dataset to compare.',
  UNUSED_STEP: 'Nothing reads what a step gives. (Warning.)',
  UNUSED_PARAM: 'Nothing reads a param. (Warning.)',
  UNBOUNDED_LOOP: 'A loop of many rounds that nothing ends earlier. (Warning.)',
  NO_REPLAY: 'A training on hard cases alone, without ordinary images. (Warning.)',
  HIDDEN_CANDIDATES: 'A threshold that leaves no candidates. (Warning.)',
  TEST_DECIDES: 'A number measured on test images decides something. (Warning.)',
  IDLE_ALLOW: 'A comment allows a warning that is not there. (Warning.)',
} as const;

export type DiagnosticCode = keyof typeof diagnosticCodes;

export type Severity = 'error' | 'warning';

/** A problem with its place as offsets; the checks make these. */
export interface Problem {
  readonly code: DiagnosticCode;
  readonly severity?: Severity;
  readonly range: Range;
  readonly message: string;
  /** What to do. */
  readonly hint?: string;
  /** Other places that the problem is made of: the first of two equal keys, the rest of a circle. */
  readonly related?: readonly { readonly range: Range; readonly message: string }[];
  /** The change that mends it, where there is only one that can be meant. */
  readonly fix?: Fix;
}

/** A mechanical change of the text; its edits do not overlap. */
export interface Fix {
  /** `Write "train"`: what it does, as an editor offers it. */
  readonly title: string;
  readonly edits: readonly Edit[];
}

export interface Edit {
  readonly range: Range;
  readonly text: string;
}

/** A place in a file: lines and columns count from 1, in UTF-16 units; `endColumn` is the one after the last. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly endLine: number;
  readonly endColumn: number;
}

export interface RelatedPlace extends Place {
  readonly message: string;
}

/** A problem with its place in the file. `diagnostic-formats.ts` has the forms for programs. */
export interface Diagnostic extends Place {
  readonly severity: Severity;
  readonly code: DiagnosticCode;
  readonly message: string;
  readonly hint: string | null;
  readonly related?: readonly RelatedPlace[];
  readonly fix?: Fix;
}

/** Problems in file order; those at one place keep the order in which they were found: cause before consequence. */
export function locateProblems(problems: readonly Problem[], source: SourceText): Diagnostic[] {
  if (problems.length === 0) return [];
  const lineStarts = lineStartsOf(source.text);
  const sorted = problems
    .map((problem, found) => ({ problem, found }))
    .sort((a, b) => a.problem.range.start - b.problem.range.start || a.found - b.found);
  const seen = new Set<string>();
  const diagnostics: Diagnostic[] = [];
  for (const { problem } of sorted) {
    const key = `${problem.range.start} ${problem.code} ${problem.message}`;
    if (seen.has(key)) continue;
    seen.add(key);
    const { related, fix } = problem;
    diagnostics.push({
      ...placeAt(source.file, lineStarts, problem.range),
      severity: problem.severity ?? 'error',
      code: problem.code,
      message: problem.message,
      hint: problem.hint ?? null,
      ...(related === undefined
        ? {}
        : {
            related: related.map(({ range, message }) => ({ ...placeAt(source.file, lineStarts, range), message })),
          }),
      // A name that goes on in the next line, as one in quotes may, is not mended mechanically.
      ...(fix?.edits.every(({ range }) => !/[\r\n]/.test(source.text.slice(range.start, range.end))) ? { fix } : {}),
    });
  }
  return diagnostics;
}

function placeAt(file: string, lineStarts: readonly number[], range: Range): Place {
  const start = positionAt(lineStarts, range.start);
  const end = positionAt(lineStarts, Math.max(range.end, range.start));
  return { file, line: start.line, column: start.column, endLine: end.line, endColumn: end.column };
}

export function hasErrors(diagnostics: readonly Diagnostic[]): boolean {
  return diagnostics.some((diagnostic) => diagnostic.severity === 'error');
}

/** Offsets at which lines begin. LF, CRLF and a lone CR end a line. */
export function lineStartsOf(text: string): number[] {
  const starts = [0];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 10 || (code === 13 && text.charCodeAt(i + 1) !== 10)) starts.push(i + 1);
  }
  return starts;
}

/** Line and column of an offset, both from 1. */
export function positionAt(lineStarts: readonly number[], offset: number): { line: number; column: number } {
  let low = 0;
  let high = lineStarts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (lineStarts[middle]! <= offset) low = middle;
    else high = middle - 1;
  }
  return { line: low + 1, column: offset - lineStarts[low]! + 1 };
}

// Longer lines are shown in part, so that one generated line does not fill the screen.
const frameWidthMax = 160;

/**
 * One diagnostic as text:
 *
 *     pipelines/quickstart.yaml:14:25 UNKNOWN_STEP "mine" reads steps.trian.model, but no step is named "trian".
 *         model: ${{ steps.trian.model }}
 *                          ^^^^^
 *         Did you mean "train"? Steps here: data, train, evaluate.
 */
export function printDiagnostic(diagnostic: Diagnostic, text: string): string {
  return printWith(diagnostic, text, lineStartsOf(text));
}

/** All diagnostics of one file as text. */
export function printDiagnostics(
  diagnostics: readonly Diagnostic[],
  text: string | ReadonlyMap<string, string>,
): string {
  const known = new Map<string, readonly number[]>();
  const lines = diagnostics.map((diagnostic) => {
    const own = typeof text === 'string' ? text : (text.get(diagnostic.file) ?? '');
    const lineStarts = known.get(own) ?? lineStartsOf(own);
    known.set(own, lineStarts);
    return printWith(diagnostic, own, lineStarts);
  });
  return lines.join('\n');
}

function printWith(diagnostic: Diagnostic, text: string, lineStarts: readonly number[]): string {
  const { file, line, column, code, message, hint, severity, related = [] } = diagnostic;
  const label = severity === 'warning' ? `${code} (warning)` : code;
  const lines = [`${file}:${line}:${column} ${label} ${message}`, ...frameOf(diagnostic, text, lineStarts)];
  for (const place of related) {
    lines.push(`    ${place.file}:${place.line}:${place.column} ${place.message}`);
    lines.push(...frameOf(place, text, lineStarts).map((frame) => `    ${frame}`));
  }
  if (hint !== null) lines.push(`    ${hint}`);
  return lines.join('\n');
}

/** The line of a place and the carets under it; nothing for an empty line. */
function frameOf(place: Place, text: string, lineStarts: readonly number[]): string[] {
  const { line, column } = place;
  const whole = lineOf(text, lineStarts, line);
  if (whole.trim() === '') return [];
  const lineEnd = whole.length;
  const from = column - 1;
  const to = place.endLine === line ? place.endColumn - 1 : lineEnd;
  const indent = Math.min(whole.length - whole.trimStart().length, from);
  const cut = from - indent > frameWidthMax - 40 ? from - 40 : indent;
  const shown = whole
    .slice(cut, cut + frameWidthMax)
    .replaceAll('\t', ' ')
    .trimEnd();
  const carets = Math.max(1, Math.min(to, cut + frameWidthMax, lineEnd) - from);
  return [`    ${shown}`, `    ${' '.repeat(from - cut)}${'^'.repeat(carets)}`];
}

function lineOf(text: string, lineStarts: readonly number[], line: number): string {
  const start = lineStarts[line - 1] ?? text.length;
  return text.slice(start, lineStarts[line] ?? text.length).replace(/[\r\n]+$/, '');
}

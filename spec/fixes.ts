/** Mechanical changes that mend a problem: offered only where one thing can be meant, and never across lines. */

import type { Diagnostic, Edit, Fix } from './diagnostic.ts';
import { clearName } from './suggest.ts';
import type { Range } from './types.ts';

/** Writes the one name that can be meant; none where several can. `quote`: what stands around it in the text. */
export function nameFix(word: string, names: Iterable<string>, range: Range, quote = ''): { readonly fix?: Fix } {
  const name = clearName(word, names);
  if (name === null || name === word || !isPlainWord(name)) return {};
  return { fix: { title: `Write "${name}"`, edits: [{ range, text: `${quote}${name}${quote}` }] } };
}

/** A word that YAML reads as text without quotes. */
function isPlainWord(word: string): boolean {
  return /^[A-Za-z][\w-]*$/.test(word) && !['true', 'false', 'null'].includes(word.toLowerCase());
}

/**
 * A value that is right but for its quotes: `"20"` where a number is expected, 20 where text is, "yes" for true.
 * `written`: the scalar in the text. `accepts`: JSON types that the place takes.
 */
export function quotesFix(
  value: unknown,
  written: string,
  range: Range,
  accepts: ReadonlySet<string>,
): { readonly fix?: Fix } {
  if (accepts.has(typeof value) || /[\r\n]/.test(written)) return {};
  const text = scalarFor(value, written, accepts);
  return text === null ? {} : { fix: { title: `Write ${text}`, edits: [{ range, text }] } };
}

function scalarFor(value: unknown, written: string, accepts: ReadonlySet<string>): string | null {
  if (typeof value === 'string') {
    const word = value.trim();
    if (accepts.has('number') && /^-?(0|[1-9]\d{0,14})(\.\d{1,15})?$/.test(word)) return word;
    const truth = { true: 'true', yes: 'true', on: 'true', false: 'false', no: 'false', off: 'false' }[
      word.toLowerCase()
    ];
    return accepts.has('boolean') ? (truth ?? null) : null;
  }
  const isScalar = typeof value === 'number' || typeof value === 'boolean';
  return accepts.has('string') && isScalar && /^[\w.+-]+$/.test(written) ? `"${written}"` : null;
}

/** Puts the expressions of a line into quotes: inside { } and [ ] their braces would be YAML's own. */
export function quoteExpressionsFix(text: string, line: Range): { readonly fix?: Fix } {
  const edits: Edit[] = [];
  const content = text.slice(line.start, line.end);
  for (const match of content.matchAll(/\$\{\{[^{}]*\}\}/g)) {
    if (isQuoted(content, match.index)) continue;
    const quote = match[0].includes('"') ? "'" : '"';
    if (match[0].includes(quote) || match[0].includes('\\')) return {};
    // With text around it, the quotes would have to go further than the expression.
    const before = content.slice(0, match.index).trimEnd().at(-1);
    const after = content.slice(match.index + match[0].length).trimStart()[0];
    if (!/[:,[{]/.test(before ?? '') || !/[,\]}]/.test(after ?? '')) return {};
    const start = line.start + match.index;
    edits.push({ range: { start, end: start + match[0].length }, text: `${quote}${match[0]}${quote}` });
  }
  return edits.length === 0 ? {} : { fix: { title: 'Put the expression in quotes', edits } };
}

function isQuoted(line: string, at: number): boolean {
  let quote = '';
  for (const character of line.slice(0, at)) {
    if (quote === '') quote = character === '"' || character === "'" ? character : '';
    else if (character === quote) quote = '';
  }
  return quote !== '';
}

export interface FixedText {
  readonly text: string;
  readonly applied: readonly Diagnostic[];
}

/** Applies the fixes in file order; one that touches what another changed waits for the next turn. */
export function applyFixes(text: string, diagnostics: readonly Diagnostic[]): FixedText {
  const applied: Diagnostic[] = [];
  const edits = new Map<string, Edit>();
  for (const diagnostic of diagnostics) {
    const wanted = diagnostic.fix?.edits ?? [];
    const taken = [...edits.values()];
    const free = (edit: Edit) => taken.every((other) => isSame(edit, other) || !overlap(edit.range, other.range));
    if (wanted.length === 0 || !wanted.every(free)) continue;
    for (const edit of wanted) edits.set(`${edit.range.start}`, edit);
    applied.push(diagnostic);
  }
  let result = '';
  let from = 0;
  for (const { range, text: replacement } of [...edits.values()].sort((a, b) => a.range.start - b.range.start)) {
    result += text.slice(from, range.start) + replacement;
    from = range.end;
  }
  return { text: result + text.slice(from), applied };
}

const isSame = (a: Edit, b: Edit) =>
  a.range.start === b.range.start && a.range.end === b.range.end && a.text === b.text;

const overlap = (a: Range, b: Range) => a.start < b.end && b.start < a.end;

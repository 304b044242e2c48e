/** Finds the expressions in a string of a pipeline file: `${{ ... }}`, alone or with text around. */

import type { Range } from './types.ts';

/** CEL between `${{` and `}}`, with its offsets in the string. */
export interface EmbeddedExpression {
  readonly source: string;
  readonly range: Range;
}

export interface ExpressionText {
  /** The one expression, where the string is nothing else: it keeps its type. */
  readonly whole?: EmbeddedExpression;
  /** Text and expressions in order, where there is text around. Only text: no expression at all. */
  readonly parts: readonly (string | EmbeddedExpression)[];
  /** Offset of a `${{` that no `}}` ends. */
  readonly unclosedAt?: number;
}

export function splitExpressions(text: string): ExpressionText {
  const parts: (string | EmbeddedExpression)[] = [];
  let from = 0;
  for (;;) {
    const open = text.indexOf('${{', from);
    if (open === -1) break;
    const close = closeOf(text, open + 3);
    if (close === -1) return { parts, unclosedAt: open };
    if (open > from) parts.push(text.slice(from, open));
    parts.push(trimmed(text, { start: open + 3, end: close }));
    from = close + 2;
  }
  if (from < text.length) parts.push(text.slice(from));
  const expressions = parts.filter((part) => typeof part !== 'string');
  const onlySpace = parts.every((part) => typeof part !== 'string' || part.trim() === '');
  return expressions.length === 1 && onlySpace ? { whole: expressions[0]!, parts } : { parts };
}

/** The expression of `when` and `until`, which may be written without `${{ }}`. Null where text stands around it. */
export function bareExpression(text: string): EmbeddedExpression | null {
  const split = splitExpressions(text);
  if (split.whole !== undefined) return split.whole;
  const bare = split.unclosedAt === undefined && split.parts.every((part) => typeof part === 'string');
  return bare ? trimmed(text, { start: 0, end: text.length }) : null;
}

export function hasExpression(value: unknown): value is string {
  return typeof value === 'string' && value.includes('${{');
}

function trimmed(text: string, range: Range): EmbeddedExpression {
  const inner = text.slice(range.start, range.end);
  const start = range.start + (inner.length - inner.trimStart().length);
  const source = inner.trim();
  return { source, range: { start, end: start + source.length } };
}

/** Offset of the `}}` that ends an expression: one inside a string or a map does not. */
function closeOf(text: string, from: number): number {
  let quote = '';
  let depth = 0;
  for (let i = from; i < text.length; i++) {
    const character = text[i]!;
    if (quote !== '') {
      if (character === '\\') i++;
      else if (character === quote) quote = '';
    } else if (character === '"' || character === "'") quote = character;
    else if (character === '{') depth++;
    else if (character === '}') {
      if (depth === 0) return text[i + 1] === '}' ? i : -1;
      depth--;
    }
  }
  return -1;
}

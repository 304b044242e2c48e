/** Operators of other languages in an expression, and how CEL writes them. No imports: it runs in workflows. */

export interface SyntaxRemedy {
  readonly hint: string;
  /** What stands in place of the refused part, where one thing alone can be meant. */
  readonly replacement?: string;
}

/** `range`: what the parser refused. */
export function syntaxRemedy(
  source: string,
  range: { readonly start: number; readonly end: number },
): SyntaxRemedy | undefined {
  const refused = source.slice(range.start, range.end);
  const before = source.slice(0, range.start);
  const after = source.slice(range.end).trimStart()[0] ?? '';
  if (refused === '=') {
    const hint = 'Equal is written ==, unequal !=.';
    // The third sign of === and !==.
    if (/[=!]=$/.test(before)) return after === '=' ? { hint } : { hint, replacement: '' };
    if (after === '>') return { hint: 'At least is written >=; a condition ? one value : another.' };
    // f(size = 3) is an argument by name, which CEL has not.
    const isArgument = /\w\((.*,)?\s*\w+\s*$/.test(before);
    const isAlone = !isArgument && before.trim() !== '' && after !== '' && !/[=!<>]/.test(after);
    return isAlone ? { hint, replacement: '==' } : { hint };
  }
  const word = { and: '&&', or: '||' }[refused];
  if (word !== undefined) return { hint: `"${refused}" is written ${word}.`, replacement: word };
  if (/(^|[^\w.])not\s+$/.test(before)) return { hint: '"not" is written !, as in !has(steps.review.dataset).' };
  if (refused === '>' && before.endsWith('<')) return { hint: 'Unequal is written !=.' };
  return undefined;
}

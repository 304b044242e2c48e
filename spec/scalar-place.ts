/** Where a part of a YAML scalar's value stands in the text of the file: quotes, escapes and folded lines lie between. */

import type { Range } from './types.ts';

/** `scalar`: the scalar in the text, quotes included. `part`: offsets in its value. */
export function placeInScalar(text: string, scalar: Range, value: string, part: Range): Range {
  const written = text.slice(scalar.start, scalar.end);
  // Nearly always the value stands in the text as it is.
  const whole = written.indexOf(value);
  if (whole !== -1) return { start: scalar.start + whole + part.start, end: scalar.start + whole + part.end };
  const offsets = alignOffsets(written, value);
  const start = offsets[part.start] ?? 0;
  const last = offsets[Math.max(part.end - 1, part.start)] ?? start;
  return { start: scalar.start + start, end: scalar.start + Math.max(last + 1, start) };
}

/** For each character of the value its offset in the written form. */
function alignOffsets(written: string, value: string): number[] {
  const quote = written[0];
  const isBlock = quote === '|' || quote === '>';
  let at = isBlock ? written.indexOf('\n') + 1 : quote === '"' || quote === "'" ? 1 : 0;
  const offsets: number[] = [];
  for (const character of value.split('')) {
    if (isSpace(character)) {
      // Line breaks and indentation stand for one space or break of the value.
      offsets.push(at);
      if (quote === '"' && written[at] === '\\') at += escapeLength(written, at);
      else if (isSpace(written[at])) at++;
      continue;
    }
    while (isSpace(written[at])) at++;
    offsets.push(at);
    if (quote === '"' && written[at] === '\\') at += escapeLength(written, at);
    else if (quote === "'" && written[at] === "'" && written[at + 1] === "'") at += 2;
    else at++;
  }
  return offsets;
}

function escapeLength(written: string, at: number): number {
  const digits = { x: 2, u: 4, U: 8 }[written[at + 1] ?? ''] ?? 0;
  return 2 + digits;
}

function isSpace(character: string | undefined): boolean {
  return character === ' ' || character === '\n' || character === '\r' || character === '\t';
}

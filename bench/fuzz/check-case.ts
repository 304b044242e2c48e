/** What must hold for any text: it is read, compiled, printed and mended without an exception, in a bounded time. */

import { compilePipeline, parsePipeline } from '../../plan/compile.ts';
import { type Diagnostic, hasErrors, lineStartsOf, printDiagnostics } from '../../spec/diagnostic.ts';
import { toGitHub, toJson, toSarif } from '../../spec/diagnostic-formats.ts';
import { applyFixes } from '../../spec/fixes.ts';

/** Throws where something does not hold; the message says what. */
export function checkCase(text: string): void {
  const diagnostics = compile(text);
  const fixed = applyFixes(text, diagnostics);
  const isFixed = fixed.applied.length > 0;
  if (isFixed !== (fixed.text !== text))
    throw new Error('A fix was applied and changed nothing, or the other way round.');
  // What mends one problem may show others, but must stay as readable as it was.
  if (isFixed) compile(fixed.text);
}

function compile(text: string): readonly Diagnostic[] {
  const pipeline = parsePipeline({ file: 'fuzz.yaml', text });
  const { plan, planDigest, diagnostics } = compilePipeline(pipeline, { paramsRequired: false });
  const starts = lineStartsOf(text);
  for (const place of diagnostics.flatMap((diagnostic) => [diagnostic, ...(diagnostic.related ?? [])])) {
    const isThere =
      place.line >= 1 &&
      place.line <= starts.length &&
      place.column >= 1 &&
      starts[place.line - 1]! + place.column - 1 <= text.length &&
      (place.endLine > place.line || (place.endLine === place.line && place.endColumn >= place.column)) &&
      starts[place.endLine - 1]! + place.endColumn - 1 <= text.length;
    if (!isThere) throw new Error(`A place outside of the text: ${JSON.stringify(place)}`);
  }
  for (const { fix } of diagnostics) {
    for (const { range } of fix?.edits ?? []) {
      if (
        range.start < 0 ||
        range.end < range.start ||
        range.end > text.length ||
        /[\r\n]/.test(text.slice(range.start, range.end))
      )
        throw new Error(`A fix outside of a line: ${JSON.stringify(fix)}`);
    }
  }
  const messages = diagnostics.map(({ message, hint }) => `${message} ${hint ?? ''}`);
  const wrong = messages.find((message) =>
    /Internal error|undefined|\[object|NaN|RangeError|TypeError/.test(withoutQuotes(message, text)),
  );
  if (wrong !== undefined) throw new Error(`A message that no person wrote: ${wrong}`);
  printDiagnostics(diagnostics, text);
  JSON.stringify([toJson(diagnostics), toSarif(diagnostics)]);
  toGitHub(diagnostics);
  if (plan !== undefined) {
    if (hasErrors(diagnostics)) throw new Error('A plan though there are errors.');
    JSON.stringify(plan);
    if (!/^[0-9a-f]{64}$/.test(planDigest ?? '')) throw new Error('A plan without a digest.');
  }
  return diagnostics;
}

/** The message without the words that it took from the file. */
function withoutQuotes(message: string, text: string): string {
  return message.replace(/[\w[\]]+/g, (word) => (text.toLowerCase().includes(word.toLowerCase()) ? '' : word));
}

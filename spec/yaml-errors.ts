/** What the YAML library says of a text, in words for people: it speaks of tokens, nodes and indicators. */

import type { YAMLError } from 'yaml';
import type { Problem } from './diagnostic.ts';
import { quoteExpressionsFix } from './fixes.ts';

type Wording = Pick<Problem, 'message' | 'hint'>;

/** Message, hint and, where it is mechanical, the change. A wording that is not known here is given on as it is. */
export function describeYamlError(error: YAMLError, text: string): Pick<Problem, 'message' | 'hint' | 'fix'> {
  const line = lineAt(text, error.pos[0]);
  const known = wordings.find(([pattern]) => pattern.test(error.message));
  const wording = known === undefined ? { message: sentence(error.message) } : known[1](at(text, error.pos[0]));
  // In { } and [ ] the braces of an expression would be YAML's own.
  if (!/[{[,][^"']*\$\{\{/.test(text.slice(line.start, line.end))) return wording;
  const hint = 'Inside { } and [ ], put an expression in quotes: "${{ ... }}".';
  return { ...wording, hint, ...quoteExpressionsFix(text, line) };
}

/** By the library's words; the first that fits. `found`: the character that it stumbled over, in quotes. */
const wordings: readonly (readonly [RegExp, (found: string) => Wording])[] = [
  [
    /flow-error-end/,
    () => ({ message: 'A bracket or a quote is not closed, or what is inside stands too far to the left.' }),
  ],
  [
    /^Missing closing ["']quote/,
    () => ({
      message: 'A quote is not closed.',
      hint: "Close it with the same sign: \" with \", ' with '. Inside of ', write '' for one.",
    }),
  ],
  [
    /^Flow (map|sequence) in block collection must be/,
    (found) => ({
      message: `A bracket { or [ that was opened before is not closed here, where ${found} is.`,
      hint: 'Close { with } and [ with ]; until then, lines stand further right than the key of the bracket.',
    }),
  ],
  [
    /^Unexpected (flow-map-end|flow-seq-end|\S+) token in YAML stream/,
    (found) => ({ message: `${found} closes nothing that is open.`, hint: 'Remove it, or open its bracket before.' }),
  ],
  [
    /^Unexpected block-seq-ind on same line/,
    () => ({
      message: 'A list with "-" begins on the line of its key.',
      hint: 'Begin it on the next line, or write [a, b].',
    }),
  ],
  [
    /^Unexpected \S+ at node end|^Unexpected \S+ token/,
    (found) => ({
      message: `The value has ended before ${found}, and more follows.`,
      hint: 'Put the whole value in quotes, or separate entries with a comma or a new line.',
    }),
  ],
  [
    /^Nested mappings are not allowed in compact mappings/,
    () => ({
      message: 'This value holds ": ", or its next line is indented, as if it were a mapping.',
      hint: 'Put text that holds ": " in quotes; begin a mapping on a line of its own, and keys of one mapping in one column.',
    }),
  ],
  [
    /^Block collections are not allowed within flow collections/,
    () => ({
      message: 'An entry inside { } or [ ] is followed by another without a comma, or holds ": ".',
      hint: 'Separate entries with commas, and put text that holds ": " in quotes.',
    }),
  ],
  [
    /^Missing , (or : )?between flow/,
    (found) => ({
      message: `A comma is missing before ${found}.`,
      hint: 'Separate entries of { } and [ ] with commas.',
    }),
  ],
  [
    /^Unexpected (,|empty item) in flow/,
    () => ({ message: 'There is no entry before this comma.', hint: 'Remove the comma, or write the entry.' }),
  ],
  [
    /must start at the same column/,
    () => ({
      message: 'This line is indented otherwise than the lines that it belongs to.',
      hint: 'Begin all keys of a mapping, and all "-" of a list, in the same column.',
    }),
  ],
  [
    /^A block sequence may not be used as an implicit map key|^Sequence item without - indicator/,
    () => ({
      message: 'Entries of a list and keys of a mapping are mixed here.',
      hint: 'Begin every entry of a list with "- ", in the same column; a mapping has no "-".',
    }),
  ],
  [
    /^Implicit (map )?keys (need to be followed by map values|of flow|need to be on a single line)/,
    () => ({ message: 'This is neither a key nor a value.', hint: 'Write a key with ": " behind it, on one line.' }),
  ],
  [
    /^Plain value cannot start with/,
    (found) => ({
      message: `A value cannot begin with ${found} unless it is in quotes.`,
      hint: 'Put the value in quotes.',
    }),
  ],
  [
    /^Not a YAML token|^Block scalar header includes extra characters/,
    () => ({
      message: 'Text stands behind | or >, on the same line.',
      hint: 'Begin the text on the next line, indented; or put the whole value in quotes.',
    }),
  ],
  [
    /^Invalid escape sequence/,
    () => ({
      message: 'After this \\ comes no letter that it goes with.',
      hint: 'Write \\\\ for a backslash, or use single quotes, in which it is a sign like any other.',
    }),
  ],
  [
    /^An alias node must not|^A node can have at most one|^(Alias|Anchor) (cannot be an empty|ending in : )/,
    () => ({
      message: 'An anchor (&name) or an alias (*name) is not written as YAML has it.',
      hint: 'Write &name once before a value and *name in place of one; put text that begins with & or * in quotes.',
    }),
  ],
  [
    /^Comments must be separated/,
    () => ({ message: 'A comment begins right behind a value.', hint: 'Put a space before the "#".' }),
  ],
  [
    /^The : indicator must be at most/,
    () => ({ message: 'A key is longer than 1024 characters.', hint: 'Shorten it.' }),
  ],
  [
    /^Tabs are not allowed/,
    () => ({ message: 'Tabs are not allowed as indentation.', hint: 'Indent with spaces; YAML allows no tabs there.' }),
  ],
  [
    /^Unresolved tag/,
    () => ({
      message: 'A word with "!" before it is a tag of YAML, which a pipeline file has no use for.',
      hint: 'Put a condition or text that begins with "!" in quotes; else remove the tag.',
    }),
  ],
];

/** The character at an offset, as people name it. */
function at(text: string, offset: number): string {
  const character = String.fromCodePoint(text.codePointAt(Math.min(offset, text.length)) ?? 10);
  if (offset >= text.length) return 'the end of the file';
  return /\s/.test(character) ? 'the end of the line' : character === '"' ? "'\"'" : `"${character}"`;
}

function lineAt(text: string, offset: number): { readonly start: number; readonly end: number } {
  const start = text.lastIndexOf('\n', offset - 1) + 1;
  const length = text.slice(start).search(/[\r\n]/);
  return { start, end: length === -1 ? text.length : start + length };
}

function sentence(message: string): string {
  return /[.!?]$/.test(message) ? message : `${message}.`;
}

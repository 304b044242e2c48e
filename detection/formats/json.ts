/** JSON as detection tools write it, with faults that can be pointed at. */

/** A text that is no JSON; the message has line and column. */
export class JsonSyntaxError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'JsonSyntaxError';
  }
}

/** Stands for Python's bare NaN, Infinity and -Infinity, which JSON lacks. */
export const NOT_A_NUMBER = 'not a number (NaN or Infinity)';

/**
 * Parses JSON. Python writes NaN and Infinity as bare words; they become the string above, so that each can be
 * reported at its place instead of the whole file being refused.
 */
export function parseJson(text: string): unknown {
  const plain = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  try {
    return JSON.parse(plain);
  } catch (error) {
    if (/\b(NaN|Infinity)\b/.test(plain)) {
      const replaced = plain.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (token) =>
        token.startsWith('"') ? token : JSON.stringify(NOT_A_NUMBER),
      );
      try {
        return JSON.parse(replaced);
      } catch {
        // the first error is about the text as it stands
      }
    }
    throw new JsonSyntaxError(`is not JSON: ${describeFault(plain, error)}`);
  }
}

/** What the text holds where it stops being JSON. Engines give the place in some messages only. */
function describeFault(text: string, error: unknown): string {
  const offset = faultOffset(text);
  if (offset === null) return error instanceof Error ? error.message : String(error);
  const lines = text.slice(0, offset).split('\n');
  const place = `at line ${lines.length}, column ${lines.at(-1)!.length + 1}`;
  if (offset >= text.length) return `it ends too early, ${place}`;
  const word = /^[\w.+-]+|^./su.exec(text.slice(offset, offset + 20))![0];
  return `unexpected ${JSON.stringify(word)} ${place}`;
}

const TOKEN = /\s*(?:([{}[\],:])|("(?:[^"\\\n]|\\.)*")|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null))/y;

/** Offset of the first token that cannot stand where it stands; null where none is found. */
function faultOffset(text: string): number | null {
  const open: ('{' | '[')[] = [];
  let expected: 'value' | 'value or ]' | 'key' | 'key or }' | ':' | 'end' = 'value';
  TOKEN.lastIndex = 0;
  for (;;) {
    const start = TOKEN.lastIndex;
    const token = TOKEN.exec(text);
    const rest = /\S/g;
    rest.lastIndex = start;
    const at = rest.exec(text)?.index ?? text.length;
    if (!token) return at === text.length && expected === 'end' && open.length === 0 ? null : at;
    const [, sign, string, scalar] = token;
    const isValue = string !== undefined || scalar !== undefined || sign === '{' || sign === '[';
    if (expected === 'value' || expected === 'value or ]') {
      if (isValue) {
        if (sign === '{' || sign === '[') open.push(sign);
        expected = sign === '{' ? 'key or }' : sign === '[' ? 'value or ]' : 'end';
      } else if (sign === ']' && expected === 'value or ]') {
        open.pop();
        expected = 'end';
      } else return at;
    } else if (expected === 'key' || expected === 'key or }') {
      if (string !== undefined) expected = ':';
      else if (sign === '}' && expected === 'key or }') {
        open.pop();
        expected = 'end';
      } else return at;
    } else if (expected === ':') {
      if (sign !== ':') return at;
      expected = 'value';
    } else if (sign === ',' && open.length > 0) {
      expected = open.at(-1) === '{' ? 'key' : 'value';
    } else if ((sign === '}' && open.at(-1) === '{') || (sign === ']' && open.at(-1) === '[')) {
      open.pop();
    } else return at;
  }
}

export type JsonObject = { readonly [key: string]: unknown };

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value as a message quotes it, short. */
export function quote(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === NOT_A_NUMBER) return NOT_A_NUMBER;
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

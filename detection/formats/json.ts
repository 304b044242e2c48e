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
    throw new JsonSyntaxError(withPosition(plain, error instanceof Error ? error.message : String(error)));
  }
}

/** Newer engines give line and column themselves, older ones only an offset. */
function withPosition(text: string, message: string): string {
  const offset = /at position (\d+)/.exec(message);
  if (!offset || message.includes('line ')) return `is not JSON: ${message}`;
  const before = text.slice(0, Number(offset[1])).split('\n');
  return `is not JSON: ${message} (line ${before.length} column ${before.at(-1)!.length + 1})`;
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

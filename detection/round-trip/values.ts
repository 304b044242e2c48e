/** Values of a file that another tool wrote: nothing about them is taken for granted. */

/** The file is not what it should be; the message says where, and what was expected. */
export class FileError extends Error {
  override name = 'FileError';
}

export type Fields = { readonly [name: string]: unknown };

export function objectOf(value: unknown, place: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw new FileError(`${place} is ${kind(value)}; expected an object.`);
}

export function listOf(value: unknown, place: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new FileError(`${place} is ${kind(value)}; expected a list.`);
}

export function textOf(value: unknown, place: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new FileError(`${place} is ${kind(value)}; expected text.`);
}

/** A number, also as text in XML. */
export function numberOf(value: unknown, place: string): number {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number === 'number' && Number.isFinite(number)) return number;
  throw new FileError(`${place} is ${JSON.stringify(value) ?? 'missing'}; expected a number.`);
}

function kind(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

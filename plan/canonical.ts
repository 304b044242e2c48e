/** Canonical JSON: equal values have equal bytes, so that a digest of them is an identity. */

/**
 * JSON with the keys of every object sorted and no white space. A key whose value is undefined counts as absent.
 * Throws on what JSON would silently change or lose: NaN, Infinity, undefined in a list, functions, dates, maps.
 */
export function canonicalJson(value: unknown): string {
  return write(value, '$');
}

function write(value: unknown, place: string): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw notJson(place, String(value));
    // JSON.stringify writes -0 as 0 too.
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) {
    // By index, because `map` would pass over the holes of a sparse array.
    const items: string[] = [];
    for (let i = 0; i < value.length; i++) items.push(write(value[i], `${place}[${i}]`));
    return `[${items.join(',')}]`;
  }
  if (typeof value === 'object') {
    const prototype = Object.getPrototypeOf(value);
    // An object from another realm (the workflow sandbox) has another Object.prototype, whose own prototype is null.
    if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
      throw notJson(place, `an object of class ${value.constructor?.name ?? 'unknown'}`);
    }
    const entries = value as { readonly [key: string]: unknown };
    const members: string[] = [];
    for (const key of Object.keys(entries).sort()) {
      if (entries[key] !== undefined) members.push(`${JSON.stringify(key)}:${write(entries[key], `${place}.${key}`)}`);
    }
    return `{${members.join(',')}}`;
  }
  throw notJson(place, value === undefined ? 'undefined' : `a ${typeof value}`);
}

function notJson(place: string, what: string): Error {
  return new Error(`Internal error: ${place} is ${what}, which JSON cannot hold.`);
}

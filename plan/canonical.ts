/** Canonical JSON: equal values have equal bytes, so that a digest of them is an identity. */

/**
 * JSON with the keys of every object sorted and no white space. A key whose value is undefined counts as absent.
 * Throws on what JSON would silently change or lose: NaN, Infinity, undefined in a list, functions, dates, maps.
 */
export function canonicalJson(value: unknown): string {
  return write(value, []);
}

/** `path`: keys and indexes down to the value, one list for all: a text for each place would cost more than the rest. */
function write(value: unknown, path: (string | number)[]): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw notJson(path, String(value));
    // JSON.stringify writes -0 as 0 too.
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) {
    // By index, because `map` would pass over the holes of a sparse array.
    const items: string[] = [];
    for (let i = 0; i < value.length; i++) {
      path.push(i);
      items.push(write(value[i], path));
      path.pop();
    }
    return `[${items.join(',')}]`;
  }
  if (typeof value === 'object') {
    const prototype = Object.getPrototypeOf(value);
    // An object from another realm (the workflow sandbox) has another Object.prototype, whose own prototype is null.
    if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
      throw notJson(path, `an object of class ${value.constructor?.name ?? 'unknown'}`);
    }
    const entries = value as { readonly [key: string]: unknown };
    const members: string[] = [];
    for (const key of Object.keys(entries).sort()) {
      if (entries[key] === undefined) continue;
      path.push(key);
      members.push(`${JSON.stringify(key)}:${write(entries[key], path)}`);
      path.pop();
    }
    return `{${members.join(',')}}`;
  }
  throw notJson(path, value === undefined ? 'undefined' : `a ${typeof value}`);
}

function notJson(path: readonly (string | number)[], what: string): Error {
  const place = `$${path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`)).join('')}`;
  return new Error(`Internal error: ${place} is ${what}, which JSON cannot hold.`);
}

/** Keys of records: what they may look like, and how a segment of one becomes a file name. */

/** Throws on keys that some store could not hold: empty segments, or a leading or trailing slash. */
export function checkRecordKey(key: string): void {
  if (key === '' || key.split('/').some((segment) => segment === '')) {
    throw new Error(`Internal error: record key "${key}" has an empty segment.`);
  }
}

/**
 * A segment as a file name. Brackets, spaces and the like are percent-encoded, and so is a leading dot, so that no
 * segment can be `.` or `..` or hide itself; what is left needs no quotes in a shell.
 */
export function encodeSegment(segment: string): string {
  return encodeURIComponent(segment)
    .replace(/[!'()*~]/g, percent)
    .replace(/^\./, percent);
}

/** Null for a name that no segment has: a file that some tool of the system left there. */
export function decodeSegment(name: string): string | null {
  try {
    const segment = decodeURIComponent(name);
    return encodeSegment(segment) === name ? segment : null;
  } catch {
    return null;
  }
}

function percent(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}

/** A bundle of workflows as a next release might have it: one activity has another name. */

import { readFileSync, writeFileSync } from 'node:fs';

/** Answers the path of the changed bundle, beside the given one. */
export function changedBundle(bundlePath: string, activity: string, renamed: string): string {
  const code = readFileSync(bundlePath, 'utf8');
  const changed = code.replaceAll(`'${activity}'`, `'${renamed}'`).replaceAll(`"${activity}"`, `"${renamed}"`);
  if (changed === code) throw new Error(`No activity "${activity}" is named in ${bundlePath}.`);
  const path = `${bundlePath.replace(/\.js$/, '')}-${renamed}.js`;
  writeFileSync(path, changed);
  return path;
}

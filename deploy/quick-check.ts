/** `hardcase check` from the file that the build made of it, with what V8 compiled of that file at the time. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Script } from 'node:vm';

/** Of the bundle whose last line names this id: bytes of V8, which it takes only for its own version. */
export const cacheOf = (bundle: string, id: string): string => bundle.replace(/\.cjs$/, `-${id}.cache`);

/**
 * Null where there is no bundle. `shared` is cli/output.ts, which bundle and command have in common: the class of errors,
 * the flags. `Check` is the type of cli/check.ts.
 */
export function openQuickCheck<Check>(
  bundle: string,
  shared: object,
): { readonly check: Check; readonly script: Script } | null {
  const code = readIfThere(bundle)?.toString('latin1');
  if (code === undefined) return null;
  const id = /\/\/(\w+)$/.exec(code.slice(-40))?.[1] ?? '';
  const cachedData = readIfThere(cacheOf(bundle, id));
  const script = new Script(`(function (require, exports) {${code}\n})`, {
    filename: bundle,
    ...(cachedData === undefined ? {} : { cachedData }),
  });
  const require = createRequire(bundle);
  const load = (name: string): unknown => (name.endsWith('/output.js') ? shared : require(name));
  const exports = {};
  (script.runInThisContext() as (...given: readonly unknown[]) => void)(load, exports);
  return { check: exports as Check, script };
}

function readIfThere(file: string): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

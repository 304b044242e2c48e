/** A bundle of workflows as a next release might have it: one activity has another name. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { installRuntimeOnce } from './rig.ts';
import { bundleWorkflows } from './workflow-bundle.ts';

/** For all tests of the file: the bundle as it is, and as if a run's first activity had another name in the next release. */
export function presentAndNextBundle(): { readonly bundlePath: string; readonly changedPath: string } {
  const paths = { bundlePath: '', changedPath: '' };
  let folder: string;
  beforeAll(async () => {
    installRuntimeOnce();
    folder = mkdtempSync(join(tmpdir(), 'hardcase-replay-'));
    paths.bundlePath = await bundleWorkflows(folder);
    paths.changedPath = changedBundle(paths.bundlePath, 'open-run', 'begin-run');
  });
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return paths;
}

/** Answers the path of the changed bundle, beside the given one. */
export function changedBundle(bundlePath: string, activity: string, renamed: string): string {
  const code = readFileSync(bundlePath, 'utf8');
  const changed = code.replaceAll(`'${activity}'`, `'${renamed}'`).replaceAll(`"${activity}"`, `"${renamed}"`);
  if (changed === code) throw new Error(`No activity "${activity}" is named in ${bundlePath}.`);
  const path = `${bundlePath.replace(/\.js$/, '')}-${renamed}.js`;
  writeFileSync(path, changed);
  return path;
}

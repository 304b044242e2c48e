/** The Python that cleanlab is in: given, or a virtual environment of the bench's own in the user's cache folder. */

import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder, isExecutable } from '../../deploy/setup/parts.mjs';

const PACKAGES = ['cleanlab==2.9.0'];

/** The interpreter that `HARDCASE_CLEANLAB_PYTHON` names, or that of the environment made before, or one made now if asked to. */
export function cleanlabPython({ install = false } = {}): string {
  const named = process.env.HARDCASE_CLEANLAB_PYTHON;
  if (named) {
    if (!hasCleanlab(named)) {
      throw new Error(`HARDCASE_CLEANLAB_PYTHON names ${named}, which is no Python with cleanlab that runs.`);
    }
    return named;
  }
  const folder = join(cacheFolder(), 'cleanlab');
  const python = join(folder, 'bin', 'python');
  if (isExecutable(python) && hasCleanlab(python)) return python;
  if (!install) {
    throw new Error(
      'This benchmark compares with cleanlab, which was not found. Either name a Python that has it in ' +
        `HARDCASE_CLEANLAB_PYTHON, or add --install-cleanlab: it makes ${folder} (python3 -m venv) and installs ` +
        `${PACKAGES.join(' and ')} there with pip.`,
    );
  }
  // What an install that was cut short has left is of no use.
  rmSync(folder, { recursive: true, force: true });
  run('python3', ['-m', 'venv', folder]);
  run(python, ['-m', 'pip', 'install', '--disable-pip-version-check', ...PACKAGES]);
  return python;
}

function hasCleanlab(python: string): boolean {
  return spawnSync(python, ['-c', 'import cleanlab.object_detection'], { stdio: 'ignore' }).status === 0;
}

function run(command: string, words: readonly string[]): void {
  console.error(`$ ${command} ${words.join(' ')}`);
  const { status, error } = spawnSync(command, words, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`${command} ${words[0]} failed${error ? `: ${error.message}` : ''}.`);
}

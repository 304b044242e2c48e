/** The bundled workflows, from source: made once for all test files that run them, and anew where a source has changed. */

import { createHash } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';

const root = fileURLToPath(new URL('..', import.meta.url));
const kept = join(root, 'node_modules', '.cache', 'hardcase-test-bundles');
/** All that workflows may import: test/imports.test.ts holds them to it. */
const folders = ['workflows', 'plan', 'spec', 'detection'];

/** Puts the bundle into the folder and answers its path, by which it stands in stack traces. */
export async function bundleWorkflows(folder: string): Promise<string> {
  const name = `workflows-${(await digestSources()).slice(0, 16)}.js`;
  const made = join(kept, name);
  await mkdir(folder, { recursive: true });
  const path = join(folder, name);
  try {
    await copyFile(made, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    const { code } = await bundleWorkflowCode({
      workflowsPath: join(root, 'workflows', 'index.ts'),
      logger: new DefaultLogger('WARN'),
    });
    await writeFile(path, code);
    await mkdir(kept, { recursive: true });
    // In one go, because another file's tests may look for it at this moment.
    const partial = `${made}.${process.pid}`;
    await writeFile(partial, code);
    await rename(partial, made);
  }
  return path;
}

async function digestSources(): Promise<string> {
  const hash = createHash('sha256');
  hash.update(await readFile(join(root, 'package-lock.json')));
  for (const folder of folders) {
    const names = await readdir(join(root, folder), { recursive: true });
    for (const name of names.filter((each) => each.endsWith('.ts')).sort()) {
      const content = await readFile(join(root, folder, name));
      hash.update(`${folder}/${name}\0${content.length}\0`).update(content);
    }
  }
  return hash.digest('hex');
}

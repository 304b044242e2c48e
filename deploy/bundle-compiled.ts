/** Bundles workflows that `hardcase compile` wrote for a worker; every other workflow type is the interpreter's. */

import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { sha256Hex } from '../artifacts/digest.ts';

/** Answers the path of the bundle, in `folder`. Throws what the bundler says of the files. */
export async function bundleCompiled(files: readonly string[], folder: string): Promise<string> {
  mkdirSync(folder, { recursive: true });
  const entry = join(folder, `entry-${process.pid}.mjs`);
  const lines = [
    ...files.map((file) => `export * from ${JSON.stringify(resolve(file))};`),
    `export { default } from ${JSON.stringify(interpreterPath())};`,
  ];
  writeFileSync(entry, `${lines.join('\n')}\n`);
  try {
    const { code } = await bundleWorkflowCode({
      workflowsPath: entry,
      logger: new DefaultLogger('ERROR'),
      // The files may stand anywhere; what they need is installed here.
      webpackConfigHook: (config) => ({
        ...config,
        resolve: {
          ...config.resolve,
          modules: [...(config.resolve?.modules ?? []), join(packageRoot(), 'node_modules')],
        },
      }),
    });
    const path = join(folder, `compiled-${sha256Hex(code).slice(0, 8)}.js`);
    writeFileSync(path, code);
    return path;
  } finally {
    rmSync(entry, { force: true });
  }
}

/** From the sources and from `dist/`. */
function packageRoot(): string {
  const parent = fileURLToPath(new URL('..', import.meta.url));
  return existsSync(join(parent, 'node_modules')) ? parent : join(parent, '..');
}

/** The source where it is there, because that is what compiled workflows import: then the bundle has all of it once. */
function interpreterPath(): string {
  const source = join(packageRoot(), 'workflows/index.ts');
  return existsSync(source) ? source : join(packageRoot(), 'dist/workflows/index.js');
}

/** Bundles the compiled workflows into dist/workflow-bundle.js, so that a worker starts without doing it again. */

import { rename, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

const dist = new URL('../', import.meta.url);
const target = fileURLToPath(new URL('workflow-bundle.js', dist));

const { code } = await bundleWorkflowCode({ workflowsPath: fileURLToPath(new URL('workflows/index.js', dist)) });
await writeFile(`${target}.new`, code);
await rename(`${target}.new`, target);

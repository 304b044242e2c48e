/**
 * Bundles `hardcase check` into dist/check-command.js, and compiles the validators of the schemas into dist/validators: to
 * load three hundred modules and to compile the schemas would take longer than the check itself.
 */

import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import standalone from 'ajv/dist/standalone/index.js';
import { rolldown } from 'rolldown';
import { kindSchema, stepKindNames, structureSchema } from '../spec/schemas.ts';
import { validatorOptions } from '../spec/validators.ts';

const fileOf = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** One file a validator, so that only those of the kinds in a pipeline are read. */
async function writeValidators(folder: string): Promise<void> {
  await rm(`${folder}.new`, { recursive: true, force: true });
  await mkdir(`${folder}.new`, { recursive: true });
  for (const name of ['', ...stepKindNames()]) {
    const ajv = new Ajv2020({ ...validatorOptions, code: { source: true } });
    const validate = ajv.compile((name === '' ? structureSchema() : kindSchema(name)) as object);
    await writeFile(join(`${folder}.new`, `${name === '' ? 'pipeline' : name}.cjs`), standalone.default(ajv, validate));
  }
  await rm(folder, { recursive: true, force: true });
  await rename(`${folder}.new`, folder);
}

/** Stands for spec/validators.js in the bundle. */
const validatorsModule = `
import { createRequire } from 'node:module';
const load = createRequire(import.meta.url);
export const validatorOf = (name) => load('./validators/' + (name === '' ? 'pipeline' : name) + '.cjs');
`;

async function writeBundle(target: string): Promise<void> {
  const build = await rolldown({
    input: fileOf('cli/check.js'),
    platform: 'node',
    // Errors and flags that the command's main file knows too must be the same objects.
    external: [fileOf('cli/output.js')],
    plugins: [
      {
        name: 'compiled validators',
        load: (id: string) => (id === fileOf('spec/validators.js') ? validatorsModule : null),
      },
    ],
  });
  const { output } = await build.generate({ format: 'esm', file: target, codeSplitting: false, minify: true });
  await build.close();
  // The bundler takes the bundle to lie where its entry does.
  const shared = /from\s*"\.\/output\.js"/;
  const { code } = output[0];
  if (!shared.test(code)) throw new Error('Internal error: the bundle of the check does not import cli/output.js.');
  await writeFile(`${target}.new`, code.replace(shared, 'from"./cli/output.js"'));
  await rename(`${target}.new`, target);
}

await writeValidators(fileOf('validators'));
await writeBundle(fileOf('check-command.js'));

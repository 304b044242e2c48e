/**
 * Bundles `hardcase check` into dist/check-command.cjs, with validators compiled from the schemas, and keeps what V8
 * compiles of it beside it: to load three hundred modules, to compile the schemas and to compile the result would each
 * take longer than the check itself.
 */

import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import standalone from 'ajv/dist/standalone/index.js';
import { rolldown } from 'rolldown';
import { kindSchema, stepKindNames, structureSchema } from '../spec/schemas.ts';
import { validatorOptions } from '../spec/validators.ts';
import { cacheOf, openQuickCheck } from './quick-check.ts';

const fileOf = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** One file a validator; those of kinds that a pipeline does not have are never run, and so never compiled. */
async function writeValidators(folder: string): Promise<readonly string[]> {
  const names = ['', ...stepKindNames()];
  await mkdir(folder, { recursive: true });
  for (const name of names) {
    const ajv = new Ajv2020({ ...validatorOptions, code: { source: true } });
    const validate = ajv.compile((name === '' ? structureSchema() : kindSchema(name)) as object);
    await writeFile(join(folder, `${name}.cjs`), standalone.default(ajv, validate));
  }
  return names;
}

/** Stands for spec/validators.js in the bundle. */
function validatorsModule(folder: string, names: readonly string[]): string {
  const entries = names.map(
    (name) => `${JSON.stringify(name)}: () => require(${JSON.stringify(`${folder}/${name}.cjs`)})`,
  );
  return `const validators = { ${entries.join(',\n')} };\nexport const validatorOf = (name) => validators[name]();\n`;
}

async function bundle(validators: string): Promise<string> {
  const build = await rolldown({
    input: fileOf('cli/check.js'),
    platform: 'node',
    // Errors and flags that the command's main file knows too must be the same objects.
    external: [fileOf('cli/output.js')],
    // Its build for Node asks the environment at every token whether to log it, which takes a tenth of a large check.
    resolve: { alias: { yaml: join(dirname(fileURLToPath(import.meta.resolve('yaml'))), '../browser/dist/index.js') } },
    onLog: (_, { message }) => {
      throw new Error(`Internal error: the check cannot be bundled: ${message}`);
    },
    plugins: [
      {
        name: 'compiled validators',
        load: (id: string) => (id === fileOf('spec/validators.js') ? validators : null),
      },
    ],
  });
  const { output } = await build.generate({ format: 'cjs', codeSplitting: false, minify: true });
  await build.close();
  // In plain ASCII the file need not be decoded.
  return output[0].code.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Checks files that use every construct, so that V8's cache holds what they need. */
async function warm(target: string): Promise<Buffer> {
  type Check = { runCheck(files: readonly string[], options: { readonly format: string }): Promise<unknown> };
  const output = (await import(fileOf('cli/output.js'))) as object;
  const { check, script } = openQuickCheck<Check>(target, { ...output, print: () => {} })!;
  const shipped = ['pipelines', 'pipelines/examples'].flatMap((folder) => {
    const place = fileOf(`../${folder}`);
    return readdirSync(place)
      .filter((name) => /(?<!\.test)\.yaml$/.test(name))
      .map((name) => join(place, name));
  });
  await check.runCheck(shipped, { format: 'text' });
  return script.createCachedData();
}

// Inside of dist, so that what the validators import is found from there.
const folder = await mkdtemp(fileOf('validators-'));
try {
  const code = await bundle(validatorsModule(folder, await writeValidators(folder)));
  // V8 tells whether a cache is of its own version, but not of which text it is.
  const id = createHash('sha256').update(code).digest('hex').slice(0, 16);
  const target = fileOf('check-command.cjs');
  for (const name of readdirSync(dirname(target)))
    if (/^check-command-\w+\.cache$/.test(name)) await rm(join(dirname(target), name));
  await writeFile(`${target}.new`, `${code}\n//${id}`);
  await rename(`${target}.new`, target);
  await writeFile(`${cacheOf(target, id)}.new`, await warm(target));
  await rename(`${cacheOf(target, id)}.new`, cacheOf(target, id));
} finally {
  await rm(folder, { recursive: true, force: true });
}

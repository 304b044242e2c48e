/** Every shipped pipeline, under its own tests and under none, compiled into one folder that can be checked and bundled. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { readTestFile } from '../../cli/test-file.ts';
import type { Plan } from '../../plan/types.ts';
import { writeWorkflow } from '../../plan/typescript/workflow.ts';
import { type Script, simulatedDigest } from '../../simulate/run-plan.ts';

export const root = join(import.meta.dirname, '../..');

export interface CompiledCase {
  /** `pipelines/examples/when.yaml: asked for more, the second training runs`. */
  readonly name: string;
  /** Of the workflow in the bundle, and of its file. */
  readonly workflowType: string;
  readonly plan: Plan;
  readonly script: Script;
  readonly text: string;
}

/** A review answers at once, and nothing fails. */
const plainTest = 'tests: [{ name: plain, expect: { state: done } }]\n';

export async function compiledCases(): Promise<CompiledCase[]> {
  const cases: CompiledCase[] = [];
  const folder = join(root, 'pipelines');
  const names = readdirSync(folder, { recursive: true }).map(String).sort();
  for (const name of names.filter((name) => /\.yaml$/.test(name) && !/\.test\.yaml$/.test(name))) {
    if (name.includes('parts')) continue;
    const neighbour = name.replace(/\.yaml$/, '.test.yaml');
    const texts = [names.includes(neighbour) ? readFileSync(join(folder, neighbour), 'utf8') : plainTest];
    for (const text of texts) {
      const { tests, diagnostics } = await readTestFile({ file: join(folder, neighbour), text });
      if (tests === undefined) throw new Error(`${name}: ${diagnostics.map(({ message }) => message).join(' ')}`);
      for (const { name: test, plan, script } of tests)
        cases.push(caseOf(cases.length, `${name}: ${test}`, plan, script));
    }
  }
  return cases;
}

/** Of a pipeline that stands in a test. `parts`: files that it imports, by their names. */
export function casesOf(
  text: string,
  tests: string,
  number: number,
  parts: { readonly [name: string]: string } = {},
): Promise<CompiledCase[]> {
  const folder = join(root, 'dist', 'compiled-sources');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${number}.yaml`);
  writeFileSync(file, text);
  for (const [name, part] of Object.entries(parts)) writeFileSync(join(folder, name), part);
  return readTestFile({ file: file.replace(/yaml$/, 'test.yaml'), text: tests }).then(({ tests = [], diagnostics }) => {
    if (tests.length === 0) throw new Error(diagnostics.map(({ message }) => message).join(' '));
    return tests.map(({ name, plan, script }, i) => caseOf(number + i, name, plan, script));
  });
}

/** What the formatter would change; empty where nothing. */
export function formatErrorsIn(folder: string): string {
  const formatter = join(root, 'node_modules/@biomejs/biome/bin/biome');
  const { formatter: layout, javascript } = JSON.parse(readFileSync(join(root, 'biome.json'), 'utf8'));
  writeFileSync(join(folder, 'biome.json'), JSON.stringify({ root: true, formatter: layout, javascript }));
  try {
    const files = readdirSync(folder).filter((name) => /^case\d+\.ts$/.test(name));
    const options = { encoding: 'utf8', cwd: folder, stdio: 'pipe' } as const;
    execFileSync(process.execPath, [formatter, 'format', ...files], options);
    return '';
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return `${stdout}${stderr}`;
  }
}

export function caseOf(number: number, name: string, plan: Plan, script: Script): CompiledCase {
  const { text } = writeWorkflow({
    plan,
    planDigest: simulatedDigest,
    file: name.replace(/:.*/, ''),
    library: '../../workflows/compiled/index.ts',
  });
  return { name, workflowType: `case${number}`, plan, script, text };
}

/** Writes the cases beside the compiled code, from where they import the library; answers the folder. */
export function writeCases(cases: readonly CompiledCase[], name: string): string {
  const folder = join(root, 'dist', name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const exports = cases.map(({ workflowType, text }) => {
    writeFileSync(join(folder, `${workflowType}.ts`), text);
    const own = /^export async function (\S+)\(/m.exec(text)![1]!;
    return `export { ${own} as ${workflowType} } from './${workflowType}.ts';`;
  });
  const library = "export { default } from '../../workflows/compiled/index.ts';";
  writeFileSync(join(folder, 'entry.ts'), `${[...exports, library].join('\n')}\n`);
  const settings = {
    extends: '../../tsconfig.json',
    compilerOptions: { noEmit: true, incremental: false, rootDir: '../..', noUnusedLocals: true },
    include: ['*.ts'],
    exclude: [],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(settings));
  return folder;
}

/** What the type checker has against them; empty where nothing. */
export function typeErrorsIn(folder: string): string {
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  try {
    execFileSync(process.execPath, [compiler, '-p', join(folder, 'tsconfig.json')], { encoding: 'utf8' });
    return '';
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
}

export async function bundleCases(folder: string): Promise<string> {
  const workflowsPath = join(folder, 'entry.ts');
  const { code } = await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('WARN') });
  const path = join(folder, 'bundle.js');
  await writeFile(path, code);
  return path;
}

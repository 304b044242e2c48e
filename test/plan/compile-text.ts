/** Compiles YAML that stands in a test, and shows what its diagnostics underline. */

import { type Compilation, type CompileOptions, compilePipeline, parsePipeline } from '../../plan/compile.ts';
import type { ArtifactRef, Plan, PlannedStep } from '../../plan/types.ts';
import { printDiagnostics, type Severity } from '../../spec/diagnostic.ts';

/** Stands for the folder of every param of type `path`. */
export const folder: ArtifactRef = { artifact: 'tree', digest: 'f'.repeat(64), bytes: 100 };

export function compileText(yaml: string, options: CompileOptions = {}): Compilation {
  const pipeline = parsePipeline({ file: 'test.yaml', text: dedent(yaml) });
  const folders = Object.entries(pipeline.params)
    .filter(([, param]) => param.type === 'path')
    .map(([name]) => [name, folder]);
  return compilePipeline(pipeline, { ...options, params: { ...Object.fromEntries(folders), ...options.params } });
}

/** `4 UNKNOWN_STEP trian`: line, code and the text that is underlined, in the order in which they are shown. */
export function problemsOf(yaml: string, options: CompileOptions = {}): string[] {
  return diagnosticsOf(yaml, options, 'error');
}

/** The same of warnings, which come where there is no error. */
export function warningsOf(yaml: string, options: CompileOptions = {}): string[] {
  return diagnosticsOf(yaml, options, 'warning');
}

function diagnosticsOf(yaml: string, options: CompileOptions, wanted: Severity): string[] {
  const lines = dedent(yaml).split('\n');
  const found = compileText(yaml, options).diagnostics.filter(({ severity }) => severity === wanted);
  return found.map(({ line, column, endLine, endColumn, code }) => {
    const end = endLine === line ? endColumn - 1 : undefined;
    return `${line} ${code} ${lines[line - 1]?.slice(column - 1, end)}`;
  });
}

export function planOf(yaml: string, options: CompileOptions = {}): Plan {
  const { plan, diagnostics } = compileText(yaml, options);
  if (plan === undefined) throw new Error(`No plan:\n${printDiagnostics(diagnostics, dedent(yaml))}`);
  return plan;
}

/** `rounds.train`: the step of that path, loops without an index. */
export function stepOf(plan: Plan, path: string): PlannedStep {
  let scope = plan.root;
  let found: PlannedStep | undefined;
  for (const id of path.split('.')) {
    found = scope.steps.find((step) => step.id === id);
    if (found === undefined) throw new Error(`The plan has no step ${path}.`);
    if ('scope' in found) scope = found.scope;
  }
  return found!;
}

/** Parameters of a step of a kind. */
export function withOf(plan: Plan, path: string): { readonly [name: string]: unknown } {
  const step = stepOf(plan, path);
  if (!('with' in step)) throw new Error(`${path} is no step of a kind.`);
  return step.with;
}

/** Takes away the indentation that YAML has inside a test. */
export function dedent(text: string): string {
  const lines = text.replace(/^\n/, '').split('\n');
  const indents = lines.filter((line) => line.trim() !== '').map((line) => line.length - line.trimStart().length);
  const indent = Math.min(...indents);
  return `${lines
    .map((line) => line.slice(indent))
    .join('\n')
    .trimEnd()}\n`;
}

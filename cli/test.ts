/** `hardcase test [FILES]`: runs the tests beside pipelines, in virtual time and without a server. */

import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import colours from 'picocolors';
import { type SimulatedRun, simulatePlan } from '../simulate/run-plan.ts';
import { lineStartsOf, positionAt, printDiagnostics } from '../spec/diagnostic.ts';
import { CommandError, type ExitCode, exitCodes, formatDuration, note, print, printJson, table } from './output.ts';
import { type PipelineTest, readTestFile, type TestFile } from './test-file.ts';
import { mismatchesOf } from './test-outcome.ts';

export interface TestOptions {
  readonly json?: boolean;
  /** A file for a CI that reads JUnit's XML. */
  readonly junit?: string;
  /** Only tests whose name holds this. */
  readonly name?: string;
  /** Shows what ran also in tests that pass. */
  readonly verbose: boolean;
  /** The bundled workflows; those of this build. */
  readonly bundlePath?: string;
}

interface Failure {
  /** 1-based place in the test file. */
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

interface Outcome {
  readonly file: string;
  readonly name: string;
  readonly state: 'passed' | 'failed';
  readonly ms: number;
  readonly failures: readonly Failure[];
  readonly run?: SimulatedRun;
}

export async function runTest(paths: readonly string[], options: TestOptions): Promise<ExitCode> {
  const files = paths.length === 0 ? testFilesIn('.') : paths.flatMap(testFilesAt);
  if (files.length === 0) {
    throw new CommandError(
      `There are no tests ${paths.length === 0 ? 'under this folder' : `in ${paths.join(', ')}`}. Expected files named like NAME.test.yaml beside NAME.yaml.`,
      exitCodes.usage,
    );
  }
  const bundlePath = options.bundlePath ?? fileURLToPath(new URL('../workflow-bundle.js', import.meta.url));
  const began = performance.now();
  const outcomes: Outcome[] = [];
  let broken = 0;
  for (const file of files) {
    const read = await readTestFile({ file, text: readFileSync(file, 'utf8') });
    if (!options.json) print(colours.bold(file));
    if (read.tests === undefined) {
      broken++;
      if (options.json) outcomes.push(...brokenOutcomes(read));
      else note(printDiagnostics(read.diagnostics, read.texts).replace(/^/gm, '  '));
      continue;
    }
    for (const test of read.tests) {
      if (options.name !== undefined && !test.name.includes(options.name)) continue;
      const outcome = await runOne(bundlePath, read, test);
      outcomes.push(outcome);
      if (!options.json) sayOutcome(outcome, options.verbose);
    }
  }
  const failed = outcomes.filter(({ state }) => state === 'failed').length;
  const passed = outcomes.length - failed;
  if (options.junit !== undefined) writeFileSync(options.junit, junitOf(outcomes));
  if (options.json) printJson({ passed, failed, tests: outcomes.map(jsonOf) });
  else {
    const unreadable = broken === 0 ? '' : `, ${broken} ${broken === 1 ? 'file' : 'files'} with problems`;
    print(`\n${passed} passed, ${failed} failed${unreadable} (${formatDuration(performance.now() - began)})`);
  }
  return failed + broken > 0 ? exitCodes.input : exitCodes.done;
}

async function runOne(bundlePath: string, { source }: TestFile, test: PipelineTest): Promise<Outcome> {
  const began = performance.now();
  const run = await simulatePlan(bundlePath, test.plan, test.script);
  const starts = lineStartsOf(source.text);
  const failures = mismatchesOf(test, run).map(({ range, message }) => ({
    ...positionAt(starts, range.start),
    message,
  }));
  return {
    file: source.file,
    name: test.name,
    state: failures.length === 0 ? 'passed' : 'failed',
    ms: performance.now() - began,
    failures,
    run,
  };
}

/** A file that cannot be read as tests is a failed test to programs. */
function brokenOutcomes({ source, diagnostics }: TestFile): Outcome[] {
  const failures = diagnostics.map(({ file, line, column, message }) => ({
    line,
    column,
    message: file === source.file ? message : `${file}:${line}:${column} ${message}`,
  }));
  return [{ file: source.file, name: 'the file can be read', state: 'failed', ms: 0, failures }];
}

function sayOutcome({ file, name, state, ms, failures, run }: Outcome, verbose: boolean): void {
  const took = colours.dim(`(${formatDuration(ms)}, ${formatDuration(run?.tookMs ?? 0)} in the run)`);
  print(`  ${state === 'passed' ? colours.green('✓') : colours.red('✗')} ${name} ${took}`);
  for (const { line, column, message } of failures) print(`      ${file}:${line}:${column} ${message}`);
  if ((failures.length > 0 || verbose) && run !== undefined) print(stepsOf(run).replace(/^/gm, '      '));
}

function stepsOf({ steps, notices }: SimulatedRun): string {
  const rows = steps.map(({ path, kind, state, startedMs, endedMs, error }) => [
    path,
    kind,
    state,
    endedMs === undefined
      ? `from ${formatDuration(startedMs)}`
      : `${formatDuration(startedMs)} to ${formatDuration(endedMs)}`,
    error ?? '',
  ]);
  return ['What ran:', table(rows), ...notices.map((notice) => `Notice: ${notice}`)].join('\n');
}

function jsonOf({ file, name, state, ms, failures, run }: Outcome): object {
  return {
    file,
    name,
    state,
    ms: Math.round(ms),
    failures,
    run: run === undefined ? null : { state: run.state, tookMs: run.tookMs, steps: run.steps, notices: run.notices },
  };
}

/** A test file, a pipeline file that has one beside it, or a folder with some. */
function testFilesAt(path: string): string[] {
  let isFolder: boolean;
  try {
    isFolder = statSync(path).isDirectory();
  } catch (error) {
    throw new CommandError(`${path} cannot be read: ${(error as Error).message}`, exitCodes.usage, error);
  }
  if (isFolder) return testFilesIn(path);
  if (/\.test\.ya?ml$/.test(path)) return [path];
  const neighbour = path.replace(/\.(ya?ml)$/, '.test.$1');
  if (neighbour !== path && statSync(neighbour, { throwIfNoEntry: false })?.isFile()) return [neighbour];
  throw new CommandError(`${path} has no tests: there is no ${neighbour} beside it.`, exitCodes.usage);
}

function testFilesIn(folder: string): string[] {
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const path = folder === '.' ? entry.name : join(folder, entry.name);
    if (entry.isDirectory()) return /^(\.|node_modules$|dist$)/.test(entry.name) ? [] : testFilesIn(path);
    return /\.test\.ya?ml$/.test(entry.name) ? [path] : [];
  });
}

/** https://github.com/testmoapp/junitxml: one suite a file. */
function junitOf(outcomes: readonly Outcome[]): string {
  const files = [...new Set(outcomes.map(({ file }) => file))];
  const suites = files.map((file) => {
    const own = outcomes.filter((outcome) => outcome.file === file);
    const failed = own.filter(({ state }) => state === 'failed').length;
    const cases = own.map(({ name, ms, failures }) => {
      const lines = failures.map(({ line, column, message }) => `${file}:${line}:${column} ${message}`);
      const failure = `<failure message="${xml(failures[0]?.message ?? '')}">${xml(lines.join('\n'))}</failure>`;
      return `    <testcase name="${xml(name)}" classname="${xml(file)}" time="${(ms / 1000).toFixed(3)}">${failures.length === 0 ? '' : failure}</testcase>`;
    });
    return `  <testsuite name="${xml(file)}" tests="${own.length}" failures="${failed}">\n${cases.join('\n')}\n  </testsuite>`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n${suites.join('\n')}\n</testsuites>\n`;
}

const xml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

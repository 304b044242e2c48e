/** `NAME.test.yaml` to tests that can run: checked against its schema and against the pipeline that it tests. */

import { dirname, join } from 'node:path';
import { rowOf } from '../activities/step-identity.ts';
import { sha256Hex } from '../artifacts/digest.ts';
import type { Compilation, ParsedPipeline } from '../plan/compile.ts';
import type { GivenParams } from '../plan/params.ts';
import { innerScope, type PathPart, parsePath, stepsOf } from '../plan/paths.ts';
import { publicKinds, stepKinds } from '../plan/step-kinds.ts';
import type { ArtifactRef, Json, Plan, PlannedScope, PlannedStep } from '../plan/types.ts';
import { type Answer, type Mock, matches, type Retry, type Script } from '../simulate/run-plan.ts';
import { type Diagnostic, locateProblems, type Problem } from '../spec/diagnostic.ts';
import { parseDurationMs } from '../spec/duration.ts';
import { parseYaml } from '../spec/parse.ts';
import { suggestion } from '../spec/suggest.ts';
import { type ParsedSpec, pointerTo, type Range, type SourceText } from '../spec/types.ts';
import { testFileProblems } from '../spec/validate-tests.ts';
import { loadPipeline } from './load-pipeline.ts';

/** As the file has them; durations are text. */
interface MockSpec extends Omit<Mock, 'takesMs'> {
  readonly takes?: string;
}
interface MocksSpec {
  readonly kinds?: { readonly [kind: string]: MockSpec };
  readonly steps?: { readonly [path: string]: MockSpec };
}
interface AnswerSpec {
  readonly gate: string;
  readonly after?: string;
  readonly decide?: number | 'all';
  readonly answer?: { readonly [field: string]: Json };
  readonly by?: string;
}
export interface Expectations {
  readonly state?: string;
  readonly steps?: { readonly [path: string]: string };
  readonly outputs?: { readonly [name: string]: Json };
  readonly inputs?: { readonly [name: string]: Json };
  readonly order?: readonly string[];
  readonly rounds?: { readonly [path: string]: number };
  readonly runs?: { readonly [kind: string]: number };
  readonly attempts?: { readonly [path: string]: number };
  readonly took?: string | { readonly atLeast?: string; readonly atMost?: string };
  readonly notices?: readonly string[];
  readonly error?: string;
}
interface TestSpec {
  readonly name: string;
  readonly params?: { readonly [name: string]: Json };
  readonly mocks?: MocksSpec;
  readonly answers?: readonly AnswerSpec[];
  readonly retries?: readonly { readonly step: string; readonly after?: string }[];
  readonly cancel?: string;
  readonly expect: Expectations;
}
interface TestFileSpec {
  readonly pipeline?: string;
  readonly params?: { readonly [name: string]: Json };
  readonly mocks?: MocksSpec;
  readonly answers?: readonly AnswerSpec[];
  readonly tests: readonly TestSpec[];
}

export interface PipelineTest {
  readonly name: string;
  readonly plan: Plan;
  readonly script: Script;
  readonly expect: Expectations;
  /** Place of a part of `expect` in the file, by keys below it. */
  rangeOf(...keys: readonly (string | number)[]): Range;
}

export interface TestFile {
  readonly source: SourceText;
  /** Absent where there are problems. */
  readonly tests?: readonly PipelineTest[];
  /** Of this file, or of the pipeline that it tests, with the texts of those files. */
  readonly diagnostics: readonly Diagnostic[];
  readonly texts: ReadonlyMap<string, string>;
}

/** Throws a `CommandError` where the pipeline's file cannot be read. */
export async function readTestFile(source: SourceText): Promise<TestFile> {
  const texts = new Map([[source.file, source.text]]);
  const fail = (problems: readonly Problem[]): TestFile => {
    return { source, diagnostics: locateProblems(problems, source), texts };
  };
  const { spec: parsed, problems } = parseYaml(source);
  if (parsed === undefined) return fail(problems);
  const faults = [...problems, ...testFileProblems(parsed)];
  if (faults.length > 0) return fail(faults);
  const spec = parsed.value as unknown as TestFileSpec;
  const file = join(dirname(source.file), spec.pipeline ?? '');
  const pipelineFile = spec.pipeline === undefined ? source.file.replace(/\.test\.(ya?ml)$/, '.$1') : file;

  const tests: PipelineTest[] = [];
  const wrong: Problem[] = [];
  for (const [i, test] of spec.tests.entries()) {
    const at = pointerTo('/tests', i);
    const given = { ...spec.params, ...test.params };
    const { pipeline, compilation, texts: pipelineTexts } = await compileFor(pipelineFile, given);
    const unknown = Object.keys(given).filter((name) => !Object.hasOwn(pipeline.params, name));
    const { plan, diagnostics } = compilation;
    if (plan === undefined && !isOfParams(diagnostics)) return { source, diagnostics, texts: pipelineTexts };
    const check = new Checking(parsed, wrong, pipeline);
    for (const [where, params] of [
      ['/params', spec.params],
      [pointerTo(at, 'params'), test.params],
    ] as const) {
      for (const name of Object.keys(params ?? {})) {
        if (unknown.includes(name)) check.unknownParam(pointerTo(where, name), name);
      }
    }
    if (plan === undefined) {
      for (const { message } of diagnostics) check.params(at, test, message);
      continue;
    }
    check.mocks(plan, '/mocks', spec.mocks);
    check.mocks(plan, pointerTo(at, 'mocks'), test.mocks);
    check.answers(plan, '/answers', spec.answers);
    check.answers(plan, pointerTo(at, 'answers'), test.answers);
    for (const [j, { step }] of (test.retries ?? []).entries())
      check.path(plan, pointerTo(at, 'retries', j, 'step'), step, true);
    check.expectations(plan, pointerTo(at, 'expect'), test.expect);
    tests.push({
      name: test.name,
      plan,
      script: scriptOf(spec, test),
      expect: test.expect,
      rangeOf: (...keys) => rangeAt(parsed, pointerTo(at, 'expect', ...keys)),
    });
  }
  return wrong.length > 0 ? fail(unique(wrong)) : { source, tests, diagnostics: [], texts };
}

/** What all tests share is checked for each of them. */
function unique(problems: readonly Problem[]): Problem[] {
  return [...new Map(problems.map((one) => [`${one.range.start} ${one.message}`, one])).values()];
}

const isOfParams = (diagnostics: readonly Diagnostic[]): boolean =>
  diagnostics.some(({ code }) => code === 'MISSING_PARAM' || code === 'INVALID_PARAM');

/** A folder is named, and not read: any text does, also none. */
async function compileFor(
  file: string,
  params: { readonly [name: string]: Json },
): Promise<{ pipeline: ParsedPipeline; compilation: Compilation; texts: ReadonlyMap<string, string> }> {
  const first = await loadPipeline(file, { params: [], paramsRequired: false, digestFolders: false });
  const declared = Object.entries(params).filter(([name]) => Object.hasOwn(first.pipeline.params, name));
  const known: { [name: string]: GivenParams[string] } = Object.fromEntries(declared);
  for (const [name, { type }] of Object.entries(first.pipeline.params)) {
    if (type === 'path') known[name] = folderNamed(String(params[name] ?? name));
  }
  return await loadPipeline(file, { params: [], known, paramsRequired: true, digestFolders: false });
}

const folderNamed = (name: string): ArtifactRef => ({ artifact: 'tree', digest: sha256Hex(name), bytes: 1 });

/** Of mocks that fit, the most exact: the test's before those of all, a path before `[]`, a step before its kind. */
function scriptOf(spec: TestFileSpec, test: TestSpec): Script {
  const layers = [test.mocks, spec.mocks];
  return {
    mockOf: (path, kind) => {
      const found = [
        ...layers.map((mocks) => mocks?.steps?.[path]),
        ...layers.map((mocks) => Object.entries(mocks?.steps ?? {}).find(([pattern]) => matches(pattern, path))?.[1]),
        ...layers.map((mocks) => mocks?.kinds?.[kind]),
      ].filter((mock) => mock !== undefined);
      const merged: MockSpec = Object.assign({}, ...found.toReversed());
      const outputs = Object.assign({}, ...found.toReversed().map((mock) => mock.outputs ?? {}));
      const { takes, ...rest } = merged;
      return { ...rest, outputs, ...(takes === undefined ? {} : { takesMs: parseDurationMs(takes)! }) };
    },
    answers: (test.answers ?? spec.answers ?? []).map(
      ({ after, decide = 'all', ...answer }): Answer => ({
        ...answer,
        afterMs: parseDurationMs(after ?? '0s')!,
        decide,
      }),
    ),
    retries: (test.retries ?? []).map(({ step, after }): Retry => ({ step, afterMs: parseDurationMs(after ?? '0s')! })),
    ...(test.cancel === undefined ? {} : { cancelAfterMs: parseDurationMs(test.cancel)! }),
  };
}

function rangeAt(parsed: ParsedSpec, pointer: string): Range {
  for (let at = pointer; at !== ''; at = at.slice(0, at.lastIndexOf('/'))) {
    const place = parsed.places.get(at);
    if (place !== undefined) return place.key ?? place.value;
  }
  return { start: 0, end: 0 };
}

/** Names in a test file that the pipeline does not have. */
class Checking {
  readonly #parsed: ParsedSpec;
  readonly #problems: Problem[];
  readonly #pipeline: ParsedPipeline;

  constructor(parsed: ParsedSpec, problems: Problem[], pipeline: ParsedPipeline) {
    this.#parsed = parsed;
    this.#problems = problems;
    this.#pipeline = pipeline;
  }

  params(at: string, test: TestSpec, message: string): void {
    const pointer = test.params === undefined ? pointerTo(at, 'name') : pointerTo(at, 'params');
    this.#add('INVALID_PARAM', pointer, message.replace(/^-p /, ''));
  }

  unknownParam(pointer: string, name: string): void {
    const names = Object.keys(this.#pipeline.params);
    this.#add('UNKNOWN_PARAM', pointer, `The pipeline has no param "${name}".`, suggestion(name, names, 'Params'));
  }

  mocks(plan: Plan, at: string, mocks: MocksSpec | undefined): void {
    for (const [kind, mock] of Object.entries(mocks?.kinds ?? {})) {
      const pointer = pointerTo(at, 'kinds', kind);
      if (this.#kind(pointer, kind)) this.#outputs(pointer, mock, kind);
    }
    for (const [path, mock] of Object.entries(mocks?.steps ?? {})) {
      const pointer = pointerTo(at, 'steps', path);
      const step = this.path(plan, pointer, path);
      if (step !== null && 'kind' in step) this.#outputs(pointer, mock, step.kind);
    }
  }

  answers(plan: Plan, at: string, answers: readonly AnswerSpec[] | undefined): void {
    for (const [i, { gate }] of (answers ?? []).entries()) {
      const pointer = pointerTo(at, i, 'gate');
      const step = this.path(plan, pointer, gate, true);
      if (step === null || waits(step)) continue;
      const gates = pathsOf(plan.root).filter((path) => isGate(findPattern(plan, path)));
      this.#add('UNKNOWN_STEP', pointer, `"${gate}" waits for nobody.`, suggestion(gate, gates, 'Gates'), true);
    }
  }

  expectations(plan: Plan, at: string, expect: Expectations): void {
    for (const part of ['steps', 'rounds', 'attempts'] as const) {
      for (const path of Object.keys(expect[part] ?? {})) this.path(plan, pointerTo(at, part, path), path);
    }
    for (const [i, path] of (expect.order ?? []).entries()) this.path(plan, pointerTo(at, 'order', i), path, true);
    for (const kind of Object.keys(expect.runs ?? {})) this.#kind(pointerTo(at, 'runs', kind), kind);
    for (const part of ['outputs', 'inputs'] as const) {
      for (const name of Object.keys(expect[part] ?? {})) {
        const pointer = pointerTo(at, part, name);
        const split = splitName(plan, name);
        if (split === null) this.path(plan, pointer, beforeLastDot(name));
        else if (part === 'outputs') this.#output(pointer, split);
      }
    }
  }

  /** The planned step at a path with `[]` or an index for rounds and legs; null where there is none, which is reported. */
  path(plan: Plan, pointer: string, path: string, isValue = false): PlannedStep | null {
    const step = findPattern(plan, path);
    if (step !== null) return step;
    const known = pathsOf(plan.root);
    const name = path.replace(/\[[^\]]+\]/g, '[]');
    this.#add(
      'UNKNOWN_STEP',
      pointer,
      `The pipeline has no step "${path}".`,
      suggestion(name, known, 'Steps'),
      isValue,
    );
    return null;
  }

  #kind(pointer: string, kind: string): boolean {
    if (rowOf(kind) !== undefined) return true;
    this.#add('UNKNOWN_KIND', pointer, `There is no step kind "${kind}".`, suggestion(kind, publicKinds, 'Step kinds'));
    return false;
  }

  #outputs(at: string, { outputs = {}, absent = [] }: MockSpec, kind: string): void {
    const known = Object.keys(rowOf(kind)?.outputs ?? {});
    const wrong = (pointer: string, name: string, isValue: boolean) => {
      if (known.includes(name) || known.length === 0) return;
      const message = `A ${kind} step has no output "${name}".`;
      this.#add('UNKNOWN_OUTPUT', pointer, message, suggestion(name, known, 'Outputs'), isValue);
    };
    for (const name of Object.keys(outputs)) wrong(pointerTo(at, 'outputs', name), name, false);
    for (const [i, name] of absent.entries()) wrong(pointerTo(at, 'absent', i), name, true);
  }

  #output(pointer: string, { step, name }: { readonly step: PlannedStep; readonly name: string }): void {
    if (!('kind' in step)) return;
    const known = Object.keys(stepKinds.get(step.kind)?.outputs ?? {});
    if (known.length === 0 || known.includes(name.split('.')[0]!)) return;
    const message = `"${step.id}" (${step.kind}) has no output "${name}".`;
    this.#add('UNKNOWN_OUTPUT', pointer, message, suggestion(name, known, 'Outputs'));
  }

  /** At the key of a mapping's entry, or at its value. */
  #add(code: Problem['code'], pointer: string, message: string, hint?: string, atValue = false): void {
    const place = this.#parsed.places.get(pointer);
    const range = (atValue ? undefined : place?.key) ?? place?.value ?? { start: 0, end: 0 };
    this.#problems.push({ code, range, message, ...(hint && { hint }) });
  }
}

const waits = (step: PlannedStep): boolean => step.type === 'gate' || step.type === 'approve';
const isGate = (step: PlannedStep | null): boolean => step !== null && waits(step);

const beforeLastDot = (name: string): string => (name.includes('.') ? name.slice(0, name.lastIndexOf('.')) : name);

/** `rounds[2].train.replay.share` to the step `rounds[2].train` and `replay.share`. */
export function splitName(plan: Plan, name: string): { path: string; step: PlannedStep; name: string } | null {
  const dots = [...name.matchAll(/\.(?![^[]*\])/g)].map(({ index }) => index).reverse();
  for (const dot of dots) {
    const path = name.slice(0, dot);
    const step = findPattern(plan, path);
    if (step !== null) return { path, step, name: name.slice(dot + 1) };
  }
  return null;
}

/** The step of a path in which `[]` stands for any round or leg. */
export function findPattern(plan: Plan, path: string): PlannedStep | null {
  const parts = parsePath(path);
  if (parts === null) return null;
  return find(plan.root, parts);
}

function find(scope: PlannedScope, [part, ...rest]: readonly PathPart[]): PlannedStep | null {
  const step = stepsOf(scope).find(({ id }) => id === part?.id);
  if (part === undefined || step === undefined) return null;
  // Trials of a search are no steps of the plan.
  if (step.type === 'search' && rest.length > 0) return step;
  const takesLeg = step.type === 'repeat' || step.type === 'fan-out';
  if (takesLeg !== (part.leg !== null)) return rest.length === 0 && part.leg === null ? step : null;
  const inner = innerScope(step);
  if (inner === null) return rest.length === 0 ? step : null;
  const only = inner.steps[0];
  if (only?.id !== '') return rest.length === 0 ? (takesLeg ? null : step) : find(inner, rest);
  if (rest.length === 0) return only;
  const within = innerScope(only);
  return within === null ? null : find(within, rest);
}

/** Paths of all steps, with `[]` for rounds and legs. */
function pathsOf(scope: PlannedScope, within = ''): string[] {
  return stepsOf(scope).flatMap((step) => {
    const path = step.id === '' ? within : within === '' ? step.id : `${within}.${step.id}`;
    const inner = innerScope(step);
    const takesLeg = step.type === 'repeat' || step.type === 'fan-out';
    return [path, ...(inner === null ? [] : pathsOf(inner, takesLeg ? `${path}[]` : path))];
  });
}

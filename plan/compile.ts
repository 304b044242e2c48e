/** A pipeline file to a plan: everything that can be decided before the run, or every problem in the file. */

import { applyDefaults } from '../spec/defaults.ts';
import { type Diagnostic, hasErrors, locateProblems, type Problem } from '../spec/diagnostic.ts';
import type { ExpressionNames } from '../spec/expression-check.ts';
import type { ExpressionType } from '../spec/expression-types.ts';
import { parseYaml } from '../spec/parse.ts';
import { idleAllowances, withoutAllowed } from '../spec/silence.ts';
import type { ParamSpec, ParsedSpec, Range, SourceText, Spec } from '../spec/types.ts';
import { validateSpec } from '../spec/validate.ts';
import { checkGuards } from './checks.ts';
import { compileConcurrency } from './compile-concurrency.ts';
import { compileFinally } from './compile-finally.ts';
import { type CompiledScope, compileScope } from './compile-scope.ts';
import { draftScope } from './drafts.ts';
import { importsIn, type ReadFile, resolveImport } from './imports.ts';
import { eachOnce } from './locate-file.ts';
import { type GivenParams, paramType, readParams, type UnreadablePath } from './params.ts';
import { plannedScope, withFinally } from './parts.ts';
import { digestPlan } from './plan-digest.ts';
import { type Compiling, type FoundRead, readSlots, type Slot } from './slots.ts';
import type { Plan } from './types.ts';
import { typesOf } from './value-types.ts';
import { findWarnings } from './warnings.ts';

/** A file that was read, with the params that it declares: folders among them are digested before it is compiled. */
export interface ParsedPipeline {
  readonly source: SourceText;
  readonly params: { readonly [name: string]: ParamSpec };
  /** Absent where the YAML is not sound. */
  readonly parsed?: ParsedSpec;
  readonly spec?: Spec;
  readonly broken: ReadonlySet<string>;
  readonly problems: readonly Problem[];
  /** Files that its steps name, and those that they name, by their paths. */
  readonly imports: ReadonlyMap<string, ParsedPipeline | { readonly why: string }>;
}

export interface CompileOptions {
  /** Text of the command line, or JSON; for a param of type `path` the reference of its tree. */
  readonly params?: { readonly [name: string]: GivenParams[string] | UnreadablePath };
  /** False to check a file alone: params without a value are no problem, and there is no plan where they matter. */
  readonly paramsRequired?: boolean;
}

export interface Compilation {
  /** Absent where there are errors or params without a value. */
  readonly plan?: Plan;
  readonly planDigest?: string;
  /** Of the file, then of those that it imports. */
  readonly diagnostics: readonly Diagnostic[];
  /** Places in the file of steps and their values, by plan path: `rounds.train`, `rounds.train.with.epochs`. */
  readonly sources: ReadonlyMap<string, Range>;
  /** What the expressions read, and the names that they see; for editors. */
  readonly reads?: readonly FoundRead[];
  readonly names?: ReadonlyMap<string, ExpressionNames>;
}

/** `read` gives the files that steps name with `pipeline:`; without it there are none. */
export function parsePipeline(
  source: SourceText,
  read: ReadFile = () => ({ why: 'no files are read here' }),
): ParsedPipeline {
  const files = new Map<string, ParsedPipeline | { readonly why: string }>();
  const parse = (each: SourceText): ParsedPipeline => {
    const { spec: written, problems } = parseYaml(each);
    if (written === undefined) return { source: each, params: {}, broken: new Set(), problems, imports: files };
    const parsed = applyDefaults(written);
    const { spec, broken, problems: faults } = validateSpec(parsed);
    const names = importsIn(parsed.value);
    for (const file of names.map((name) => resolveImport(each.file, name))) {
      if (files.has(file)) continue;
      const found = read(file);
      // Known before it is parsed, because it may name itself.
      files.set(file, { why: 'it is being read' });
      files.set(file, 'why' in found ? found : parse({ file, text: found.text }));
    }
    return { source: each, params: spec.params ?? {}, parsed, spec, broken, problems: faults, imports: files };
  };
  return parse(source);
}

/** Texts of the file and of those that it imports, by path: for printing their diagnostics. */
export function textsOf({ source, imports }: ParsedPipeline): ReadonlyMap<string, string> {
  const texts = new Map([[source.file, source.text]]);
  for (const [file, imported] of imports) if ('source' in imported) texts.set(file, imported.source.text);
  return texts;
}

export function compilePipeline(pipeline: ParsedPipeline, options: CompileOptions = {}): Compilation {
  const { source, parsed, spec, broken } = pipeline;
  if (parsed === undefined || spec === undefined) {
    return { diagnostics: locateProblems(pipeline.problems, source), sources: new Map() };
  }
  const problems: Problem[] = [...pipeline.problems];
  const { paramsRequired = true } = options;
  const params = readParams(
    { params: pipeline.params, places: parsed.places, text: source.text },
    options.params ?? {},
    paramsRequired,
  );
  problems.push(...params.problems);

  const compiling: Compiling = {
    parsed,
    params: params.values,
    paramsType: { type: 'record', role: 'params', owner: 'the pipeline', fields: paramTypes(pipeline, broken) },
    faulty: new Set(),
    problems,
    reads: [],
    names: new Map(),
    fromRun: new Set(),
    parsedExpressions: new Map(),
    importing: { files: pipeline.imports, chain: [resolveImport('', source.file)], elsewhere: [] },
  };
  const drafts = draftScope(compiling, spec.steps, '/steps');
  const scope = compileScope(compiling, drafts, {
    steps: new Map(),
    mayBeEmpty: new Set(),
    mayBeAbsent: new Set(),
    names: new Map(),
  });
  const outputSlots = new Map<string, Slot>();
  readSlots(compiling, spec.outputs, '/outputs', outputSlots);
  for (const slot of outputSlots.values()) checkGuards(compiling, slot, scope.view, undefined);
  typesOf(compiling, spec.outputs, '/outputs', outputSlots, scope.view.names, 'outputs');
  const concurrency = compileConcurrency(compiling, spec);
  const atEnd = compileFinally(compiling, spec, scope.view);
  const elsewhere = eachOnce(compiling.importing.elsewhere);
  const diagnostics = [...withWarnings(compiling, scope, atEnd, source), ...elsewhere];
  let sources: ReadonlyMap<string, Range> | undefined;
  const found = {
    diagnostics,
    // Only some commands ask; of a file of 10,000 steps it is a large part of the work.
    get sources() {
      sources ??= sourcesOf(parsed);
      return sources;
    },
    reads: compiling.reads,
    names: compiling.names,
  };
  const allParams = Object.keys(pipeline.params).every((name) => Object.hasOwn(params.values, name));
  if (!scope.complete || !atEnd.complete || hasErrors(diagnostics) || !allParams) return found;
  const plan: Plan = {
    format: 1,
    pipeline: spec.name,
    seed: spec.seed ?? 1,
    params: params.values,
    root: { ...concurrency, ...withFinally(plannedScope(scope.steps), atEnd.steps) },
  };
  let planDigest: string | undefined;
  return Object.defineProperties(found, {
    plan: { value: plan, enumerable: true },
    // Only asked where something runs or is shown.
    planDigest: { get: () => (planDigest ??= digestPlan(plan)), enumerable: true },
  });
}

/** Half of the warnings would be consequences of an error, so they come once there are none. */
function withWarnings(
  compiling: Compiling,
  scope: CompiledScope,
  atEnd: Pick<CompiledScope, 'steps' | 'complete'>,
  source: SourceText,
): Diagnostic[] {
  const { problems } = compiling;
  const found = locateProblems(problems, source);
  if (hasErrors(found) || !scope.complete || !atEnd.complete) return found;
  const warnings = [...problems, ...findWarnings(compiling, { steps: scope.steps, finally: atEnd.steps })];
  const idle = idleAllowances(locateProblems(warnings, source), source);
  return withoutAllowed(locateProblems([...warnings, ...idle], source), source);
}

function paramTypes(pipeline: ParsedPipeline, broken: ReadonlySet<string>): Map<string, ExpressionType> {
  const types = new Map<string, ExpressionType>();
  for (const [name, param] of Object.entries(pipeline.params)) types.set(name, paramType(param));
  for (const pointer of broken) {
    if (pointer.startsWith('/params/')) types.set(pointer.slice('/params/'.length), { type: 'any' });
  }
  return types;
}

/** `/steps/rounds/steps/train/with/epochs` -> `rounds.train.with.epochs`. */
function sourcesOf(parsed: ParsedSpec): Map<string, Range> {
  const sources = new Map<string, Range>();
  for (const [pointer, place] of parsed.places) {
    const keys = pointer.split('/').slice(1);
    if (!/^(steps|finally)$/.test(keys[0]!) || keys.length < 2) continue;
    const path: string[] = [keys[1]!];
    let at = 2;
    // Every second key is a step's id for as long as `steps` follows.
    while (keys[at] === 'steps' && keys[at + 1] !== undefined) {
      path.push(keys[at + 1]!);
      at += 2;
    }
    const inStep = keys.slice(at);
    if (inStep[0] === 'steps') continue;
    sources.set(
      [...path, ...inStep].join('.'),
      inStep.length === 0 && place.key !== undefined ? place.key : place.value,
    );
  }
  return sources;
}

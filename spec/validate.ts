/** A parsed file to a spec: every error of the schemas becomes a problem at its node, and what is wrong is left out. */

import type { ErrorObject } from 'ajv/dist/2020.js';
import { describeSchema, isExpressionSchema, showValue } from './describe-schema.ts';
import type { Problem } from './diagnostic.ts';
import { hasExpression } from './expression-text.ts';
import { nameFix, quotesFix } from './fixes.ts';
import { kindSchema, type Schema, stepKindNames } from './schemas.ts';
import { nearestName, suggestion } from './suggest.ts';
import {
  isRecord,
  keysOfPointer,
  type NodePlace,
  type ParamSpec,
  type ParsedSpec,
  type PlainValue,
  pointerTo,
  type Range,
  type Spec,
  type StepSpecs,
} from './types.ts';
import { validatorOf } from './validators.ts';

export interface Validation {
  /**
   * What is sound of the file, so that the checks that follow find the other problems too. Values with a problem are
   * absent from it; keys that a schema requires may be.
   */
  readonly spec: Spec;
  /** Pointers of steps and params that are there but say too little to be checked: nothing follows from them. */
  readonly broken: ReadonlySet<string>;
  readonly problems: readonly Problem[];
}

export function validateSpec(parsed: ParsedSpec): Validation {
  const parameters = [...parameterErrors(parsed.value, ''), ...parameterErrors(parsed.value, '', 'finally')];
  const errors = [...structureErrors(parsed.value), ...parameters, ...defaultsErrors(parsed.value)];
  const faults = errors.map((error) => faultOf(error, parsed));
  const sound = withoutPointers(parsed.value, new Set(faults.flatMap((fault) => fault.unsound)), '');
  const root = isRecord(sound) ? sound : {};
  const broken = new Set<string>();
  const spec = {
    ...root,
    name: typeof root.name === 'string' ? root.name : '',
    params: soundParams(root.params, broken),
    steps: soundSteps(stepsOf(parsed.value), root.steps, '/steps', broken),
    ...(isRecord(root.finally)
      ? { finally: soundSteps(stepsOf(parsed.value, 'finally'), root.finally, '/finally', broken) }
      : {}),
  } as Spec;
  return { spec, broken, problems: problemsOf(errors, faults, parsed) };
}

/** What is wrong in `defaults` is so in each step that takes it, and said once. */
function problemsOf(errors: readonly ErrorObject[], faults: readonly Fault[], parsed: ParsedSpec): Problem[] {
  const section = parsed.places.get('/defaults')?.value;
  return faults.flatMap(({ problem }, at) => {
    const { start } = problem.range;
    const isTaken = section !== undefined && start >= section.start && start < section.end;
    return isTaken && !isAtOrUnder(errors[at]!.instancePath, '/defaults') ? [] : [problem];
  });
}

/** Errors of parameters in `defaults`, where nothing is required. */
function defaultsErrors(value: PlainValue): ErrorObject[] {
  const defaults = isRecord(value) ? value.defaults : undefined;
  if (!isRecord(defaults)) return [];
  return stepKindNames().flatMap((kind) => {
    const own = defaults[kind];
    if (!isRecord(own) || !isRecord(own.with)) return [];
    return errorsOf(kind, own.with)
      .filter(({ keyword, instancePath }) => keyword !== 'required' || instancePath !== '')
      .map((error) => ({ ...error, instancePath: `/defaults/${kind}/with${error.instancePath}` }));
  });
}

/** The problems that errors of a file's own schema are. `file`: what the file is, in words. */
export function problemsOfErrors(errors: readonly ErrorObject[], parsed: ParsedSpec, file: string): Problem[] {
  return tellingErrors(errors).map((error) => faultOf(error, parsed, file).problem);
}

function structureErrors(value: PlainValue): ErrorObject[] {
  const validate = validatorOf('');
  validate(value);
  return tellingErrors(validate.errors ?? []);
}

/** Errors of the parameters of every step, in rounds and legs too. */
function parameterErrors(scope: PlainValue, pointer: string, key: 'steps' | 'finally' = 'steps'): ErrorObject[] {
  const steps = isRecord(scope) ? scope[key] : undefined;
  if (!isRecord(steps)) return [];
  return Object.entries(steps).flatMap(([id, step]) => {
    const at = pointerTo(pointer, key, id);
    if (!isRecord(step)) return [];
    if (isRecord(step.steps)) return parameterErrors(step, at);
    if (step.activity !== undefined || step.approve !== undefined) return [];
    if (typeof step.uses !== 'string' || !stepKindNames().includes(step.uses)) return [];
    const { required = [], minProperties = 0 } = kindSchema(step.uses);
    const given = step.with ?? (required.length + minProperties > 0 ? undefined : {});
    if (given === undefined) return [missingWith(at, required)];
    // Something else than a mapping is an error of the structure.
    return isRecord(given)
      ? errorsOf(step.uses, given).map((error) => ({ ...error, instancePath: `${at}/with${error.instancePath}` }))
      : [];
  });
}

function errorsOf(kind: string, value: PlainValue): ErrorObject[] {
  const validate = validatorOf(kind);
  validate(value);
  return tellingErrors(validate.errors ?? []);
}

function missingWith(instancePath: string, required: readonly string[]): ErrorObject {
  const params = { missingProperty: 'with' };
  const parentSchema = { properties: { with: { description: withHint(required) } } };
  return { keyword: 'required', instancePath, schemaPath: '#/required', params, parentSchema };
}

function withHint(required: readonly string[]): string {
  const names = required.length === 0 ? '' : ` It needs ${required.join(' and ')}.`;
  return `The inputs of the step go there; docs/steps.md lists them.${names}`;
}

/**
 * Checks the parameters of a step once the values of params stand in them. `places` finds where a value comes from, and
 * answers null for values that were checked as they stood in the file.
 */
export function validateParameters(
  kind: string,
  value: PlainValue,
  placeOf: (pointer: string) => { readonly range: Range; readonly origin: string } | null,
): Problem[] {
  return errorsOf(kind, value).flatMap((error) => {
    const place = placeOf(error.instancePath);
    if (place === null || error.keyword === 'required' || error.keyword === 'additionalProperties') return [];
    return [{ code: 'INVALID_VALUE', range: place.range, message: `${valueMessage(error)} ${place.origin}`.trim() }];
  });
}

/** What is wrong with parameters that stand in no file; those that are absent are not missed. */
export function problemsOfGiven(kind: string, value: PlainValue): string[] {
  const errors = errorsOf(kind, value).filter(({ keyword }) => keyword !== 'required');
  return errors.map((error) => {
    if (error.keyword !== 'additionalProperties') return valueMessage(error);
    const known = Object.keys((error.parentSchema as Schema).properties ?? {});
    const name = String(error.params.additionalProperty);
    return `${pathOf(error.instancePath) || kind} has no "${name}". ${suggestion(name, known, 'It has')}`;
  });
}

/** The JSON types that a schema accepts, expressions apart. */
export function acceptedTypes(schema: Schema): ReadonlySet<string> {
  if (schema.anyOf !== undefined) {
    return new Set(
      schema.anyOf.filter((branch) => !isExpressionSchema(branch)).flatMap((branch) => [...acceptedTypes(branch)]),
    );
  }
  if (schema.const !== undefined) return new Set([typeof schema.const]);
  if (schema.enum !== undefined) return new Set(schema.enum.map((value) => typeof value));
  const types = typeof schema.type === 'string' ? [schema.type] : (schema.type ?? []);
  return new Set(types.map((type) => (type === 'integer' ? 'number' : type)));
}

/** Of all errors, those that say something: of a union, the branch that was meant. */
function tellingErrors(errors: readonly ErrorObject[]): ErrorObject[] {
  let telling = errors.filter((error) => error.keyword !== 'if' && error.keyword !== 'propertyNames');
  const unions = telling
    .filter((error) => error.keyword === 'anyOf')
    .sort((a, b) => b.schemaPath.length - a.schemaPath.length);
  for (const union of unions) {
    const prefix = `${union.schemaPath}/`;
    const isInside = (error: ErrorObject) =>
      error.schemaPath.startsWith(prefix) && isAtOrUnder(error.instancePath, union.instancePath);
    const branches = new Map<string, ErrorObject[]>();
    for (const error of telling.filter(isInside)) {
      const index = error.schemaPath.slice(prefix.length).split('/')[0]!;
      branches.set(index, [...(branches.get(index) ?? []), error]);
    }
    const schemas = (union.parentSchema as Schema | undefined)?.anyOf ?? [];
    const meant = [...branches].filter(([index, inside]) => {
      const schema = schemas[Number(index)];
      if (schema !== undefined && isExpressionSchema(schema)) return hasExpression(union.data);
      return !inside.some((error) => error.instancePath === union.instancePath && error.keyword === 'type');
    });
    const chosen = meant.length === 1 ? meant[0]![1] : null;
    telling = telling.filter((error) =>
      chosen === null ? !isInside(error) : error !== union && (!isInside(error) || chosen.includes(error)),
    );
  }
  return telling;
}

function isAtOrUnder(pointer: string, ancestor: string): boolean {
  return pointer === ancestor || pointer.startsWith(`${ancestor}/`);
}

interface Fault {
  readonly problem: Problem;
  /** Pointers of what the spec has to do without. */
  readonly unsound: readonly string[];
}

/** `file`: what the file is, in words. */
function faultOf(error: ErrorObject, parsed: ParsedSpec, file = 'pipeline'): Fault {
  const { instancePath, keyword, params } = error;
  const parent = error.parentSchema as Schema;
  const place = placeOf(parsed, instancePath);
  if (error.propertyName !== undefined)
    return nameFault(error.propertyName, parent, pointerTo(instancePath, error.propertyName), parsed);
  switch (keyword) {
    case 'additionalProperties': {
      const key = String(params.additionalProperty);
      const pointer = pointerTo(instancePath, key);
      const known = Object.keys(parent.properties ?? {});
      const where = instancePath === '' ? `a ${file}` : pathOf(instancePath);
      const message = `Unknown key "${key}" in ${where}.`;
      const range = keyRange(parsed, pointer);
      const fix = nameFix(key, freeNames(known, error.data), range);
      return {
        problem: { code: 'UNKNOWN_KEY', range, message, hint: keyHint(key, known), ...fix },
        unsound: [pointer],
      };
    }
    case 'required': {
      const key = String(params.missingProperty);
      const where = instancePath === '' ? `The ${file}` : pathOf(instancePath);
      const message = `${where} has no "${key}".`;
      const hint = missingHint(key, instancePath, parent);
      // What a step lacks in `with` makes the step wrong, but not what the others read from it.
      const unsound = isParameter(instancePath) || key === 'with' || instancePath === '' ? [] : [instancePath];
      return {
        problem: { code: 'MISSING_KEY', range: place.key ?? firstLine(place.value, parsed), message, hint },
        unsound,
      };
    }
    case 'false schema': {
      const key = lastKey(instancePath);
      const hint = isParameter(instancePath)
        ? error.schemaPath.includes('dependentSchemas/structure')
          ? 'The published networks of `structure` have depth, width, strides and activation of their own.'
          : 'The architecture comes with the weights of `init`.'
        : placeHint(key);
      const message = `"${key}" has no place in ${pathOf(parentPointer(instancePath))}.`;
      return {
        problem: { code: 'UNKNOWN_KEY', range: keyRange(parsed, instancePath), message, hint },
        unsound: [instancePath],
      };
    }
    case 'enum':
      if (lastKey(instancePath) === 'uses' && typeof error.data === 'string') {
        const kind = error.data;
        const message = `There is no step kind "${kind}".`;
        const kinds = (parent.enum ?? []).map(String);
        const hint = suggestion(kind, kinds, 'Step kinds');
        const fix = nameFix(kind, kinds, place.value);
        return {
          problem: { code: 'UNKNOWN_KIND', range: place.value, message, hint, ...fix },
          unsound: [instancePath],
        };
      }
      break;
  }
  const nearest = typeof error.data === 'string' ? nearestName(error.data, textsOf(parent)) : null;
  const hint = nearest === null ? {} : { hint: `Did you mean "${nearest}"?` };
  const range = place.value.end > place.value.start ? firstLine(place.value, parsed) : (place.key ?? place.value);
  const problem: Problem = {
    code: 'INVALID_VALUE',
    range,
    message: valueMessage(error),
    ...hint,
    ...valueFix(error, parsed),
  };
  return { problem, unsound: [propertyOf(instancePath, parsed)] };
}

/** For a word that is nearly one of the choices, and for a value that lacks quotes or has them. */
function valueFix(error: ErrorObject, parsed: ParsedSpec): Pick<Problem, 'fix'> {
  const { data, instancePath } = error;
  const range = parsed.places.get(instancePath)?.value;
  if (range === undefined) return {};
  const schema = error.parentSchema as Schema;
  const written = parsed.source.text.slice(range.start, range.end);
  const retyped = quotesFix(data, written, range, fixableTypes(schema, written));
  if (retyped.fix !== undefined || typeof data !== 'string') return retyped;
  return nameFix(data, textsOf(schema), range);
}

/** JSON types that the place takes; text only where these characters would be fine: 30 in quotes is no duration. */
function fixableTypes(schema: Schema, written: string): ReadonlySet<string> {
  const types = new Set(acceptedTypes(schema));
  const patterns = [schema, ...(schema.anyOf ?? [])].flatMap(({ pattern }) => pattern ?? []);
  const texts = textsOf(schema);
  const isFine = patterns.every((pattern) => isExpressionSchema({ pattern }) || new RegExp(pattern, 'u').test(written));
  if (!isFine || (texts.length > 0 && !texts.includes(written))) types.delete('string');
  return types;
}

/** Those names that the mapping does not have yet. */
function freeNames(names: readonly string[], mapping: unknown): string[] {
  return names.filter((name) => typeof mapping !== 'object' || mapping === null || !Object.hasOwn(mapping, name));
}

function nameFault(name: string, schema: Schema, pointer: string, parsed: ParsedSpec): Fault {
  const better = name.replace(/[^A-Za-z0-9_]+(.)?/g, (_, next: string | undefined) => (next ?? '').toUpperCase());
  const proposal = /^[a-zA-Z]/.test(better) ? better.charAt(0).toLowerCase() + better.slice(1) : '';
  const hint = proposal === '' || proposal === name ? {} : { hint: `Call it "${proposal}".` };
  const first = schema.pattern?.startsWith('^[A-Za-z]') === true ? 'a letter' : 'a small letter';
  const message = `"${name}" cannot be a name that expressions read; expected ${first}, then letters, digits and _.`;
  const range = keyRange(parsed, pointer);
  const problem: Problem = {
    code: 'INVALID_NAME',
    range,
    message,
    ...hint,
    ...renameFix(name, proposal, pointer, parsed),
  };
  return { problem, unsound: [] };
}

/** Only for a name that stands nowhere else: what reads it would have to change too. */
function renameFix(name: string, proposal: string, pointer: string, parsed: ParsedSpec): Pick<Problem, 'fix'> {
  const { text } = parsed.source;
  const isAlone = text.indexOf(name) === text.lastIndexOf(name);
  const isTaken = parsed.places.has(pointerTo(parentPointer(pointer), proposal));
  const isReadable = /^[a-z][A-Za-z0-9_]*$/.test(proposal) && !['in', 'true', 'false', 'null'].includes(proposal);
  if (!isAlone || isTaken || !isReadable) return {};
  return { fix: { title: `Call it "${proposal}"`, edits: [{ range: keyRange(parsed, pointer), text: proposal }] } };
}

/** `mine.confidence is 3; expected a number from 0 to 1.` */
function valueMessage(error: ErrorObject): string {
  const parent = error.parentSchema as Schema;
  const name = pathOf(error.instancePath);
  const subject = name === '' ? 'The file' : name;
  if (error.keyword === 'minProperties')
    return `${subject} is empty; expected at least ${String(error.params.limit)} entry.`;
  if (error.keyword === 'uniqueItems')
    return `${subject} names ${showValue(duplicateOf(error.data))} twice; expected ${describeSchema(parent)}.`;
  if (hasExpression(error.data)) return `${subject} has text around an expression; expected only the expression here.`;
  return `${subject} is ${showValue(error.data as PlainValue)}; expected ${describeSchema(parent)}.`;
}

function duplicateOf(data: unknown): PlainValue {
  const list = data as readonly PlainValue[];
  return list.find((item, i) => list.indexOf(item) < i) ?? null;
}

/** The words that an enum, also one among the branches of a union, accepts. */
function textsOf(schema: Schema): string[] {
  const own = (schema.enum ?? [schema.const]).filter((value) => typeof value === 'string');
  return [...own, ...(schema.anyOf ?? []).flatMap(textsOf)];
}

/** Where a key of a step belongs that is no key of this one. */
function placeHint(key: string): string {
  switch (key) {
    case 'forEach':
    case 'matrix':
      return 'A step has one of `repeat`, `matrix` and `forEach`; another goes into its `steps`.';
    case 'version':
    case 'inputs':
    case 'reuse':
    case 'heartbeat':
      return 'It belongs to `activity`, the step of another program.';
    case 'concurrency':
      return 'It bounds the legs of `matrix` and `forEach`; of a step of a kind it names a group, `{ group: NAME }`.';
    case 'outputs':
      return 'It says what a leg of `steps` with `matrix` or `forEach` gives; a round gives `next`, a step of a kind its own outputs.';
    case 'next':
      return 'It belongs to `repeat`; a leg of `matrix` or `forEach` gives `outputs`.';
    default:
      return 'A step has `uses`, `pipeline`, `activity` or `approve`, or else `steps` with `repeat`, `matrix` or `forEach`.';
  }
}

function keyHint(key: string, known: readonly string[]): string {
  return suggestion(key, known, 'Keys here');
}

function missingHint(key: string, pointer: string, parent: Schema): string {
  if (key === 'uses')
    return 'A step names its kind with `uses`, another file with `pipeline`, another program with `activity`, asks people with `approve`, or has `steps` of its own.';
  if (key === 'forEach') return 'A sub-graph says how often it runs: `repeat`, `matrix` or `forEach`.';
  const schema = parent.properties?.[key];
  const description = typeof schema === 'object' ? schema.description : undefined;
  if (description !== undefined) return description;
  return pointer === '' ? 'A pipeline has a name and steps.' : `Add "${key}".`;
}

function isParameter(pointer: string): boolean {
  return pointer.split('/').includes('with');
}

function lastKey(pointer: string): string {
  return keysOfPointer(pointer).at(-1) ?? '';
}

/** As people write it: `steps.errors.with.splits[0]`. */
export function pathOf(pointer: string): string {
  let path = '';
  for (const key of keysOfPointer(pointer)) path += /^\d+$/.test(key) ? `[${key}]` : path === '' ? key : `.${key}`;
  return path;
}

function parentPointer(pointer: string): string {
  return pointer.slice(0, pointer.lastIndexOf('/'));
}

/** An entry of a list cannot be left out without changing the others' places, so the list goes. */
function propertyOf(pointer: string, parsed: ParsedSpec): string {
  let property = pointer;
  while (
    parsed.places.get(property) !== undefined &&
    parsed.places.get(property)!.key === undefined &&
    property !== ''
  ) {
    property = parentPointer(property);
  }
  return property;
}

/** The place of a value; of its nearest ancestor where the value is none of the file's. */
function placeOf(parsed: ParsedSpec, pointer: string): NodePlace {
  for (let at = pointer; ; at = parentPointer(at)) {
    const place = parsed.places.get(at);
    if (place !== undefined) return place;
    if (at === '') return { value: { start: 0, end: 0 } };
  }
}

function keyRange(parsed: ParsedSpec, pointer: string): Range {
  const place = placeOf(parsed, pointer);
  return place.key ?? place.value;
}

/** A value may go on for pages; its first line is enough to find it. */
function firstLine(range: Range, parsed: ParsedSpec): Range {
  const lineEnd = parsed.source.text.slice(range.start, range.end).search(/[\r\n]/);
  return lineEnd === -1 ? range : { start: range.start, end: range.start + lineEnd };
}

function withoutPointers(value: PlainValue, unsound: ReadonlySet<string>, pointer: string): PlainValue {
  if (unsound.size === 0) return value;
  if (Array.isArray(value)) return value.map((item, i) => withoutPointers(item, unsound, pointerTo(pointer, i)));
  if (!isRecord(value)) return value;
  const sound = Object.entries(value).filter(([key]) => !unsound.has(pointerTo(pointer, key)));
  return Object.fromEntries(sound.map(([key, item]) => [key, withoutPointers(item, unsound, pointerTo(pointer, key))]));
}

function soundParams(params: PlainValue | undefined, broken: Set<string>): { readonly [name: string]: ParamSpec } {
  const sound: { [name: string]: ParamSpec } = {};
  for (const [name, param] of Object.entries(isRecord(params) ? params : {})) {
    if (isRecord(param) && typeof param.type === 'string') sound[name] = param as unknown as ParamSpec;
    else broken.add(pointerTo('/params', name));
  }
  return sound;
}

function stepsOf(
  value: PlainValue | undefined,
  key: 'steps' | 'finally' = 'steps',
): { readonly [id: string]: PlainValue } {
  const steps = isRecord(value) ? value[key] : undefined;
  return isRecord(steps) ? steps : {};
}

/** Every step that the file names is known to the others, even where nothing else of it is. */
function soundSteps(
  written: { readonly [id: string]: PlainValue },
  steps: PlainValue | undefined,
  pointer: string,
  broken: Set<string>,
): StepSpecs {
  const entries = Object.entries(written).map(([id, original]): [string, StepSpecs[string]] => {
    const at = pointerTo(pointer, id);
    const step = isRecord(steps) ? steps[id] : undefined;
    const often = isRecord(step) && (isRecord(step.repeat) || isRecord(step.matrix) || step.forEach !== undefined);
    if (often && (isRecord(step.steps) || isRecord(step.repeat))) {
      const inner = soundSteps(stepsOf(original), step.steps, pointerTo(at, 'steps'), broken);
      return [id, { ...step, steps: inner } as unknown as StepSpecs[string]];
    }
    if (isRecord(step) && (typeof step.uses === 'string' || typeof step.pipeline === 'string'))
      return [id, step as unknown as StepSpecs[string]];
    if (isRecord(step) && isRecord(step.approve)) return [id, { ...step, uses: 'approve' } as StepSpecs[string]];
    if (isRecord(step) && typeof step.activity === 'string') {
      return [id, { ...step, uses: 'activity' } as StepSpecs[string]];
    }
    broken.add(at);
    return [id, { uses: '' }];
  });
  return Object.fromEntries(entries);
}

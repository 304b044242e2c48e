/** Params of a pipeline: values of the command line by their types, defaults, ranges. */

import { describeSchema, orList, showValue } from '../spec/describe-schema.ts';
import type { Problem } from '../spec/diagnostic.ts';
import { durationForm, parseDurationMs } from '../spec/duration.ts';
import {
  anyType,
  booleanType,
  type ExpressionType,
  listType,
  numberType,
  stringType,
  typeName,
} from '../spec/expression-types.ts';
import { quotesFix } from '../spec/fixes.ts';
import { suggestion } from '../spec/suggest.ts';
import { artifactParamTypes, type NodePlace, type ParamSpec, pointerTo, type Range } from '../spec/types.ts';
import { type ArtifactRef, isArtifactRef, type Json } from './types.ts';

/** As the command line has them (`-p k=v`, always text), or as JSON. A param of type `path` takes the folder's digest. */
export type GivenParams = { readonly [name: string]: Json | ArtifactRef };

/** A folder that could not be digested; stands among the given params in the place of its reference. */
export interface UnreadablePath {
  readonly unreadable: string;
}

export interface ParamValues {
  /** Without those that are missing or wrong. */
  readonly values: { readonly [name: string]: Json };
  readonly problems: readonly Problem[];
}

export interface ParamDeclarations {
  readonly params: { readonly [name: string]: ParamSpec };
  readonly places: ReadonlyMap<string, NodePlace>;
  /** Of the file. */
  readonly text?: string;
}

/** The type of a param in expressions. */
export function paramType(param: ParamSpec): ExpressionType {
  switch (param.type) {
    case 'integer':
    case 'number':
      return numberType;
    case 'boolean':
      return booleanType;
    case 'list':
      return listType(anyType);
    case 'path':
      return { type: 'artifact', artifact: 'tree' };
    case 'string':
    case 'duration':
      return stringType;
    default:
      return { type: 'artifact', artifact: param.type };
  }
}

/** `required`: whether a param that has neither a value nor a default is a problem. */
export function readParams(
  declarations: ParamDeclarations,
  given: { readonly [name: string]: Json | UnreadablePath },
  required: boolean,
): ParamValues {
  const { params, places, text = '' } = declarations;
  const problems: Problem[] = [];
  const values: { [name: string]: Json } = {};
  const names = Object.keys(params);
  const section = places.get('/params')?.key ?? { start: 0, end: 0 };

  for (const name of Object.keys(given)) {
    // One whose declaration is wrong was reported there.
    if (Object.hasOwn(params, name) || places.has(pointerTo('/params', name))) continue;
    const message = `-p ${name}=${typeof given[name] === 'string' ? given[name] : '...'}: the pipeline has no param "${name}".`;
    problems.push({ code: 'UNKNOWN_PARAM', range: section, message, hint: suggestion(name, names, 'Params') });
  }
  for (const [name, param] of Object.entries(params)) {
    const pointer = pointerTo('/params', name);
    const nameRange = places.get(pointer)?.key ?? section;
    const fromCommand = Object.hasOwn(given, name);
    const value = fromCommand ? given[name]! : param.default;
    if (value === undefined || value === null) {
      if (!required) continue;
      const about = param.description === undefined ? '' : ` (${param.description})`;
      const message = `The param "${name}"${about} has no value and no default.`;
      const hint = isArtifactParam(param)
        ? 'Only a step of another pipeline can give it, which names this file with pipeline: and its params under with:.'
        : `Give it on the command line: -p ${name}=VALUE, where VALUE is ${expectedOf(param)}.`;
      problems.push({ code: 'MISSING_PARAM', range: nameRange, message, hint });
      continue;
    }
    const range: Range = fromCommand ? nameRange : (places.get(pointerTo(pointer, 'default'))?.value ?? nameRange);
    if (isUnreadable(value)) {
      const message = `The param "${name}" names a folder that cannot be read: ${value.unreadable}`;
      problems.push({ code: 'INVALID_PARAM', range, message, hint: `Give another folder: -p ${name}=PATH.` });
      continue;
    }
    const read = fromCommand && typeof value === 'string' ? readText(param, value) : readJson(param, value);
    if (read !== undefined && isAllowed(param, read)) {
      values[name] = read;
      continue;
    }
    // A folder of a default is digested before a run; while a file is only checked, its name is enough.
    if (param.type === 'path' && typeof value === 'string' && !required) continue;
    const origin = fromCommand
      ? `-p ${name}=${typeof value === 'string' ? value : showValue(value)}`
      : `The default ${showValue(value)}`;
    const message = `${origin}: expected ${expectedOf(param)}.`;
    const fix = fromCommand ? {} : quotesFix(value, text.slice(range.start, range.end), range, writtenTypes(param));
    problems.push({ code: 'INVALID_PARAM', range, message, ...fix });
  }
  return { values, problems };
}

/** How a default of the type is written, where it may only lack quotes or have some. */
function writtenTypes(param: ParamSpec): ReadonlySet<string> {
  if (param.enum !== undefined) return new Set();
  const written = { integer: 'number', number: 'number', boolean: 'boolean', string: 'string' } as const;
  return new Set(param.type in written ? [written[param.type as keyof typeof written]] : []);
}

function isUnreadable(value: Json | UnreadablePath): value is UnreadablePath {
  return typeof value === 'object' && value !== null && 'unreadable' in value && typeof value.unreadable === 'string';
}

/** Text of the command line by the param's type; undefined where it has no such meaning. */
function readText(param: ParamSpec, text: string): Json | undefined {
  switch (param.type) {
    case 'integer':
    case 'number':
      return text.trim() === '' ? undefined : readJson(param, Number(text));
    case 'boolean':
      return { true: true, false: false }[text.trim()];
    case 'list':
      return readList(text);
    default:
      return readJson(param, text);
  }
}

/** `a,b,c` or JSON. */
function readList(text: string): Json | undefined {
  if (!text.trim().startsWith('[')) {
    return text.trim() === '' ? [] : text.split(',').map((item) => scalarOf(item.trim()));
  }
  try {
    return readJson({ type: 'list' }, JSON.parse(text) as Json);
  } catch {
    return undefined;
  }
}

function scalarOf(text: string): Json {
  if (text === 'true' || text === 'false') return text === 'true';
  return text !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
}

function readJson(param: ParamSpec, value: Json): Json | undefined {
  switch (param.type) {
    case 'integer':
      return Number.isSafeInteger(value) ? value : undefined;
    case 'number':
      return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
    case 'boolean':
      return typeof value === 'boolean' ? value : undefined;
    case 'duration':
      return typeof value === 'string' && parseDurationMs(value) !== null ? value : undefined;
    case 'list':
      // Only plain entries: an object could look like an expression of the plan.
      return Array.isArray(value) && value.every((item) => item === null || typeof item !== 'object')
        ? value
        : undefined;
    case 'path':
      return isArtifactRef(value) && value.artifact === 'tree'
        ? { artifact: 'tree', digest: value.digest, bytes: value.bytes }
        : undefined;
    case 'string':
      return typeof value === 'string' ? value : undefined;
    default:
      return isArtifactRef(value) && value.artifact === param.type ? value : undefined;
  }
}

/** A value that another pipeline gives, or a default; undefined where the param does not allow it. */
export function paramValue(param: ParamSpec, value: Json): Json | undefined {
  const read = readJson(param, value);
  return read !== undefined && isAllowed(param, read) ? read : undefined;
}

function isArtifactParam(param: ParamSpec): boolean {
  return artifactParamTypes.some((type) => type === param.type);
}

function isAllowed(param: ParamSpec, value: Json): boolean {
  if (typeof value === 'number') {
    if (param.minimum !== undefined && value < param.minimum) return false;
    if (param.maximum !== undefined && value > param.maximum) return false;
  }
  return param.enum === undefined || param.enum.some((allowed) => allowed === value);
}

/** "a whole number from 0", "a duration such as 7d", "red or green". */
export function expectedOf(param: ParamSpec): string {
  if (param.enum !== undefined) return orList(param.enum.map(showValue));
  switch (param.type) {
    case 'path':
      return 'a folder';
    case 'duration':
      return durationForm;
    case 'list':
      return 'a list, such as a,b,c';
    case 'string':
      return 'text';
    case 'integer':
    case 'number':
    case 'boolean': {
      const { type, minimum, maximum } = param;
      return describeSchema({ type, minimum, maximum });
    }
    default:
      return typeName(paramType(param));
  }
}

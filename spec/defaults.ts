/** `defaults`: what steps of a kind have where they do not say it themselves, put in its place before anything is checked. */

import { kindSchema, stepKindNames } from './schemas.ts';
import { isRecord, type NodePlace, type ParsedSpec, type PlainValue, pointerTo } from './types.ts';

type Fields = { readonly [key: string]: PlainValue };

/** Keys of a step, in the order in which they are looked for; `with` is taken one parameter at a time. */
const policies = ['retry', 'timeout', 'onFailure', 'queue'] as const;

/** The file as if each step had written its defaults itself; their places stay where they were written. */
export function applyDefaults(parsed: ParsedSpec): ParsedSpec {
  const { value } = parsed;
  if (!isRecord(value) || !isRecord(value.defaults)) return parsed;
  const places = new Map(parsed.places);
  const inDefaults = [...parsed.places].filter(([pointer]) => pointer.startsWith('/defaults/'));
  const copyPlaces = (from: string, to: string) => {
    for (const [pointer, place] of inDefaults) {
      if (pointer === from || pointer.startsWith(`${from}/`)) places.set(to + pointer.slice(from.length), place);
    }
  };
  const filling: Filling = { defaults: value.defaults, places, copyPlaces };
  const filled: { [key: string]: PlainValue } = { ...value };
  for (const key of ['steps', 'finally']) {
    if (isRecord(value[key])) filled[key] = fillSteps(filling, value[key], `/${key}`);
  }
  return { ...parsed, value: filled, places };
}

interface Filling {
  readonly defaults: Fields;
  readonly places: Map<string, NodePlace>;
  copyPlaces(from: string, to: string): void;
}

function fillSteps(filling: Filling, steps: Fields, pointer: string): Fields {
  const entries = Object.entries(steps).map(([id, step]): [string, PlainValue] => {
    const at = pointerTo(pointer, id);
    if (!isRecord(step)) return [id, step];
    if (isRecord(step.steps)) {
      return [id, { ...step, steps: fillSteps(filling, step.steps, pointerTo(at, 'steps')) }];
    }
    return [id, typeof step.uses === 'string' ? fillStep(filling, step, step.uses, at) : step];
  });
  return Object.fromEntries(entries);
}

function fillStep({ defaults, places, copyPlaces }: Filling, step: Fields, kind: string, at: string): Fields {
  const filled: { [key: string]: PlainValue } = { ...step };
  const own = isRecord(defaults[kind]) ? defaults[kind] : {};
  for (const key of policies) {
    // What runs at the end of a run should not hold it, so `onFailure` of all steps is not meant there.
    if (step[key] !== undefined || (key === 'onFailure' && at.startsWith('/finally/'))) continue;
    const [from, value] =
      own[key] !== undefined
        ? [pointerTo('/defaults', kind, key), own[key]]
        : [pointerTo('/defaults', key), defaults[key]];
    if (value === undefined) continue;
    filled[key] = value;
    copyPlaces(from, pointerTo(at, key));
  }
  if (isRecord(own.with) && (step.with === undefined || isRecord(step.with))) {
    const given = step.with ?? {};
    const barred = barredBy(kind, given);
    const missing = Object.keys(own.with).filter((name) => given[name] === undefined && !barred.has(name));
    if (missing.length > 0) {
      const withPointer = pointerTo(at, 'with');
      const place = places.get(pointerTo('/defaults', kind, 'with'));
      if (place !== undefined && !places.has(withPointer)) places.set(withPointer, place);
      for (const name of missing) {
        copyPlaces(pointerTo('/defaults', kind, 'with', name), pointerTo(withPointer, name));
      }
      filled.with = { ...given, ...Object.fromEntries(missing.map((name) => [name, own.with![name as never]])) };
    }
  }
  return filled;
}

/** Parameters that others of the step rule out: the architecture, where weights bring it with them. */
function barredBy(kind: string, given: Fields): ReadonlySet<string> {
  if (!stepKindNames().includes(kind)) return new Set();
  const barred = Object.entries(kindSchema(kind).dependentSchemas ?? {})
    .filter(([name]) => given[name] !== undefined)
    .flatMap(([, { properties = {} }]) => Object.keys(properties).filter((key) => properties[key] === false));
  return new Set(barred);
}

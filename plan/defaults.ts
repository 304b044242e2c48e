/** Fills a step's parameters with the defaults of its schema, so that the plan says everything. */

import type { Schema } from '../spec/schemas.ts';
import { isRecord } from '../spec/types.ts';
import type { Json } from './types.ts';
import { expressionOf, textPartsOf } from './values.ts';

/** Expressions stay as they are; lists are taken whole. */
export function withDefaults(schema: Schema, value: Json): Json {
  if (!isRecord(value) || expressionOf(value) !== null || textPartsOf(value) !== null) return value;
  const shape = objectShape(schema, value);
  if (shape?.properties === undefined) return value;
  const filled: { [key: string]: Json } = { ...defaultsOf(shape, barredBy(shape, value)) };
  for (const name of Object.keys(value)) {
    const property = shape.properties[name];
    filled[name] = typeof property === 'object' ? withDefaults(property, value[name]!) : value[name]!;
  }
  return filled;
}

const filledShapes = new WeakMap<Schema, Map<string, { readonly [name: string]: Json }>>();

/** What an empty mapping becomes; made once, because copying it costs far less than filling it. */
function defaultsOf(shape: Schema, barred: ReadonlySet<string>): { readonly [name: string]: Json } {
  const known = filledShapes.get(shape) ?? new Map<string, { readonly [name: string]: Json }>();
  filledShapes.set(shape, known);
  const key = [...barred].join(' ');
  let filled = known.get(key);
  if (filled === undefined) {
    const entries = Object.entries(shape.properties ?? {}).flatMap(([name, property]): [string, Json][] => {
      const value = typeof property === 'object' && !barred.has(name) ? defaultOf(property) : undefined;
      return value === undefined ? [] : [[name, value]];
    });
    filled = Object.fromEntries(entries);
    known.set(key, filled);
  }
  return filled;
}

const defaults = new WeakMap<Schema, Json>();

/** What a property is where the file leaves it out, with its own defaults; one object for all steps. */
function defaultOf(property: Schema): Json | undefined {
  if (property.default === undefined) return undefined;
  let value = defaults.get(property);
  if (value === undefined) {
    value = withDefaults(property, property.default);
    defaults.set(property, value);
  }
  return value;
}

/** Of a union, the branch that an object with these keys means. */
function objectShape(schema: Schema, value: { readonly [key: string]: Json }): Schema | undefined {
  if (schema.anyOf === undefined) return schema.type === 'object' ? schema : undefined;
  const shapes = schema.anyOf.filter((branch) => branch.type === 'object');
  return shapes.find((shape) => Object.keys(value).every((key) => Object.hasOwn(shape.properties ?? {}, key)));
}

/** Properties that another one rules out: what weights bring with them has no default beside them. */
function barredBy(schema: Schema, value: { readonly [key: string]: Json }): ReadonlySet<string> {
  const barred = new Set<string>();
  for (const [name, dependent] of Object.entries(schema.dependentSchemas ?? {})) {
    if (!Object.hasOwn(value, name)) continue;
    for (const [key, property] of Object.entries(dependent.properties ?? {})) {
      if (property === false) barred.add(key);
    }
  }
  return barred;
}

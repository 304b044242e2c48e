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
  const filled: { [key: string]: Json } = { ...value };
  const barred = barredBy(shape, value);
  for (const [name, property] of propertiesOf(shape)) {
    if (barred.has(name)) continue;
    const own = Object.hasOwn(value, name) ? withDefaults(property, value[name]!) : defaultOf(property);
    if (own !== undefined) filled[name] = own;
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

const properties = new WeakMap<Schema, readonly (readonly [string, Schema])[]>();

/** Those with a schema, listed once for all steps. */
function propertiesOf(shape: Schema): readonly (readonly [string, Schema])[] {
  let list = properties.get(shape);
  if (list === undefined) {
    list = Object.entries(shape.properties ?? {}).filter(
      (entry): entry is [string, Schema] => typeof entry[1] !== 'boolean',
    );
    properties.set(shape, list);
  }
  return list;
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

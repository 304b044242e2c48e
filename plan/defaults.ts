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
  for (const [name, property] of Object.entries(shape.properties)) {
    if (typeof property === 'boolean' || barred.has(name)) continue;
    const own = Object.hasOwn(value, name) ? value[name] : property.default;
    if (own !== undefined) filled[name] = withDefaults(property, own);
  }
  return filled;
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

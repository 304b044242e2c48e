/** Types of values that a file writes out or that expressions in it give. */

import {
  anyType,
  booleanType,
  commonType,
  type ExpressionType,
  listType,
  nullType,
  numberType,
  stringType,
} from '../spec/expression-types.ts';
import { isRecord, type PlainValue, pointerTo } from '../spec/types.ts';
import { type Compiling, checkSlot, type Slot } from './slots.ts';
import { isArtifactRef, type Json } from './types.ts';

/** Types of the values of `carry`, `next` and `outputs`. */
export function typesOf(
  compiling: Compiling,
  values: { readonly [name: string]: PlainValue } | undefined,
  pointer: string,
  slots: ReadonlyMap<string, Slot>,
  names: ReadonlyMap<string, ExpressionType>,
  reader: string,
): Map<string, ExpressionType> {
  return new Map(
    Object.entries(values ?? {}).map(([name, value]) => [
      name,
      typeOf(compiling, value, pointerTo(pointer, name), slots, names, reader),
    ]),
  );
}

/** The type of one value, with its expressions checked. */
export function typeOf(
  compiling: Compiling,
  value: PlainValue,
  pointer: string,
  slots: ReadonlyMap<string, Slot>,
  names: ReadonlyMap<string, ExpressionType>,
  reader: string,
  allowed: { readonly secrets: boolean } = { secrets: false },
): ExpressionType {
  const slot = slots.get(pointer);
  if (slot !== undefined) return checkSlot(compiling, slot, names, reader, allowed);
  const inside = (item: PlainValue, key: string | number) =>
    typeOf(compiling, item, pointerTo(pointer, key), slots, names, reader, allowed);
  if (Array.isArray(value)) return listType(commonOf(value.map(inside)));
  if (!isRecord(value)) return typeOfJson(value);
  return recordOf(Object.entries(value).map(([key, item]) => [key, inside(item, key)]));
}

/** The type of a value that is known. */
export function typeOfJson(value: Json): ExpressionType {
  if (value === null) return nullType;
  if (typeof value === 'number') return numberType;
  if (typeof value === 'string') return stringType;
  if (typeof value === 'boolean') return booleanType;
  if (Array.isArray(value)) return listType(commonOf(value.map(typeOfJson)));
  if (isArtifactRef(value)) return { type: 'artifact', artifact: value.artifact };
  return recordOf(Object.entries(value).map(([key, item]) => [key, typeOfJson(item)]));
}

/** What covers all of them; any value where they have nothing in common. An object has every name that one of them has. */
export function commonOf(types: readonly ExpressionType[]): ExpressionType {
  return types.length === 0 ? anyType : types.reduce(commonOfTwo);
}

function commonOfTwo(a: ExpressionType, b: ExpressionType): ExpressionType {
  if (a.type !== 'record' || b.type !== 'record') return commonType(a, b) ?? anyType;
  const fields = new Map(a.fields);
  for (const [name, type] of b.fields) {
    const before = fields.get(name);
    fields.set(name, before === undefined ? type : commonOfTwo(before, type));
  }
  return { ...a, fields };
}

function recordOf(fields: readonly (readonly [string, ExpressionType])[]): ExpressionType {
  return { type: 'record', role: 'object', owner: 'the object', fields: new Map(fields) };
}

/** What a schema expects, in words, for messages. */

import { durationForm } from './duration.ts';
import type { Schema } from './schemas.ts';
import type { PlainValue } from './types.ts';

/** "a number from 0 to 1", "train, val or test", "a list of numbers"; the expression that is fine anywhere is left out. */
export function describeSchema(schema: Schema): string {
  if (schema.anyOf !== undefined) {
    const branches = schema.anyOf.filter((branch) => !isExpressionSchema(branch));
    if (branches.length > 0) return orList(branches.map(describeSchema));
    return 'an expression, such as ${{ steps.data.dataset }}';
  }
  if (isExpressionSchema(schema)) return 'an expression, such as ${{ steps.data.dataset }}';
  if (schema.const !== undefined) return showValue(schema.const);
  if (schema.enum !== undefined) return orList(schema.enum.map(showValue));
  const types = typeof schema.type === 'string' ? [schema.type] : (schema.type ?? []);
  if (types.length === 0) return 'another value';
  return orList(types.map((type) => describeType(type, schema)));
}

function describeType(type: string, schema: Schema): string {
  switch (type) {
    case 'integer':
      return `a whole number${rangeWords(schema)}`;
    case 'number':
      return `a number${rangeWords(schema)}`;
    case 'boolean':
      return 'true or false';
    case 'array': {
      const items = schema.items === undefined ? '' : ` of ${describeSchema(schema.items)}`;
      const least = (schema.minItems ?? 0) > 0 ? ` with at least ${schema.minItems} of them` : '';
      return `a list${items}${schema.uniqueItems === true ? ', each once' : ''}${least}`;
    }
    case 'object': {
      const names = Object.keys(schema.properties ?? {});
      return names.length === 0 ? 'a mapping' : `a mapping with ${names.join(', ')}`;
    }
    case 'string':
      if (schema.pattern?.includes('ms|s|m|h|d|w') === true) return durationForm;
      if (schema.pattern?.includes('ya?ml') === true) return 'the path of a YAML file, such as parts/fit.yaml';
      if (schema.pattern?.startsWith('^[A-Za-z]') === true)
        return 'a word of letters, digits, - and _ that begins with a letter';
      if (schema.pattern?.startsWith('^(?!workflows$)') === true)
        return 'the name of a queue, such as gpu (small letters, digits and -)';
      return (schema.minLength ?? 0) > 0 ? 'text that is not empty' : 'text';
    default:
      return type;
  }
}

function rangeWords(schema: Schema): string {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = schema;
  const words: string[] = [];
  if (minimum !== undefined) words.push(`from ${minimum}`);
  if (exclusiveMinimum !== undefined) words.push(`above ${exclusiveMinimum}`);
  if (maximum !== undefined) words.push(`to ${maximum}`);
  if (exclusiveMaximum !== undefined) words.push(`below ${exclusiveMaximum}`);
  if (multipleOf !== undefined) words.push(`in steps of ${multipleOf}`);
  return words.map((word) => ` ${word}`).join('');
}

/** The schema of an expression, whose place its pattern tells. */
export function isExpressionSchema(schema: Schema): boolean {
  return schema.pattern?.includes('\\$\\{\\{') === true;
}

/** A value as a person reads it in a message; long ones are cut. */
export function showValue(value: PlainValue | undefined): string {
  if (value === undefined || value === null) return 'empty';
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

export function orList(words: readonly string[]): string {
  const unique = [...new Set(words)];
  if (unique.length <= 1) return unique.join('');
  return `${unique.slice(0, -1).join(', ')} or ${unique.at(-1)}`;
}

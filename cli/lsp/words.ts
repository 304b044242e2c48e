/** What an editor shows of keys, values, step kinds and names, in Markdown. */

import { expressionType } from '../../plan/checks.ts';
import { stepKinds } from '../../plan/step-kinds.ts';
import { describeSchema, showValue } from '../../spec/describe-schema.ts';
import { type ExpressionType, typeName } from '../../spec/expression-types.ts';
import { kindSchema, type Schema } from '../../spec/schemas.ts';
import type { ParamSpec } from '../../spec/types.ts';

/** A key: what it is for, what it takes, what it is without it. */
export function keyWords(name: string, schemas: readonly Schema[]): string {
  const description = schemas.find((schema) => schema.description !== undefined)?.description;
  const takes = [...new Set(schemas.filter(saysType).map(describeSchema))].filter(
    (words) => !/^an expression/.test(words),
  );
  const fallback = schemas.find((schema) => schema.default !== undefined)?.default;
  const lines = [`**${name}**`, description ?? ''];
  if (takes.length > 0 && takes.length < 4) lines.push(`Takes ${takes.join(', or ')}.`);
  if (fallback !== undefined) lines.push(`Default: \`${showValue(fallback)}\`.`);
  return lines.filter((line) => line !== '').join('\n\n');
}

function saysType(schema: Schema): boolean {
  return schema.type !== undefined || schema.enum !== undefined || schema.const !== undefined;
}

/** A step kind: what it does, what it takes from other steps, what it gives. */
export function kindWords(kind: string): string {
  const row = stepKinds.get(kind);
  const { description } = kindSchema(kind);
  const list = (types: NonNullable<typeof row>['inputs']) =>
    Object.entries(types)
      .map(([name, type]) => `- \`${name}\`: ${typeName(expressionType(type))}`)
      .join('\n');
  const parts = [`**${kind}**`, description ?? ''];
  if (row !== undefined && Object.keys(row.inputs).length > 0) parts.push(`Inputs:\n\n${list(row.inputs)}`);
  if (row !== undefined) parts.push(`Outputs:\n\n${list(row.outputs)}`);
  return parts.filter((part) => part !== '').join('\n\n');
}

export function paramWords(name: string, param: ParamSpec): string {
  const fallback = param.default === undefined ? 'must be given' : `default ${showValue(param.default)}`;
  return [`**params.${name}**: ${param.type}, ${fallback}`, param.description ?? ''].filter(Boolean).join('\n\n');
}

/** `steps.data.dataset`: a dataset. */
export function typeWords(source: string, type: ExpressionType): string {
  const fields = type.type === 'record' ? [...type.fields].slice(0, 30) : [];
  const list = fields.map(([name, field]) => `- \`${name}\`: ${typeName(field)}`).join('\n');
  return [`\`${source}\`: ${typeName(type)}`, list].filter(Boolean).join('\n\n');
}

const functionWords: { readonly [name: string]: string } = {
  has: 'has(a.b): whether it is there',
  size: 'size(list): number of entries',
  int: 'int(x): cuts off the fraction',
  double: 'double(text): a number',
  string: 'string(x): text',
  min: 'min(a, b, …) or min(list)',
  max: 'max(a, b, …) or max(list)',
  map: '.map(x, f): f of each entry; .map(x, condition, f) of some',
  filter: '.filter(x, condition): those for which it holds',
  all: '.all(x, condition): whether it holds for all',
  exists: '.exists(x, condition): whether it holds for one or more',
  exists_one: '.exists_one(x, condition): whether it holds for exactly one',
  contains: '.contains(text)',
  startsWith: '.startsWith(text)',
  endsWith: '.endsWith(text)',
  join: '.join(text): one text, with that between',
};

export const wordsOfFunction = (name: string): string => functionWords[name] ?? name;

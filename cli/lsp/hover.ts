/** Hover: what a key is for, what a step kind takes and gives, and the type of what an expression reads. */

import type { ExpressionType } from '../../spec/expression-types.ts';
import type { Range } from '../../spec/types.ts';
import { type Analysis, pointerAt, readAt } from './analysis.ts';
import { schemasAt } from './schema-at.ts';
import { targetOf, valueAt } from './scopes.ts';
import { keyWords, kindWords, paramWords, typeWords } from './words.ts';

export interface HoverWords {
  readonly markdown: string;
  readonly range: Range;
}

export function hoverAt(analysis: Analysis, offset: number): HoverWords | null {
  const { parsed } = analysis.pipeline;
  if (parsed === undefined) return null;
  return expressionHover(analysis, offset) ?? keyHover(analysis, offset);
}

function expressionHover(analysis: Analysis, offset: number): HoverWords | null {
  const read = readAt(analysis, offset);
  const { parsed, params } = analysis.pipeline;
  if (read === null || parsed === undefined) return null;
  const { start } = read.range;
  // Up to the end of the name under the pointer: `steps.data` on `data`, all of it on the last name.
  const behind = /^\w*/.exec(analysis.text.slice(offset))![0].length;
  const end = Math.min(offset + behind, read.range.end);
  const source = analysis.text.slice(start, end);
  const words = source.split(/\.|\["|'\]|"\]|\['/).filter((word) => word !== '');
  const param = read.root === 'params' ? params[read.name] : undefined;
  if (param !== undefined && words.length === 2) {
    return { markdown: paramWords(read.name, param), range: { start, end } };
  }
  let type: ExpressionType | undefined = analysis.compilation.names?.get(read.pointer)?.get(words[0] ?? '');
  for (const word of words.slice(1)) type = type?.type === 'record' ? type.fields.get(word) : undefined;
  if (type === undefined) return null;
  const target = words.length > 1 ? targetOf(parsed, read) : null;
  const uses = target === null ? undefined : valueAt(parsed.value, `${target}/uses`);
  const kind = typeof uses === 'string' && words.length === 2 ? `\n\nA step of the kind ${uses}.` : '';
  return { markdown: `${typeWords(source, type)}${kind}`, range: { start, end } };
}

function keyHover(analysis: Analysis, offset: number): HoverWords | null {
  const place = pointerAt(analysis, offset);
  const { parsed, params } = analysis.pipeline;
  if (place === null || parsed === undefined) return null;
  const { pointer, onKey } = place;
  const ranges = parsed.places.get(pointer)!;
  const name = pointer.slice(pointer.lastIndexOf('/') + 1);
  if (!onKey) {
    const value = valueAt(parsed.value, pointer);
    if (name !== 'uses' || typeof value !== 'string') return null;
    return { markdown: kindWords(value), range: ranges.value };
  }
  const param = /^\/params\/[^/]+$/.test(pointer) ? params[name] : undefined;
  if (param !== undefined) return { markdown: paramWords(name, param), range: ranges.key! };
  const schemas = schemasAt(parsed.value, pointer);
  if (!schemas.some((schema) => schema.description !== undefined)) return null;
  return { markdown: keyWords(name, schemas), range: ranges.key! };
}

/** Completion: what may stand at the cursor. The text is completed to YAML that can be read, with a mark at the cursor. */

import { type CompletionItem, CompletionItemKind, type CompletionList, InsertTextFormat } from 'vscode-languageserver';
import { elementMethods, functionArguments, methodArguments } from '../../spec/expression.ts';
import type { ExpressionNames } from '../../spec/expression-check.ts';
import { type ExpressionType, typeName } from '../../spec/expression-types.ts';
import type { Schema } from '../../spec/schemas.ts';
import { isRecord, type ParsedSpec, type PlainValue } from '../../spec/types.ts';
import { type Analysis, analyse } from './analysis.ts';
import { schemasAt } from './schema-at.ts';
import { valueAt } from './scopes.ts';
import { keyWords, kindWords, paramWords, wordsOfFunction } from './words.ts';

/** No name of a pipeline looks like this. */
const mark = 'cursor__mark';

export async function complete(file: string, text: string, offset: number): Promise<CompletionList> {
  for (const marked of markedTexts(text, offset)) {
    const analysis = await analyse(file, marked);
    const { parsed } = analysis.pipeline;
    const place = parsed === undefined ? null : findMark(parsed.value, '');
    if (parsed === undefined || place === null) continue;
    const items = itemsAt(analysis, parsed, place);
    if (items.length > 0) return { isIncomplete: false, items };
  }
  return { isIncomplete: false, items: [] };
}

/** The text with the mark at the cursor, completed in those ways that unfinished lines need; the likeliest first. */
function* markedTexts(text: string, offset: number): Generator<string> {
  const lineStart = Math.max(text.lastIndexOf('\n', offset - 1), text.lastIndexOf('\r', offset - 1)) + 1;
  const rest = text.slice(offset);
  const lineEnd = rest.search(/[\r\n]/);
  const after = lineEnd === -1 ? rest : rest.slice(0, lineEnd);
  const tail = lineEnd === -1 ? '' : rest.slice(lineEnd);
  const before = text.slice(lineStart, offset);
  const word = /^[\w-]*/.exec(after)![0];
  const head = text.slice(0, offset);
  const behind = after.slice(word.length);
  const isKey = /^\s*:(\s|$)/.test(behind);
  const with_ = (insert: string, remaining = behind) => `${head}${mark}${insert}${remaining}${tail}`;
  // A key that is being typed, alone in its line or in { }.
  if (/^\s*(- +)?[\w-]*$/.test(before) && !isKey && behind.trim() === '') yield with_(': null', '');
  if (/[{,]\s*[\w-]*$/.test(before) && !isKey && !isInExpression(before)) yield with_(': null');
  yield with_('');
  // What the line has opened and not closed.
  yield with_(closing(before), '');
  yield with_(closing(before + behind));
}

function isInExpression(before: string): boolean {
  return before.lastIndexOf('${{') > before.lastIndexOf('}}');
}

/** Ends of the expression, the quotes and the brackets that a line leaves open. */
function closing(line: string): string {
  let quote = '';
  const open: string[] = [];
  for (let at = 0; at < line.length; at++) {
    const character = line[at]!;
    if (quote !== '') {
      if (character === quote) quote = '';
    } else if (character === '"' || character === "'") quote = character;
    else if (character === '{' && line.slice(at - 1, at + 2) !== '${{' && line.slice(at - 2, at + 1) !== '${{')
      open.push('}');
    else if (character === '[') open.push(']');
    else if (character === '}' || character === ']') open.pop();
  }
  return `${isInExpression(line) ? ' }}' : ''}${quote}${open.reverse().join('')}`;
}

interface MarkPlace {
  /** Of the mapping for a key, else of the value. */
  readonly pointer: string;
  /** The key, or the text of the value, up to the mark. */
  readonly before: string;
  readonly isKey: boolean;
}

function findMark(value: PlainValue, pointer: string): MarkPlace | null {
  if (typeof value === 'string') {
    const at = value.indexOf(mark);
    return at === -1 ? null : { pointer, before: value.slice(0, at), isKey: false };
  }
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) {
      const found = findMark(item, `${pointer}/${i}`);
      if (found !== null) return found;
    }
  } else if (isRecord(value)) {
    for (const [key, item] of Object.entries(value)) {
      if (key.includes(mark)) return { pointer, before: key.slice(0, key.indexOf(mark)), isKey: true };
      const found = findMark(item, `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`);
      if (found !== null) return found;
    }
  }
  return null;
}

function itemsAt(analysis: Analysis, parsed: ParsedSpec, { pointer, before, isKey }: MarkPlace): CompletionItem[] {
  if (isKey) return keyItems(parsed, pointer);
  const isCondition = /\/(when|until|metric|forEach)$/.test(pointer);
  if (isInExpression(before)) return expressionItems(analysis, pointer, before.slice(before.lastIndexOf('${{') + 3));
  if (isCondition && !before.includes('${{')) return expressionItems(analysis, pointer, before);
  if (/\/needs\/\d+$/.test(pointer)) return needItems(parsed, pointer);
  return valueItems(parsed, pointer);
}

function keyItems(parsed: ParsedSpec, pointer: string): CompletionItem[] {
  const value = valueAt(parsed.value, pointer);
  const present = new Set(isRecord(value) ? Object.keys(value) : []);
  const properties = new Map<string, Schema[]>();
  for (const schema of schemasAt(parsed.value, pointer)) {
    for (const [name, property] of Object.entries(schema.properties ?? {})) {
      if (property === false) continue;
      const known = properties.get(name) ?? [];
      properties.set(name, typeof property === 'object' ? [...known, property] : known);
    }
  }
  const required = new Set(schemasAt(parsed.value, pointer).flatMap((schema) => schema.required ?? []));
  return [...properties]
    .filter(([name, schemas]) => !present.has(name) && schemas.length > 0)
    .map(([name]) => ({
      label: name,
      kind: CompletionItemKind.Property,
      documentation: { kind: 'markdown', value: keyWords(name, schemasAt(parsed.value, `${pointer}/${name}`)) },
      // Those that must be there come first.
      sortText: `${required.has(name) ? 0 : 1}${name}`,
      insertText: `${name}: `,
    }));
}

function valueItems(parsed: ParsedSpec, pointer: string): CompletionItem[] {
  const schemas = schemasAt(parsed.value, pointer);
  const values = new Map<string, CompletionItem>();
  for (const schema of schemas) {
    const choices =
      schema.const !== undefined ? [schema.const] : (schema.enum ?? (schema.type === 'boolean' ? [true, false] : []));
    for (const choice of choices) {
      const label = typeof choice === 'string' ? choice : JSON.stringify(choice);
      const isKind = /\/uses$/.test(pointer);
      const documentation = isKind ? { kind: 'markdown' as const, value: kindWords(label) } : undefined;
      values.set(label, { label, kind: CompletionItemKind.EnumMember, documentation });
    }
  }
  if (schemas.some((schema) => schema.pattern?.includes('\\$\\{\\{') === true)) {
    values.set('${{ }}', {
      label: '${{ }}',
      kind: CompletionItemKind.Snippet,
      insertTextFormat: InsertTextFormat.Snippet,
      insertText: '"\\${{ $0 }}"',
      detail: 'an expression',
      sortText: '~',
    });
  }
  return [...values.values()];
}

function needItems(parsed: ParsedSpec, pointer: string): CompletionItem[] {
  const own = /^(.*)\/([^/]+)\/needs\/\d+$/.exec(pointer)!;
  const steps = valueAt(parsed.value, own[1]!);
  const ids = isRecord(steps) ? Object.keys(steps).filter((id) => id !== own[2]) : [];
  return ids.map((label) => ({ label, kind: CompletionItemKind.Reference }));
}

function expressionItems(analysis: Analysis, pointer: string, before: string): CompletionItem[] {
  const names = namesAt(analysis, pointer);
  const chain = /(?:[A-Za-z_]\w*(?:\[[^[\]]*\])?\.)*$/.exec(before)![0];
  // A dot behind something that is no chain of names: its type is not known here.
  if (chain === '') return /\.$/.test(before) ? methodItems() : rootItems(names);
  let type: ExpressionType | undefined;
  for (const [i, part] of chain.slice(0, -1).split('.').entries()) {
    const name = part.replace(/\[.*$/, '');
    type = i === 0 ? (names.get(name) ?? elementType(before, name, names)) : fieldOf(type, name);
    if (part.includes('[') && type?.type === 'list') type = type.item;
  }
  if (type === undefined) return [];
  if (type.type === 'list' || type.type === 'string') return methodItems(type.type);
  if (type.type !== 'record') return [];
  const params = analysis.pipeline.params;
  return [...type.fields].map(([label, field]) => {
    const param = chain === 'params.' ? params[label] : undefined;
    return {
      label,
      kind: CompletionItemKind.Field,
      detail: typeName(field),
      documentation: param === undefined ? undefined : { kind: 'markdown', value: paramWords(label, param) },
    };
  });
}

function fieldOf(type: ExpressionType | undefined, name: string): ExpressionType | undefined {
  return type?.type === 'record' ? type.fields.get(name) : undefined;
}

/** The `r` of `steps.rounds.all.map(r, …`: an entry of that list. */
function elementType(before: string, name: string, names: ExpressionNames): ExpressionType | undefined {
  const call = [...before.matchAll(/([A-Za-z_][\w.]*)\.(\w+)\(\s*([A-Za-z_]\w*)\s*,/g)]
    .reverse()
    .find((match) => match[3] === name && elementMethods.has(match[2]!));
  if (call === undefined) return undefined;
  let type: ExpressionType | undefined;
  for (const [i, part] of call[1]!.split('.').entries()) type = i === 0 ? names.get(part) : fieldOf(type, part);
  return type?.type === 'list' ? type.item : undefined;
}

/** The names that an expression at the pointer sees; where it could not be checked, those of its nearest neighbour. */
function namesAt({ compilation }: Analysis, pointer: string): ExpressionNames {
  const all = compilation.names ?? new Map<string, ExpressionNames>();
  for (let at = pointer; at !== ''; at = at.slice(0, at.lastIndexOf('/'))) {
    const own = all.get(at);
    if (own !== undefined) return own;
    for (const [other, names] of all) if (other.startsWith(`${at}/`)) return names;
  }
  return new Map();
}

function rootItems(names: ExpressionNames): CompletionItem[] {
  const roots = [...names].map(([label, type]) => ({
    label,
    kind: CompletionItemKind.Variable,
    detail: typeName(type),
  }));
  const functions = Object.keys(functionArguments).map((label) => ({
    label,
    kind: CompletionItemKind.Function,
    detail: wordsOfFunction(label),
    insertText: `${label}($0)`,
    insertTextFormat: InsertTextFormat.Snippet,
  }));
  return [...roots, ...functions];
}

const textMethods: ReadonlySet<string> = new Set(['contains', 'startsWith', 'endsWith', 'size']);

function methodItems(type?: 'list' | 'string'): CompletionItem[] {
  const fits = (name: string) => type === undefined || name === 'size' || (type === 'string') === textMethods.has(name);
  return Object.keys(methodArguments)
    .filter(fits)
    .map((label) => ({
      label,
      kind: CompletionItemKind.Method,
      detail: wordsOfFunction(label),
      insertText: elementMethods.has(label) ? `${label}(x, $0)` : label === 'size' ? 'size()' : `${label}($0)`,
      insertTextFormat: InsertTextFormat.Snippet,
    }));
}

/** YAML text to a plain value, with the place of every node; bad text gives problems, never an exception. */

import {
  type Alias,
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  type ParsedNode,
  Parser,
  type YAMLError,
  type YAMLMap,
} from 'yaml';
import type { Problem } from './diagnostic.ts';
import { type NodePlace, type ParsedSpec, type PlainValue, pointerTo, type Range, type SourceText } from './types.ts';
import { describeYamlError } from './yaml-errors.ts';

/** A pipeline that people wrote is far below; a file beyond is a mistake or an attack. */
const charactersMax = 8_000_000;
/** Values after aliases are expanded: ten lines of aliases of aliases can stand for billions. */
const valuesMax = 500_000;
const depthMax = 100;
/** Levels of the text's own syntax, in which a value may stand a little deeper. The YAML library composes them by recursion. */
const syntaxDepthMax = 3 * depthMax;

export interface ParseOutcome {
  /** Absent where there are problems. */
  readonly spec?: ParsedSpec;
  readonly problems: readonly Problem[];
}

export function parseYaml(source: SourceText): ParseOutcome {
  const { text } = source;
  if (text.length > charactersMax) {
    const message = `The file has ${text.length} characters; at most ${charactersMax} are read.`;
    return { problems: [{ code: 'YAML_LIMIT', range: { start: 0, end: 0 }, message }] };
  }
  const composed = composeDocuments(text);
  if ('deepAt' in composed) return { problems: [tooDeep({ start: composed.deepAt, end: composed.deepAt })] };
  const { documents } = composed;
  if (documents.length === 0) {
    const hint = 'Expected a pipeline: a mapping with "name" and "steps".';
    return { problems: [{ code: 'YAML_SYNTAX', range: { start: 0, end: 0 }, message: 'The file is empty.', hint }] };
  }
  const [document, second] = documents;
  const problems = firstOfEachLine([...document!.errors, ...document!.warnings], text);
  if (second !== undefined) {
    const start = second.range?.[0] ?? 0;
    problems.push({
      code: 'YAML_SYNTAX',
      range: { start, end: start },
      message: 'A second YAML document begins here; a pipeline file holds one.',
      hint: 'Put the second pipeline into a file of its own.',
    });
  }
  if (problems.length > 0) return { problems };

  // Before anything is expanded: ten lines could keep the reading below busy for minutes. Without an alias nothing is.
  const bomb = text.includes('*') ? firstTooMany(document!.contents) : undefined;
  if (bomb !== undefined) return { problems: [tooMany(rangeOf(bomb) ?? { start: 0, end: 0 })] };
  const places = new Map<string, NodePlace>();
  const reading: Reading = { text, places, problems, anchors: new Map(), targets: new Map(), values: 0 };
  const value = readNode(reading, document!.contents, '', { start: 0, end: 0 }, undefined, []);
  return problems.length > 0 ? { problems } : { spec: { source, value, places }, problems };
}

/** Apart from what follows, so that the memory of a large file's tokens is free again. */
function composeDocuments(text: string): { readonly documents: readonly Composed[] } | { readonly deepAt: number } {
  const { tokens, deepAt } = readTokens(text);
  if (deepAt !== undefined) return { deepAt };
  // Duplicate keys are found below, in linear time and with both places.
  return { documents: [...new Composer({ uniqueKeys: false, stringKeys: false }).compose(tokens)] };
}

type Composed = Document.Parsed<ParsedNode, true> | Document.Parsed<ParsedNode, false>;

/**
 * The text's own syntax, or where it nests too deep. Asked while reading and before the rest: the library closes nested
 * blocks and composes them by recursion, and a stack that overflows inside of a regular expression ends the whole process.
 */
function readTokens(text: string): { readonly tokens: readonly CST.Token[]; readonly deepAt?: number } {
  const parser = new Parser();
  const tokens: CST.Token[] = [];
  let deepest = 0;
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) tokens.push(token);
    if (parser.stack.length > deepest) deepest = parser.stack.length;
    if (deepest > syntaxDepthMax) return { tokens, deepAt: Math.min(parser.offset, text.length) };
  }
  for (const token of parser.end()) tokens.push(token);
  // A token may wrap another one once it is read, so what was open at a time is not yet the depth of the whole.
  return { tokens, deepAt: deepest > depthMax ? firstTooDeep(tokens)?.offset : undefined };
}

/** The first token below more than `syntaxDepthMax` others, by a walk that uses no stack. */
function firstTooDeep(tokens: readonly CST.Token[]): CST.Token | undefined {
  let level: readonly CST.Token[] = tokens;
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > syntaxDepthMax) return level[0];
    const below: CST.Token[] = [];
    for (const token of level) {
      if (token.type === 'document') {
        if (token.value !== undefined) below.push(token.value);
      } else if ('items' in token) {
        for (const { key, value } of token.items) {
          if (key != null) below.push(key);
          if (value !== undefined) below.push(value);
        }
      }
    }
    level = below;
  }
  return undefined;
}

/** The alias with which the file comes to stand for too many values. Each node is counted once, however often it is meant. */
function firstTooMany(root: unknown): unknown {
  const anchors = new Map<string, unknown>();
  const sizes = new Map<unknown, number>();
  let first: unknown;
  const sizeOf = (node: unknown): number => {
    if (isAlias(node)) {
      // One that stands inside of what it names has no size yet; the reading tells of it.
      const size = sizes.get(anchors.get(node.source)) ?? 1;
      if (size > valuesMax) first ??= node;
      return size;
    }
    const anchor = (node as { anchor?: string } | null)?.anchor;
    if (anchor !== undefined) anchors.set(anchor, node);
    let size = 1;
    const children = isMap(node) ? node.items.map(({ value }) => value) : isSeq(node) ? node.items : [];
    for (const child of children) {
      size += sizeOf(child);
      if (size > valuesMax) first ??= child;
    }
    if (anchor !== undefined) sizes.set(node, size);
    return size;
  };
  sizeOf(root);
  return first;
}

interface Reading {
  readonly text: string;
  readonly places: Map<string, NodePlace>;
  readonly problems: Problem[];
  readonly anchors: Map<string, unknown>;
  readonly targets: Map<Alias, unknown>;
  values: number;
}

/** `outer`: the nodes around this one, a stack that all share; an alias of one of them would never end. */
function readNode(
  reading: Reading,
  node: unknown,
  pointer: string,
  fallback: Range,
  key: Range | undefined,
  outer: unknown[],
): PlainValue {
  const range = rangeOf(node) ?? fallback;
  const { problems, places } = reading;
  if (++reading.values > valuesMax) {
    if (reading.values === valuesMax + 1) problems.push(tooMany(range));
    return null;
  }
  if (outer.length > depthMax) {
    problems.push({ code: 'YAML_LIMIT', range, message: `Values are nested more than ${depthMax} deep here.` });
    return null;
  }
  if (isAlias(node)) {
    const target = resolveAlias(reading, node);
    if (target === undefined || outer.includes(target)) {
      const message =
        target === undefined
          ? `The alias *${node.source} names no anchor above it.`
          : `The alias *${node.source} stands inside the value that it names.`;
      problems.push({ code: 'YAML_SYNTAX', range, message });
      return null;
    }
    // Errors in the expanded value are shown where that value was written, not at each alias.
    return readNode(reading, target, pointer, range, key, outer);
  }
  if (!places.has(pointer)) places.set(pointer, key === undefined ? { value: range } : { key, value: range });
  const anchor = (node as { anchor?: string } | null)?.anchor;
  if (anchor !== undefined && reading.anchors.get(anchor) !== node) reading.anchors.set(anchor, node);
  outer.push(node);
  const value = readContent(reading, node, pointer, range, outer);
  outer.pop();
  return value;
}

/** The value of a node that is no alias. `outer` ends with it. */
function readContent(reading: Reading, node: unknown, pointer: string, range: Range, outer: unknown[]): PlainValue {
  const { problems } = reading;
  if (isMap(node)) {
    const value: { [key: string]: PlainValue } = {};
    let firsts: ReadonlyMap<string, Range> | undefined;
    const merged: YAMLMap[] = [];
    for (const pair of node.items) {
      if (isMergeKey(pair.key)) {
        merged.push(...mergedMaps(reading, pair.value, rangeOf(pair.key) ?? range, outer));
        continue;
      }
      const keyRange = rangeOf(pair.key) ?? range;
      if (!isScalar(pair.key) || typeof pair.key.value === 'object') {
        const message = 'A key must be a plain word.';
        problems.push({ code: 'YAML_SYNTAX', range: keyRange, message });
        continue;
      }
      const name = String(pair.key.value);
      if (Object.hasOwn(value, name)) {
        firsts ??= firstKeys(node);
        const first = firsts.get(name) ?? range;
        const line = lineNumber(reading.text, first.start);
        const message = `The key "${name}" is there twice; the first is in line ${line}.`;
        const hint = 'Remove or rename one of them.';
        const related = [{ range: first, message: `The first "${name}".` }];
        problems.push({ code: 'DUPLICATE_KEY', range: keyRange, message, hint, related });
        continue;
      }
      addEntry(value, name, readNode(reading, pair.value, pointerTo(pointer, name), keyRange, keyRange, outer));
    }
    // Keys that are written here win over merged ones, and earlier merged ones over later.
    for (const map of merged) readMerged(reading, map, pointer, value, outer);
    return value;
  }
  if (isSeq(node)) {
    return node.items.map((item, i) => readNode(reading, item, pointerTo(pointer, i), range, undefined, outer));
  }
  if (isScalar(node)) return readScalar(reading, node.value, range);
  return null;
}

/** Places of the keys; of equal ones, of the first. */
function firstKeys(map: YAMLMap): Map<string, Range> {
  const firsts = new Map<string, Range>();
  for (const { key } of map.items) {
    const range = rangeOf(key);
    if (isScalar(key) && range !== undefined && !firsts.has(String(key.value))) firsts.set(String(key.value), range);
  }
  return firsts;
}

function addEntry(value: { [key: string]: PlainValue }, name: string, entry: PlainValue): void {
  // By assignment this one would change the object instead of entering it.
  if (name === '__proto__') Object.defineProperty(value, name, { value: entry, enumerable: true, writable: true });
  else value[name] = entry;
}

/** https://yaml.org/type/merge.html. In quotes `<<` is a key like any other. */
function isMergeKey(key: unknown): boolean {
  return isScalar(key) && key.value === '<<' && (key.type === undefined || key.type === 'PLAIN');
}

/** The mappings that a merge key names. */
function mergedMaps(reading: Reading, node: unknown, fallback: Range, outer: readonly unknown[]): YAMLMap[] {
  const { problems } = reading;
  const range = rangeOf(node) ?? fallback;
  if (isSeq(node)) return node.items.flatMap((item) => mergedMaps(reading, item, range, outer));
  const target = isAlias(node) ? resolveAlias(reading, node) : node;
  if (isAlias(node) && (target === undefined || outer.includes(target))) {
    const message =
      target === undefined
        ? `The alias *${node.source} names no anchor above it.`
        : `The alias *${node.source} stands inside the value that it names.`;
    problems.push({ code: 'YAML_SYNTAX', range, message });
    return [];
  }
  if (isMap(target)) return [target];
  const message = '"<<" merges a mapping, or a list of mappings; here is something else.';
  problems.push({ code: 'YAML_SYNTAX', range, message, hint: 'Name an anchor of a mapping, such as <<: *common.' });
  return [];
}

/** Adds the entries of a merged mapping that are not there yet; a merged mapping may merge others itself. */
function readMerged(
  reading: Reading,
  map: YAMLMap,
  pointer: string,
  value: { [key: string]: PlainValue },
  outer: unknown[],
): void {
  if (outer.length > depthMax) {
    reading.problems.push(tooDeep(rangeOf(map) ?? { start: 0, end: 0 }));
    return;
  }
  outer.push(map);
  const further: YAMLMap[] = [];
  for (const pair of map.items) {
    const range = rangeOf(pair.key) ?? { start: 0, end: 0 };
    if (isMergeKey(pair.key)) {
      further.push(...mergedMaps(reading, pair.value, range, outer));
      continue;
    }
    // What is wrong with the mapping itself was reported where it stands.
    if (!isScalar(pair.key) || typeof pair.key.value === 'object') continue;
    const name = String(pair.key.value);
    if (Object.hasOwn(value, name)) continue;
    addEntry(value, name, readNode(reading, pair.value, pointerTo(pointer, name), range, range, outer));
  }
  for (const next of further) readMerged(reading, next, pointer, value, outer);
  outer.pop();
}

function readScalar(reading: Reading, value: unknown, range: Range): PlainValue {
  if (value === undefined || value === null) return null;
  if (typeof value === 'boolean' || typeof value === 'string') return value;
  if (typeof value === 'number') {
    if (Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value))) return value;
    const written = reading.text.slice(range.start, range.end);
    const message = `${written} is not a number that can be kept exactly; expected a finite one, integers up to 9007199254740991.`;
    reading.problems.push({ code: 'INVALID_VALUE', range, message });
    return 0;
  }
  const message = 'Expected a plain value: text, a number, true, false or null.';
  reading.problems.push({ code: 'YAML_SYNTAX', range, message });
  return null;
}

/** The anchored node that an alias means: the last one of that name before it. */
function resolveAlias(reading: Reading, alias: Alias): unknown {
  // Kept at the first reading, in file order: an expanded value is read again when later anchors may have its names.
  if (!reading.targets.has(alias)) reading.targets.set(alias, reading.anchors.get(alias.source));
  return reading.targets.get(alias);
}

function rangeOf(node: unknown): Range | undefined {
  const range = (node as { range?: readonly [number, number, number] | null } | null)?.range;
  return range == null ? undefined : { start: range[0], end: range[1] };
}

function lineNumber(text: string, offset: number): number {
  return text.slice(0, offset).split(/\r\n|\r|\n/).length;
}

function syntaxProblem(error: YAMLError, text: string): Problem {
  // At the end of a file the library points behind its last character.
  const start = Math.min(error.pos[0], text.length);
  const range = { start, end: Math.min(Math.max(error.pos[1], start), text.length) };
  return { code: 'YAML_SYNTAX', range, ...describeYamlError(error, text) };
}

function tooMany(range: Range): Problem {
  const message = `The file stands for more than ${valuesMax} values once its aliases are expanded.`;
  return { code: 'YAML_LIMIT', range, message };
}

function tooDeep(range: Range): Problem {
  return { code: 'YAML_LIMIT', range, message: 'Values are nested too deep to be read.' };
}

/** One error often makes the parser find more in the same line, which say nothing new. */
function firstOfEachLine(errors: readonly YAMLError[], text: string): Problem[] {
  const lines = new Set<number>();
  return errors
    .filter((error) => {
      const line = lineNumber(text, error.pos[0]);
      return !lines.has(line) && lines.add(line);
    })
    .map((error) => syntaxProblem(error, text));
}

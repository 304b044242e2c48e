/**
 * CEL expressions: parsed by cel-js, evaluated here, because a number shall mean what a person means: 5 / 2 is 2.5,
 * 1 == 1.0, and a computed number may index a list. Runs in workflows, so it is deterministic and has no imports but the
 * parser.
 */

import { type ASTNode, Environment, ParseError } from '@marcbachmann/cel-js';
import { type SyntaxRemedy, syntaxRemedy } from './expression-slips.ts';
import type { PlainValue, Range } from './types.ts';

/**
 * An expression that people write has a line or two. `steps` counts nodes and the values that they copy or compare, so
 * that doubling a list thirty times costs what it is worth; `values` and `textLength` bound what it gives, which enters a
 * history.
 */
export const expressionLimits = {
  characters: 10_000,
  nodes: 2_000,
  depth: 60,
  /** Of signs and sums in a row, which are a tree as deep as they are long; what walks it uses the stack. */
  rowDepth: 400,
  listElements: 500,
  steps: 500_000,
  values: 100_000,
  textLength: 100_000,
};

export type { ASTNode };

/** What an expression sees. */
export interface ExpressionScope {
  /** Outputs by step id; a skipped step is absent. A `repeat` step has `{ all: [...], last }`, `last` only after a round. */
  readonly steps: PlainValue;
  readonly carry?: PlainValue;
  readonly round?: PlainValue;
  /** In a leg of a `matrix`; of a `forEach`, the entry of its list and which one it is, from 1. */
  readonly matrix?: PlainValue;
  readonly item?: PlainValue;
  readonly index?: PlainValue;
  /** Only in `finally`: how the run ended. */
  readonly run?: PlainValue;
  /** Only while compiling: the plan has their values in their places. */
  readonly params?: PlainValue;
}

/** The expression cannot be read or computed. Offsets are those of its source. */
export class ExpressionError extends Error {
  readonly code: 'EXPRESSION_SYNTAX' | 'EXPRESSION_LIMIT' | 'EXPRESSION_TYPE';
  readonly range: Range;
  /** What to write, where it can be told. */
  readonly remedy: SyntaxRemedy | undefined;
  constructor(code: ExpressionError['code'], message: string, range: Range, remedy?: SyntaxRemedy) {
    super(message);
    this.remedy = remedy;
    this.name = 'ExpressionError';
    this.code = code;
    this.range = range;
  }
}

/**
 * The expression reads what is not there: an output of a step that was skipped, or `last` of a loop without a round.
 * A step that reads it is skipped too; `has(...)` asks before.
 */
export class AbsentValueError extends Error {
  /** As written: `steps.review.dataset`. */
  readonly reference: string;
  constructor(reference: string) {
    super(`${reference} is not there.`);
    this.name = 'AbsentValueError';
    this.reference = reference;
  }
}

const parser = new Environment({
  unlistedVariablesAreDyn: true,
  limits: {
    maxAstNodes: expressionLimits.nodes,
    maxDepth: expressionLimits.depth,
    maxListElements: expressionLimits.listElements,
    maxMapEntries: expressionLimits.listElements,
  },
});

/** Throws `ExpressionError`. */
export function parseExpression(source: string): ASTNode {
  if (source.length > expressionLimits.characters) {
    const message = `The expression has ${source.length} characters; at most ${expressionLimits.characters} are read.`;
    throw new ExpressionError('EXPRESSION_LIMIT', message, { start: 0, end: source.length });
  }
  let node: ASTNode;
  try {
    node = parser.parse(source).ast;
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    const limit = error.code === 'limit_exceeded';
    const range = error.range ?? { start: 0, end: source.length };
    const message = limit ? 'The expression is too large or nested too deep.' : readableSyntaxError(error, source);
    if (limit) throw new ExpressionError('EXPRESSION_LIMIT', message, range);
    throw new ExpressionError('EXPRESSION_SYNTAX', message, range, syntaxRemedy(source, range));
  }
  // Every level takes a character at least.
  if (source.length > expressionLimits.rowDepth && isDeeperThan(node, expressionLimits.rowDepth)) {
    const message = 'The expression is too large or nested too deep.';
    throw new ExpressionError('EXPRESSION_LIMIT', message, node.range);
  }
  return node;
}

/** By levels, so without the stack that a deep tree would exceed. */
function isDeeperThan(root: ASTNode, most: number): boolean {
  let level = [root];
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > most) return true;
    level = level.flatMap((node) => ([node.args].flat(2) as unknown[]).filter(isNode));
  }
  return false;
}

const isNode = (value: unknown): value is ASTNode => typeof value === 'object' && value !== null && 'op' in value;

const tokenWords: { readonly [token: string]: string } = {
  EOF: 'the end',
  IDENTIFIER: 'a name',
  LPAREN: '"("',
  RPAREN: '")"',
  LBRACKET: '"["',
  RBRACKET: '"]"',
  LBRACE: '"{"',
  RBRACE: '"}"',
  COLON: '":"',
  COMMA: '","',
  DOT: '"."',
};

function readableSyntaxError(error: ParseError, source: string): string {
  if (source.trim() === '') return 'The expression is empty.';
  if (/^Unexpected token: EOF/.test(error.summary)) return 'The expression ends too early.';
  if (error.range !== undefined && /^Unexpected character/.test(error.summary)) {
    return `Unexpected "${source.slice(error.range.start, error.range.end)}".`;
  }
  const summary = error.summary.replace(/\b[A-Z]{2,}\b/g, (token) => tokenWords[token] ?? token.toLowerCase());
  return /[.!?]$/.test(summary) ? summary : `${summary}.`;
}

/** The value of a CEL expression, as plain JSON. Throws `ExpressionError` or `AbsentValueError`. */
export function evaluateExpression(source: string, scope: ExpressionScope): PlainValue {
  const node = parseExpression(source);
  const known = new Map<string, PlainValue | undefined>(Object.entries(scope));
  const variables: Variables = { find: (name) => known.get(name) };
  const result = evaluateNode(node, variables, { source, steps: 0 });
  if (countValues(result, expressionLimits.values) > expressionLimits.values) {
    const message = `The expression gives more than ${expressionLimits.values} values.`;
    throw new ExpressionError('EXPRESSION_LIMIT', message, node.range);
  }
  return result;
}

/** Values in a tree, those that stand in it several times counted as often; stops above `most`. */
function countValues(value: PlainValue, most: number): number {
  if (value === null || typeof value !== 'object') return 1;
  let count = 1;
  for (const item of Object.values(value)) {
    count += countValues(item as PlainValue, most - count);
    if (count > most) break;
  }
  return count;
}

/** The expression and how much of it has been computed. */
interface Evaluation {
  readonly source: string;
  steps: number;
}

interface Variables {
  readonly find: (name: string) => PlainValue | undefined;
}

type BinaryNode = { readonly args: readonly [ASTNode, ASTNode] };

function evaluateNode(node: ASTNode, variables: Variables, evaluation: Evaluation): PlainValue {
  spend(evaluation, 1, node);
  const evaluate = (child: ASTNode) => evaluateNode(child, variables, evaluation);
  const truth = (child: ASTNode) => truthOf(evaluate(child), child);
  switch (node.op) {
    case 'value':
      return literalValue(node);
    case 'id': {
      const value = variables.find(node.args);
      if (value === undefined) throw typeError(`There is no "${node.args}" here.`, node);
      return value;
    }
    case '.':
      return fieldOf(evaluate(node.args[0]), node.args[1], node, evaluation);
    case '[]':
      return elementOf(evaluate(node.args[0]), evaluate(node.args[1]), node, evaluation);
    case '!_':
      return !truth(node.args);
    case '-_':
      return -numberOf(evaluate(node.args), node.args);
    case '&&':
      return truth(node.args[0]) && truth(node.args[1]);
    case '||':
      return truth(node.args[0]) || truth(node.args[1]);
    case '?:':
      return truth(node.args[0]) ? evaluate(node.args[1]) : evaluate(node.args[2]);
    case 'list':
      return node.args.map(evaluate);
    case 'map':
      return Object.fromEntries(node.args.map(([key, value]) => [stringOf(evaluate(key), key), evaluate(value)]));
    case 'call':
      return callFunction(node, variables, evaluation);
    case 'rcall':
      return callMethod(node, variables, evaluation);
    case '==':
      return sameValue(evaluate(node.args[0]), evaluate(node.args[1]), node, evaluation);
    case '!=':
      return !sameValue(evaluate(node.args[0]), evaluate(node.args[1]), node, evaluation);
    case 'in':
      return isIn(evaluate(node.args[0]), evaluate(node.args[1]), node, evaluation);
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
      return arithmetic(
        node.op,
        evaluate(node.args[0]),
        evaluate(node.args[1]),
        node as BinaryNode & ASTNode,
        evaluation,
      );
    case '<':
    case '<=':
    case '>':
    case '>=':
      return compare(node.op, evaluate(node.args[0]), evaluate(node.args[1]), node as BinaryNode & ASTNode);
    default:
      throw typeError(`"${node.op}" is not part of the language of expressions.`, node);
  }
}

/** Counts work; an expression must end at once, because the workflow that computes it must answer. */
function spend(evaluation: Evaluation, steps: number, node: ASTNode): void {
  evaluation.steps += steps;
  if (evaluation.steps <= expressionLimits.steps) return;
  const message = `The expression takes more than ${expressionLimits.steps} steps.`;
  throw new ExpressionError('EXPRESSION_LIMIT', message, node.range);
}

function boundedText(text: string, node: ASTNode): string {
  if (text.length <= expressionLimits.textLength) return text;
  const message = `The text has more than ${expressionLimits.textLength} characters.`;
  throw new ExpressionError('EXPRESSION_LIMIT', message, node.range);
}

function typeError(message: string, node: ASTNode): ExpressionError {
  return new ExpressionError('EXPRESSION_TYPE', message, node.range);
}

/** CEL's integers come as bigints; here every number is a double. */
export function literalValue(node: ASTNode & { readonly op: 'value' }): PlainValue {
  const value = node.args;
  if (value === null || typeof value === 'string' || typeof value === 'boolean' || typeof value === 'number') {
    return value;
  }
  if (typeof value === 'bigint') return wholeNumber(value, node);
  if (value instanceof Uint8Array) throw typeError('Bytes are not part of the language of expressions.', node);
  return wholeNumber(value.valueOf(), node);
}

/** A double holds whole numbers exactly up to here; beyond, another number would be computed with than was written. */
function wholeNumber(value: bigint, node: ASTNode): number {
  if (Number.isSafeInteger(Number(value))) return Number(value);
  throw typeError(`${value} cannot be kept exactly; whole numbers go up to ${Number.MAX_SAFE_INTEGER}.`, node);
}

function fieldOf(value: PlainValue, name: string, node: ASTNode, evaluation: Evaluation): PlainValue {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw typeError(`${kindOf(value)} has no "${name}".`, node);
  }
  const field = Object.hasOwn(value, name) ? (value as { readonly [key: string]: PlainValue })[name] : undefined;
  if (field === undefined) throw new AbsentValueError(evaluation.source.slice(node.range.start, node.range.end));
  return field;
}

function elementOf(value: PlainValue, index: PlainValue, node: ASTNode, evaluation: Evaluation): PlainValue {
  if (!Array.isArray(value)) return fieldOf(value, stringOf(index, node), node, evaluation);
  const i = numberOf(index, node);
  if (!Number.isInteger(i) || i < 0 || i >= value.length) {
    throw typeError(`Index ${i} of a list with ${value.length} entries; the first has index 0.`, node);
  }
  return value[i];
}

function arithmetic(
  op: '+' | '-' | '*' | '/' | '%',
  left: PlainValue,
  right: PlainValue,
  node: BinaryNode & ASTNode,
  evaluation: Evaluation,
): PlainValue {
  if (op === '+' && typeof left === 'string' && typeof right === 'string') return boundedText(left + right, node);
  if (op === '+' && Array.isArray(left) && Array.isArray(right)) {
    spend(evaluation, left.length + right.length, node);
    return [...left, ...right];
  }
  if (typeof left !== 'number' || typeof right !== 'number') {
    throw typeError(`${kindOf(left)} ${op} ${kindOf(right).toLowerCase()} has no meaning.`, node);
  }
  if ((op === '/' || op === '%') && right === 0) throw typeError('Division by zero.', node);
  const results = { '+': left + right, '-': left - right, '*': left * right, '/': left / right, '%': left % right };
  const result = results[op];
  if (!Number.isFinite(result)) throw typeError(`${left} ${op} ${right} is too large for a number.`, node);
  return result;
}

function compare(op: '<' | '<=' | '>' | '>=', left: PlainValue, right: PlainValue, node: ASTNode): boolean {
  const comparable = typeof left === typeof right && (typeof left === 'number' || typeof left === 'string');
  if (!comparable) throw typeError(`${kindOf(left)} ${op} ${kindOf(right).toLowerCase()} has no meaning.`, node);
  // By UTF-16 units, so that the order is the same in every locale.
  if (op === '<') return left! < right!;
  if (op === '<=') return left! <= right!;
  if (op === '>') return left! > right!;
  return left! >= right!;
}

function isIn(value: PlainValue, container: PlainValue, node: ASTNode, evaluation: Evaluation): boolean {
  if (Array.isArray(container)) return container.some((item) => sameValue(item, value, node, evaluation));
  if (container !== null && typeof container === 'object') return Object.hasOwn(container, stringOf(value, node));
  throw typeError(`"in" looks into a list or an object; here is ${kindOf(container).toLowerCase()}.`, node);
}

function sameValue(left: PlainValue, right: PlainValue, node: ASTNode, evaluation: Evaluation): boolean {
  spend(evaluation, 1, node);
  if (left === right) return true;
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false;
  if (Array.isArray(left) || Array.isArray(right)) {
    if (!Array.isArray(left) || !Array.isArray(right) || left.length !== right.length) return false;
    return left.every((item, i) => sameValue(item, right[i], node, evaluation));
  }
  const a = left as { readonly [key: string]: PlainValue };
  const b = right as { readonly [key: string]: PlainValue };
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && sameValue(a[key]!, b[key]!, node, evaluation));
}

/** Functions and methods, with the numbers of arguments they take. */
export const functionArguments: { readonly [name: string]: readonly [number, number] } = {
  has: [1, 1],
  size: [1, 1],
  int: [1, 1],
  double: [1, 1],
  string: [1, 1],
  min: [1, 32],
  max: [1, 32],
};
export const methodArguments: { readonly [name: string]: readonly [number, number] } = {
  size: [0, 0],
  map: [2, 3],
  filter: [2, 2],
  all: [2, 2],
  exists: [2, 2],
  exists_one: [2, 2],
  contains: [1, 1],
  startsWith: [1, 1],
  endsWith: [1, 1],
  join: [0, 1],
};
/** Names by which people look for a clock or for chance, and why there is none. */
export const refusedNames: { readonly [name: string]: 'clock' | 'chance' } = Object.fromEntries([
  ...[
    'now',
    'today',
    'date',
    'time',
    'timestamp',
    'clock',
    'datetime',
    'getFullYear',
    'getMonth',
    'getDate',
    'getHours',
  ].map((name) => [name, 'clock']),
  ...['random', 'rand', 'randint', 'uuid', 'uuidv4', 'shuffle', 'sample', 'choice'].map((name) => [name, 'chance']),
]);

/** Methods whose first argument names each element of the list for the others. */
export const elementMethods: ReadonlySet<string> = new Set(['map', 'filter', 'all', 'exists', 'exists_one']);

function callFunction(
  node: ASTNode & { readonly op: 'call' },
  variables: Variables,
  evaluation: Evaluation,
): PlainValue {
  const [name, args] = node.args;
  const evaluate = (child: ASTNode) => evaluateNode(child, variables, evaluation);
  const first = args[0];
  if (!Object.hasOwn(functionArguments, name) || first === undefined)
    throw typeError(`There is no function "${name}".`, node);
  switch (name) {
    case 'has':
      return isThere(() => evaluate(first));
    case 'size':
      return sizeOf(evaluate(first), node);
    case 'string':
      return textOf(evaluate(first), node);
    case 'min':
    case 'max': {
      const value = evaluate(first);
      const list = args.length === 1 && Array.isArray(value) ? value : args.map(evaluate);
      if (list.length === 0) throw typeError(`${name} of an empty list.`, node);
      const numbers = list.map((item: PlainValue) => numberOf(item, node));
      return name === 'min' ? Math.min(...numbers) : Math.max(...numbers);
    }
    default: {
      const value = evaluate(first);
      // Decimal alone: in hexadecimal, or with blanks, a person would not see the same number.
      const isDecimal = typeof value === 'string' && /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(value);
      const number = isDecimal ? Number(value) : value;
      const finite = numberOf(number, node);
      return name === 'int' ? Math.trunc(finite) : finite;
    }
  }
}

function isThere(read: () => PlainValue): boolean {
  try {
    return read() !== null;
  } catch (error) {
    if (error instanceof AbsentValueError) return false;
    throw error;
  }
}

function callMethod(
  node: ASTNode & { readonly op: 'rcall' },
  variables: Variables,
  evaluation: Evaluation,
): PlainValue {
  const [name, receiver, args] = node.args;
  if (!Object.hasOwn(methodArguments, name)) throw typeError(`There is no method "${name}".`, node);
  const value = evaluateNode(receiver, variables, evaluation);
  if (elementMethods.has(name)) return callElementMethod(node, value, variables, evaluation);
  const argument = args[0] === undefined ? '' : evaluateNode(args[0], variables, evaluation);
  switch (name) {
    case 'size':
      return sizeOf(value, node);
    case 'contains':
      return stringOf(value, node).includes(stringOf(argument, node));
    case 'startsWith':
      return stringOf(value, node).startsWith(stringOf(argument, node));
    case 'endsWith':
      return stringOf(value, node).endsWith(stringOf(argument, node));
    default: {
      const list = listOf(value, node);
      spend(evaluation, list.length, node);
      const between = stringOf(argument, node);
      let text = '';
      for (const [i, item] of list.entries())
        text = boundedText(text + (i === 0 ? '' : between) + textOf(item, node), node);
      return text;
    }
  }
}

/** `list.map(x, f(x))` and its like; `map(x, condition, f(x))` filters first. */
function callElementMethod(
  node: ASTNode & { readonly op: 'rcall' },
  value: PlainValue,
  variables: Variables,
  evaluation: Evaluation,
): PlainValue {
  const [name, , args] = node.args;
  const element = args[0]!;
  if (element.op !== 'id') throw typeError(`The first argument of ${name} is a name for each element.`, element);
  const list = listOf(value, node);
  const compute = (body: ASTNode, item: PlainValue) => {
    const inner: Variables = { find: (wanted) => (wanted === element.args ? item : variables.find(wanted)) };
    return evaluateNode(body, inner, evaluation);
  };
  const holds = (item: PlainValue) => truthOf(compute(args[1]!, item), args[1]!);
  switch (name) {
    case 'map':
      return args.length === 3
        ? list.filter(holds).map((item) => compute(args[2]!, item))
        : list.map((item) => compute(args[1]!, item));
    case 'filter':
      return list.filter(holds);
    case 'all':
      return list.every(holds);
    case 'exists':
      return list.some(holds);
    default:
      return list.filter(holds).length === 1;
  }
}

function sizeOf(value: PlainValue, node: ASTNode): number {
  if (typeof value === 'string' || Array.isArray(value)) return value.length;
  if (value !== null && typeof value === 'object') return Object.keys(value).length;
  throw typeError(`${kindOf(value)} has no size.`, node);
}

function truthOf(value: PlainValue, node: ASTNode): boolean {
  if (typeof value === 'boolean') return value;
  throw typeError(`Expected true or false, but this is ${kindOf(value).toLowerCase()}.`, node);
}

function numberOf(value: PlainValue, node: ASTNode): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw typeError(`Expected a number, but this is ${kindOf(value).toLowerCase()}.`, node);
}

function stringOf(value: PlainValue, node: ASTNode): string {
  if (typeof value === 'string') return value;
  throw typeError(`Expected text, but this is ${kindOf(value).toLowerCase()}.`, node);
}

function listOf(value: PlainValue, node: ASTNode): readonly PlainValue[] {
  if (Array.isArray(value)) return value;
  throw typeError(`Expected a list, but this is ${kindOf(value).toLowerCase()}.`, node);
}

function textOf(value: PlainValue, node: ASTNode): string {
  const text = textOfValue(value);
  if (text === null) throw typeError(`${kindOf(value)} cannot be written as text.`, node);
  return text;
}

/** How a plain value is written inside text; null for lists and objects. */
export function textOfValue(value: PlainValue): string | null {
  if (value === null) return '';
  return typeof value === 'object' ? null : String(value);
}

function kindOf(value: PlainValue): string {
  if (value === null) return 'Null';
  if (Array.isArray(value)) return 'A list';
  if (typeof value === 'object') return 'An object';
  return { string: 'Text', number: 'A number', boolean: 'A truth value' }[typeof value as 'string'];
}

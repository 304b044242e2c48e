/** Type check of an expression before the run: all of its problems, each at its own place. */

import type { DiagnosticCode, Problem } from './diagnostic.ts';
import {
  type ASTNode,
  ExpressionError,
  elementMethods,
  functionArguments,
  literalValue,
  methodArguments,
  refusedNames,
} from './expression.ts';
import {
  anyType,
  booleanType,
  commonType,
  type ExpressionType,
  listType,
  nullType,
  numberType,
  type RecordType,
  stringType,
  typeName,
} from './expression-types.ts';
import { nameFix } from './fixes.ts';
import { isWorthLooking, suggestion } from './suggest.ts';
import type { Range } from './types.ts';

/** Types by name: `steps`, `params`, `carry`, `round`, as far as they are known where the expression stands. */
export type ExpressionNames = ReadonlyMap<string, ExpressionType>;

export interface ExpressionCheck {
  readonly type: ExpressionType;
  /** Ranges are offsets in the source of the expression. */
  readonly problems: readonly Problem[];
}

/**
 * `reader`: what the expression belongs to, for messages: `"mine"` or `rounds.until`. `problemsBefore`: how many the file
 * has already; after very many, names are no longer guessed.
 */
export function checkExpression(
  node: ASTNode,
  source: string,
  names: ExpressionNames,
  reader: string,
  problemsBefore = 0,
): ExpressionCheck {
  const checker = new Checker(source, reader, problemsBefore);
  return { type: checker.check(node, names), problems: checker.problems };
}

class Checker {
  readonly problems: Problem[] = [];
  readonly #source: string;
  readonly #reader: string;
  readonly #problemsBefore: number;

  constructor(source: string, reader: string, problemsBefore: number) {
    this.#source = source;
    this.#reader = reader;
    this.#problemsBefore = problemsBefore;
  }

  #suggestion(name: string, known: readonly string[], label: string): string {
    return suggestion(name, known, label, isWorthLooking(this.#problemsBefore, known.length));
  }

  /** `chain`: the whole of a `a.b.c` of which the node is a part, for messages. */
  check(node: ASTNode, names: ExpressionNames, chain?: ASTNode): ExpressionType {
    switch (node.op) {
      case 'value':
        return this.#literal(node);
      case 'id':
        return this.#name(node, names);
      case '.': {
        const whole = chain ?? node;
        return this.#field(this.check(node.args[0], names, whole), node.args[1], node, whole);
      }
      case '[]': {
        const left = this.check(node.args[0], names, chain ?? node);
        const index = node.args[1];
        if (left.type === 'list') {
          this.#expect(index, names, numberType, 'A list is indexed by a number, from 0');
          return left.item;
        }
        if (left.type === 'record' && index.op === 'value' && typeof index.args === 'string') {
          return this.#field(left, index.args, index, chain ?? node);
        }
        this.check(index, names);
        if (left.type === 'record') {
          return this.#problem(index, 'EXPRESSION_TYPE', 'A name must be known before the run: a constant text.');
        }
        if (left.type !== 'any')
          this.#problem(node, 'EXPRESSION_TYPE', `${sentenceCase(typeName(left))} has no entries.`);
        return anyType;
      }
      case '!_':
        this.#expect(node.args, names, booleanType, '"!" takes true or false');
        return booleanType;
      case '-_':
        this.#expect(node.args, names, numberType, '"-" takes a number');
        return numberType;
      case '&&':
      case '||':
        for (const side of node.args) this.#expect(side, names, booleanType, `"${node.op}" takes true or false`);
        return booleanType;
      case '?:': {
        this.#expect(node.args[0], names, booleanType, 'The condition before "?" is true or false');
        const yes = this.check(node.args[1], names);
        const no = this.check(node.args[2], names);
        return this.#common(yes, no, node.args[2], (a, b) => `One branch gives ${a}, the other ${b}.`);
      }
      case 'list': {
        let item: ExpressionType = anyType;
        for (const child of node.args) {
          item = this.#common(item, this.check(child, names), child, (a, b) => `This list mixes ${a} and ${b}.`);
        }
        return listType(item);
      }
      case 'map': {
        const fields = new Map<string, ExpressionType>();
        for (const [key, value] of node.args) {
          const type = this.check(value, names);
          if (key.op === 'value' && typeof key.args === 'string') fields.set(key.args, type);
          else this.#problem(key, 'EXPRESSION_TYPE', 'A key must be a constant text, in quotes.');
        }
        return { type: 'record', role: 'object', owner: 'the object', fields };
      }
      case '==':
      case '!=': {
        const left = this.check(node.args[0], names);
        const right = this.check(node.args[1], names);
        this.#common(left, right, node, (a, b) => `${sentenceCase(a)} never equals ${b}.`);
        return booleanType;
      }
      case 'in': {
        const value = this.check(node.args[0], names);
        const container = this.check(node.args[1], names);
        if (container.type === 'list') {
          this.#common(container.item, value, node, (a, b) => `A list of such values (${a}) never holds ${b}.`);
        } else if (container.type === 'record' && value.type !== 'string' && value.type !== 'any') {
          this.#problem(node.args[0], 'EXPRESSION_TYPE', `An object has texts as keys; here is ${typeName(value)}.`);
        } else if (container.type !== 'any' && container.type !== 'record') {
          this.#problem(node.args[1], 'EXPRESSION_TYPE', `"in" looks into a list; here is ${typeName(container)}.`);
        }
        return booleanType;
      }
      case '+': {
        const left = this.check(node.args[0], names);
        const right = this.check(node.args[1], names);
        if (left.type === 'any' && right.type === 'any') return anyType;
        const whole = commonType(left, right);
        if (whole !== null && ['number', 'string', 'list'].includes(whole.type)) return whole;
        const message = `"+" adds two numbers, joins two texts or two lists; here are ${typeName(left)} and ${typeName(right)}.`;
        return this.#problem(node, 'EXPRESSION_TYPE', message);
      }
      case '-':
      case '*':
      case '/':
      case '%':
        for (const side of node.args) this.#expect(side, names, numberType, `"${node.op}" takes numbers`);
        return numberType;
      case '<':
      case '<=':
      case '>':
      case '>=': {
        const left = this.check(node.args[0], names);
        const right = this.check(node.args[1], names);
        const whole = commonType(left, right);
        if (whole === null || !['number', 'string', 'any'].includes(whole.type)) {
          const message = `"${node.op}" compares two numbers or two texts; here are ${typeName(left)} and ${typeName(right)}.`;
          this.#problem(node, 'EXPRESSION_TYPE', message);
        }
        return booleanType;
      }
      case 'call':
        return this.#call(node, names);
      case 'rcall':
        return this.#method(node, names);
      default:
        return this.#problem(node, 'EXPRESSION_SYNTAX', `"${node.op}" is not part of the language of expressions.`);
    }
  }

  #problem(
    node: { readonly range: { readonly start: number; readonly end: number } },
    code: DiagnosticCode,
    message: string,
    hint?: string,
    fix?: Pick<Problem, 'fix'>,
  ): ExpressionType {
    this.problems.push({ code, range: node.range, message, ...(hint === undefined ? {} : { hint }), ...fix });
    return anyType;
  }

  /** For a mistyped name at this place, which has quotes in `steps["name"]`. */
  #nameFix(name: string, known: readonly string[], { range }: { readonly range: Range }): Pick<Problem, 'fix'> {
    if (!isWorthLooking(this.#problemsBefore, known.length)) return {};
    const first = this.#source[range.start] ?? '';
    return nameFix(name, known, range, first === '"' || first === "'" ? first : '');
  }

  #literal(node: ASTNode & { readonly op: 'value' }): ExpressionType {
    try {
      const value = literalValue(node);
      if (value === null) return nullType;
      if (typeof value === 'number') return numberType;
      return typeof value === 'string' ? stringType : booleanType;
    } catch (error) {
      if (error instanceof ExpressionError) return this.#problem(node, error.code, error.message);
      throw error;
    }
  }

  #name(node: ASTNode & { readonly op: 'id' }, names: ExpressionNames): ExpressionType {
    const type = names.get(node.args);
    if (type !== undefined) return type;
    const elsewhere: { readonly [name: string]: string } = {
      carry: 'carry is there only inside the steps, `until` and `next` of a `repeat`.',
      secrets: 'A secret goes as it is, alone or within text, into the inputs of an `activity` step.',
      run: 'run is there only in the steps of `finally`.',
      round: 'round is there only inside the steps, `until` and `next` of a `repeat`.',
    };
    const reason = elsewhere[node.args] ?? this.#suggestion(node.args, [...names.keys()], 'Names here');
    return this.#problem(
      node,
      'UNKNOWN_NAME',
      `${this.#reader} reads "${node.args}", which is not known here.`,
      reason,
      node.args in elsewhere ? {} : this.#nameFix(node.args, [...names.keys()], node),
    );
  }

  #field(left: ExpressionType, name: string, node: ASTNode, chain: ASTNode): ExpressionType {
    if (left.type === 'any') return anyType;
    const place = node.op === '.' ? { range: { start: node.pos, end: node.end } } : node;
    if (left.type !== 'record') {
      const hint = left.type === 'list' ? 'Read one entry with [0], or all with .map(x, x.NAME).' : undefined;
      return this.#problem(place, 'UNKNOWN_NAME', `${sentenceCase(typeName(left))} has no "${name}".`, hint);
    }
    const type = left.fields.get(name);
    if (type !== undefined) return type;
    return this.#unknownField(left, name, place, this.#source.slice(chain.range.start, chain.range.end));
  }

  #unknownField(
    left: RecordType,
    name: string,
    place: { readonly range: { readonly start: number; readonly end: number } },
    read: string,
  ): ExpressionType {
    const known = [...left.fields.keys()];
    const reads = `${this.#reader} reads ${read}`;
    switch (left.role) {
      case 'steps':
        return this.#problem(
          place,
          'UNKNOWN_STEP',
          `${reads}, but no step is named "${name}".`,
          this.#suggestion(name, known, 'Steps here'),
          this.#nameFix(name, known, place),
        );
      case 'params':
        return this.#problem(
          place,
          'UNKNOWN_PARAM',
          `${reads}, but no param is named "${name}".`,
          this.#suggestion(name, known, 'Params'),
          this.#nameFix(name, known, place),
        );
      case 'outputs':
        return this.#problem(
          place,
          'UNKNOWN_OUTPUT',
          `${reads}, but ${left.owner} has no output "${name}".`,
          left.remedyFor?.(name) ?? this.#suggestion(name, known, 'Its outputs'),
          this.#nameFix(name, known, place),
        );
      default:
        return this.#problem(
          place,
          'UNKNOWN_NAME',
          `${reads}, but ${left.owner} has no "${name}".`,
          left.remedyFor?.(name) ?? this.#suggestion(name, known, 'It has'),
          this.#nameFix(name, known, place),
        );
    }
  }

  /** Checks a part and says what it should be where it is something else. */
  #expect(node: ASTNode, names: ExpressionNames, expected: ExpressionType, rule: string): void {
    const type = this.check(node, names);
    if (type.type === 'any' || type.type === expected.type) return;
    this.#problem(node, 'EXPRESSION_TYPE', `${rule}; here is ${typeName(type)}.`);
  }

  #common(
    a: ExpressionType,
    b: ExpressionType,
    node: ASTNode,
    message: (a: string, b: string) => string,
  ): ExpressionType {
    const common = commonType(a, b);
    if (common !== null) return common;
    return this.#problem(node, 'EXPRESSION_TYPE', message(typeName(a), typeName(b)));
  }

  #call(node: ASTNode & { readonly op: 'call' }, names: ExpressionNames): ExpressionType {
    const [name, args] = node.args;
    if (!this.#hasArguments(node, name, args.length, functionArguments, 'function')) {
      for (const child of args) this.check(child, names);
      return anyType;
    }
    switch (name) {
      case 'has':
        if (args[0]!.op !== '.') {
          this.#problem(args[0]!, 'EXPRESSION_TYPE', 'has() takes a name behind a dot, such as steps.review.dataset.');
        }
        this.check(args[0]!, names);
        return booleanType;
      case 'size':
        this.#sized(this.check(args[0]!, names), args[0]!);
        return numberType;
      case 'min':
      case 'max': {
        const first = this.check(args[0]!, names);
        if (args.length === 1 && first.type === 'list') {
          if (first.item.type !== 'number' && first.item.type !== 'any') {
            this.#problem(args[0]!, 'EXPRESSION_TYPE', `${name} takes numbers; here is ${typeName(first)}.`);
          }
        } else for (const child of args) this.#expect(child, names, numberType, `${name} takes numbers`);
        return numberType;
      }
      case 'string':
        this.#plain(this.check(args[0]!, names), args[0]!);
        return stringType;
      default: {
        const type = this.check(args[0]!, names);
        if (!['number', 'string', 'any'].includes(type.type)) {
          this.#problem(args[0]!, 'EXPRESSION_TYPE', `${name} takes a number or text; here is ${typeName(type)}.`);
        }
        return numberType;
      }
    }
  }

  #method(node: ASTNode & { readonly op: 'rcall' }, names: ExpressionNames): ExpressionType {
    const [name, receiver, args] = node.args;
    const value = this.check(receiver, names);
    if (!this.#hasArguments(node, name, args.length, methodArguments, 'method')) return anyType;
    if (elementMethods.has(name)) return this.#elementMethod(node, value, names);
    switch (name) {
      case 'size':
        this.#sized(value, receiver);
        return numberType;
      case 'join':
        if (value.type !== 'list' && value.type !== 'any') {
          this.#problem(receiver, 'EXPRESSION_TYPE', `join puts a list together; here is ${typeName(value)}.`);
        } else if (value.type === 'list') this.#plain(value.item, receiver);
        if (args[0] !== undefined) this.#expect(args[0], names, stringType, 'join takes the text between');
        return stringType;
      default:
        if (value.type !== 'string' && value.type !== 'any') {
          this.#problem(receiver, 'EXPRESSION_TYPE', `${name} looks into text; here is ${typeName(value)}.`);
        }
        this.#expect(args[0]!, names, stringType, `${name} takes text`);
        return booleanType;
    }
  }

  #elementMethod(
    node: ASTNode & { readonly op: 'rcall' },
    value: ExpressionType,
    names: ExpressionNames,
  ): ExpressionType {
    const [name, receiver, args] = node.args;
    if (value.type !== 'list' && value.type !== 'any') {
      return this.#problem(receiver, 'EXPRESSION_TYPE', `${name} goes through a list; here is ${typeName(value)}.`);
    }
    const element = args[0]!;
    if (element.op !== 'id') {
      const message = `The first argument of ${name} is a name for each element, such as r in map(r, r.model).`;
      return this.#problem(element, 'EXPRESSION_SYNTAX', message);
    }
    const item = value.type === 'list' ? value.item : anyType;
    const inner = new Map([...names, [element.args, item]]);
    if (name === 'map') {
      if (args.length === 3) this.#expect(args[1]!, inner, booleanType, 'The condition of map is true or false');
      return listType(this.check(args.at(-1)!, inner));
    }
    this.#expect(args[1]!, inner, booleanType, `The condition of ${name} is true or false`);
    return name === 'filter' ? value : booleanType;
  }

  #hasArguments(
    node: ASTNode,
    name: string,
    count: number,
    known: { readonly [name: string]: readonly [number, number] },
    what: string,
  ): boolean {
    const range = Object.hasOwn(known, name) ? known[name] : undefined;
    if (range === undefined) {
      const refused = Object.hasOwn(refusedNames, name) ? refusedNames[name] : undefined;
      if (refused !== undefined) {
        const start = this.#source.indexOf(name, node.op === 'rcall' ? node.args[1].end : node.start);
        this.#problem(
          { range: { start, end: start + name.length } },
          'NOT_DETERMINISTIC',
          `${name}() is not there: an expression has no ${refused}. The workflow that computes it must come to the same result when it is replayed, days later.`,
          refused === 'clock'
            ? 'Give the time as a param (-p date=2026-01-31), or let `timeout` and `after` wait.'
            : 'Every step has a seed of its own, from `seed` of the pipeline; give another seed for another draw.',
        );
        return false;
      }
      const hint = this.#suggestion(name, Object.keys(known), what === 'method' ? 'Methods' : 'Functions');
      const start = this.#source.indexOf(name, node.op === 'rcall' ? node.args[1].end : node.start);
      const range = { start, end: start + name.length };
      const fix = this.#nameFix(name, Object.keys(known), { range });
      this.#problem({ range }, 'UNKNOWN_NAME', `There is no ${what} "${name}".`, hint, fix);
      return false;
    }
    const [least, most] = range;
    if (count >= least && count <= most) return true;
    const expected = least === most ? `${least}` : `${least} to ${most}`;
    this.#problem(node, 'EXPRESSION_SYNTAX', `${name} takes ${expected} arguments; here are ${count}.`);
    return false;
  }

  #sized(type: ExpressionType, node: ASTNode): void {
    if (['list', 'string', 'record', 'any'].includes(type.type)) return;
    this.#problem(node, 'EXPRESSION_TYPE', `size counts the entries of a list; here is ${typeName(type)}.`);
  }

  #plain(type: ExpressionType, node: ASTNode): void {
    if (['number', 'string', 'boolean', 'null', 'any'].includes(type.type)) return;
    this.#problem(node, 'EXPRESSION_TYPE', `${sentenceCase(typeName(type))} cannot be written as text.`);
  }
}

function sentenceCase(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

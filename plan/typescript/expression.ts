/** A CEL expression as TypeScript with the same meaning, by the types that are known of what it reads. */

import { type ASTNode, literalValue, parseExpression } from '../../spec/expression.ts';
import {
  anyType,
  booleanType,
  type ExpressionType,
  listType,
  nullType,
  numberType,
  type RecordType,
  stringType,
} from '../../spec/expression-types.ts';
import { commonOf } from '../value-types.ts';
import { isName, quoted } from './layout.ts';

/** TypeScript for a value of a type. */
export interface Typed {
  readonly code: string;
  readonly type: ExpressionType;
  /** How tightly its outermost operator binds; `Number.POSITIVE_INFINITY` for names and calls. */
  readonly binds: number;
  /** Whether it may be null. */
  readonly mayBeNull?: boolean;
}

/** What the expression sees: `steps` by id, all else by name. */
export interface Names {
  readonly steps: ReadonlyMap<string, Typed>;
  readonly others: ReadonlyMap<string, Typed>;
}

const tight = Number.POSITIVE_INFINITY;
export const nameOf = (code: string, type: ExpressionType): Typed => ({ code, type, binds: tight });

const strengths: { readonly [op: string]: number } = {
  '?:': 1,
  '||': 3,
  '&&': 4,
  '==': 8,
  '!=': 8,
  '<': 9,
  '<=': 9,
  '>': 9,
  '>=': 9,
  '+': 11,
  '-': 11,
  '*': 12,
  '/': 12,
  '%': 12,
  '!_': 14,
  '-_': 14,
};

const reserved = new Set(
  'break case catch class const continue debugger default delete do else enum export extends false finally for function if import in instanceof new null return super switch this throw true try typeof var void while with yield let static await async of'.split(
    ' ',
  ),
);

/** A name that TypeScript takes. */
export function safeName(name: string): string {
  const plain = name.replace(/[^A-Za-z0-9_$]+(.)?/g, (_, next: string | undefined) => next?.toUpperCase() ?? '');
  return reserved.has(plain) ? `${plain}_` : plain;
}

/** `helpers` receives the names of the library's functions that the code calls. */
export function typescriptOf(source: string, names: Names, helpers: Set<string>): Typed {
  return new Translation(names, helpers).of(parseExpression(source));
}

/** The negation of a condition, as a person would write it. */
export function negated(source: string, names: Names, helpers: Set<string>): string {
  const node = parseExpression(source);
  const translation = new Translation(names, helpers);
  if (node.op === '!_') return translation.condition(node.args).code;
  const { code, binds } = translation.condition(node);
  return binds >= strengths['!_']! ? `!${code}` : `!(${code})`;
}

class Translation {
  readonly #names: Names;
  readonly #helpers: Set<string>;

  constructor(names: Names, helpers: Set<string>) {
    this.#names = names;
    this.#helpers = helpers;
  }

  of(node: ASTNode): Typed {
    switch (node.op) {
      case 'value':
        return literal(node);
      case 'id':
        return this.#names.others.get(node.args) ?? unknownName(node.args);
      case '.':
        return this.#field(node.args[0], node.args[1]);
      case '[]': {
        const [base, key] = node.args;
        if (key.op === 'value' && typeof key.args === 'string' && !isAny(this.#typeOf(base))) {
          return this.#field(base, key.args);
        }
        const value = this.of(base);
        if (value.type.type !== 'list') {
          return this.#call('entry', anyType, [value.code, this.of(key).code], true);
        }
        return this.#call('at', value.type.item, [value.code, this.number(key)]);
      }
      case '!_':
        return this.#prefixed('!', this.condition(node.args), booleanType);
      case '-_':
        return this.#prefixed('-', { ...this.of(node.args), code: this.#numberIn(node.args, '-_') }, numberType);
      case '&&':
      case '||': {
        const own = strengths[node.op]!;
        // Mixed, they read better with brackets.
        const side = (child: ASTNode) => this.#bracketed(this.condition(child), child.op === node.op ? own : own + 2);
        const code = `${side(node.args[0])} ${node.op} ${side(node.args[1])}`;
        return { code, type: booleanType, binds: own };
      }
      case '?:': {
        const yes = this.of(node.args[1]);
        const no = this.of(node.args[2]);
        const own = strengths['?:']!;
        const asked = this.#bracketed(this.condition(node.args[0]), own + 1);
        const code = `${asked} ? ${this.#bracketed(yes, own)} : ${this.#bracketed(no, own)}`;
        const mayBeNull = [yes, no].some((side) => side.mayBeNull === true || side.type.type === 'null');
        return { code, type: commonOf([yes.type, no.type]), binds: own, mayBeNull };
      }
      case 'list': {
        const items = node.args.map((child) => this.of(child));
        const code = `[${items.map((item) => this.#bracketed(item, 1)).join(', ')}]`;
        return { code, type: listType(commonOf(items.map(({ type }) => type))), binds: tight };
      }
      case 'map': {
        const fields = node.args.map(([key, value]) => [String(key.args), this.of(value)] as const);
        const code = fields.map(([key, { code }]) => `${isName(key) ? key : quoted(key)}: ${code}`).join(', ');
        const types = new Map(fields.map(([key, { type }]) => [key, type]));
        return { code: `{ ${code} }`, type: record(types), binds: tight };
      }
      case '==':
      case '!=':
        return this.#equality(node.op, node.args[0], node.args[1]);
      case 'in': {
        const value = this.of(node.args[0]);
        const container = this.of(node.args[1]);
        if (container.type.type === 'list' && isPlain(container.type.item) && isPlain(value.type)) {
          return {
            code: `${this.#bracketed(container, tight)}.includes(${value.code})`,
            type: booleanType,
            binds: tight,
          };
        }
        return this.#call('contains', booleanType, [container.code, value.code]);
      }
      case '+': {
        const left = this.of(node.args[0]);
        const right = this.of(node.args[1]);
        if (left.type.type === 'list' && right.type.type === 'list') {
          const code = `[${spread(left)}, ${spread(right)}]`;
          return { code, type: listType(commonOf([left.type.item, right.type.item])), binds: tight };
        }
        const both = left.type.type === right.type.type ? left.type : anyType;
        if (both.type !== 'number' && both.type !== 'string') {
          return this.#call('add', anyType, [left.code, right.code]);
        }
        const own = strengths['+']!;
        return { code: `${this.#bracketed(left, own)} + ${this.#bracketed(right, own + 1)}`, type: both, binds: own };
      }
      case '-':
      case '*':
        return this.#arithmetic(node.op, node.args[0], node.args[1]);
      case '/':
      case '%': {
        const divisor = node.args[1];
        if (divisor.op === 'value' && Number(divisor.args) !== 0) {
          return this.#arithmetic(node.op, node.args[0], divisor);
        }
        const name = node.op === '/' ? 'divide' : 'remainder';
        return this.#call(name, numberType, [this.number(node.args[0]), this.number(divisor)]);
      }
      case '<':
      case '<=':
      case '>':
      case '>=': {
        const left = this.of(node.args[0]);
        const right = this.of(node.args[1]);
        const own = strengths[node.op]!;
        if (left.type.type === right.type.type && (left.type.type === 'number' || left.type.type === 'string')) {
          const code = `${this.#bracketed(left, own + 1)} ${node.op} ${this.#bracketed(right, own + 1)}`;
          return { code, type: booleanType, binds: own };
        }
        const { code } = this.#call('order', numberType, [left.code, right.code]);
        return { code: `${code} ${node.op} 0`, type: booleanType, binds: own };
      }
      case 'call':
        return this.#function(node.args[0], node.args[1]);
      case 'rcall':
        return this.#method(node.args[0], node.args[1], node.args[2]);
      default:
        throw new Error(`Internal error: "${node.op}" is not part of the language of expressions.`);
    }
  }

  /** As a condition, which nothing but true or false is. */
  condition(node: ASTNode): Typed {
    const value = this.of(node);
    return value.type.type === 'boolean' ? value : this.#call('truth', booleanType, [value.code]);
  }

  number(node: ASTNode): string {
    return this.#checked(this.of(node), 'number').code;
  }

  #numberIn(node: ASTNode, op: string): string {
    return this.#bracketed(this.#checked(this.of(node), 'number'), strengths[op]!);
  }

  #checked(value: Typed, type: 'number' | 'string'): Typed {
    if (value.type.type === type) return value;
    return type === 'number'
      ? this.#call('number', numberType, [value.code])
      : this.#call('text', stringType, [value.code]);
  }

  #typeOf(node: ASTNode): ExpressionType {
    if (node.op === 'id' && node.args === 'steps') return record(new Map());
    return this.of(node).type;
  }

  #field(base: ASTNode, name: string): Typed {
    if (base.op === 'id' && base.args === 'steps') return this.#names.steps.get(name) ?? unknownName(`steps.${name}`);
    // What a round gained is what its last step found.
    if (base.op === 'id' && base.args === 'round' && name === 'gain') {
      const gain = this.#names.others.get('round.gain');
      if (gain !== undefined) return gain;
    }
    const value = this.of(base);
    if (value.type.type !== 'record') return this.#call('entry', anyType, [value.code, quoted(name)], true);
    const type = value.type.fields.get(name) ?? anyType;
    const key = isName(name) ? `.${name}` : `[${quoted(name)}]`;
    const mayBeNull = type.type === 'any' || type.type === 'null';
    return { code: `${this.#bracketed(value, tight)}${key}`, type, binds: tight, mayBeNull };
  }

  #equality(op: '==' | '!=', a: ASTNode, b: ASTNode): Typed {
    const left = this.of(a);
    const right = this.of(b);
    const own = strengths[op]!;
    const simple =
      left.type.type === 'null' || right.type.type === 'null' || (isPlain(left.type) && isPlain(right.type));
    if (simple) {
      const code = `${this.#bracketed(left, own + 1)} ${op}= ${this.#bracketed(right, own + 1)}`;
      return { code, type: booleanType, binds: own };
    }
    const { code } = this.#call('same', booleanType, [left.code, right.code]);
    return { code: op === '==' ? code : `!${code}`, type: booleanType, binds: op === '==' ? tight : strengths['!_']! };
  }

  #arithmetic(op: '-' | '*' | '/' | '%', a: ASTNode, b: ASTNode): Typed {
    const own = strengths[op]!;
    const left = this.#bracketed(this.#checked(this.of(a), 'number'), own);
    const right = this.#bracketed(this.#checked(this.of(b), 'number'), own + 1);
    return { code: `${left} ${op} ${right}`, type: numberType, binds: own };
  }

  #function(name: string, args: readonly ASTNode[]): Typed {
    const first = args[0]!;
    switch (name) {
      case 'has':
        return this.#call('has', booleanType, [`() => ${this.of(first).code}`]);
      case 'size':
        return this.#size(first);
      case 'string': {
        const value = this.of(first);
        if (['number', 'boolean', 'string'].includes(value.type.type)) {
          return nameOf(`String(${value.code})`, stringType);
        }
        return this.#call('written', stringType, [value.code]);
      }
      case 'min':
      case 'max': {
        const value = this.of(first);
        if (args.length === 1 && value.type.type !== 'number') {
          return this.#call(name === 'min' ? 'least' : 'greatest', numberType, [this.#list(value)]);
        }
        return nameOf(`Math.${name}(${args.map((arg) => this.number(arg)).join(', ')})`, numberType);
      }
      default: {
        const value = this.of(first);
        const number = value.type.type === 'number' ? value : this.#call('numberFrom', numberType, [value.code]);
        return name === 'int' ? nameOf(`Math.trunc(${number.code})`, numberType) : number;
      }
    }
  }

  #size(node: ASTNode): Typed {
    const value = this.of(node);
    if (value.type.type === 'list' || value.type.type === 'string') {
      return nameOf(`${this.#bracketed(value, tight)}.length`, numberType);
    }
    return this.#call('size', numberType, [value.code]);
  }

  #method(name: string, receiver: ASTNode, args: readonly ASTNode[]): Typed {
    if (name === 'size') return this.#size(receiver);
    const value = this.of(receiver);
    const argument = args[0];
    switch (name) {
      case 'contains':
      case 'startsWith':
      case 'endsWith': {
        const method = name === 'contains' ? 'includes' : name;
        const text = this.#bracketed(this.#checked(value, 'string'), tight);
        return nameOf(`${text}.${method}(${this.#checked(this.of(argument!), 'string').code})`, booleanType);
      }
      case 'join': {
        const between = argument === undefined ? "''" : this.#checked(this.of(argument), 'string').code;
        const isText = value.type.type === 'list' && ['string', 'number', 'boolean'].includes(value.type.item.type);
        const texts = isText ? this.#bracketed(value, tight) : `${this.#list(value)}.map(${this.#use('written')})`;
        return nameOf(`${texts}.join(${between})`, stringType);
      }
    }
    const item = value.type.type === 'list' ? value.type.item : anyType;
    const element = String(argument!.args);
    const own = safeName(element);
    const others = new Map(this.#names.others).set(element, nameOf(own, item));
    const inner = new Translation({ ...this.#names, others }, this.#helpers);
    const list = value.type.type === 'list' ? this.#bracketed(value, tight) : this.#list(value);
    const body = ({ code, binds }: Typed) =>
      `(${own}) => ${code.startsWith('{') || binds <= strengths['?:']! ? `(${code})` : code}`;
    const test = () => body(inner.condition(args[1]!));
    switch (name) {
      case 'map': {
        const mapped = inner.of(args.at(-1)!);
        const kept = args.length === 3 ? `${list}.filter(${test()})` : list;
        return nameOf(`${kept}.map(${body(mapped)})`, listType(mapped.type));
      }
      case 'filter':
        return nameOf(`${list}.filter(${test()})`, value.type.type === 'list' ? value.type : listType(anyType));
      case 'all':
        return nameOf(`${list}.every(${test()})`, booleanType);
      case 'exists':
        return nameOf(`${list}.some(${test()})`, booleanType);
      default: {
        const code = `${list}.filter(${test()}).length === 1`;
        return { code, type: booleanType, binds: strengths['==']! };
      }
    }
  }

  #list(value: Typed): string {
    return value.type.type === 'list' ? value.code : this.#call('list', listType(anyType), [value.code]).code;
  }

  #prefixed(operator: '!' | '-', value: Typed, type: ExpressionType): Typed {
    const own = strengths[operator === '!' ? '!_' : '-_']!;
    // Two minus signs would be another operator.
    const code = this.#bracketed(value, operator === '-' ? own + 1 : own);
    return { code: `${operator}${code}`, type, binds: own };
  }

  #bracketed({ code, binds }: Typed, atLeast: number): string {
    return binds < atLeast ? `(${code})` : code;
  }

  #call(name: string, type: ExpressionType, args: readonly string[], mayBeNull = false): Typed {
    return { code: `${this.#use(name)}(${args.join(', ')})`, type, binds: tight, mayBeNull };
  }

  #use(name: string): string {
    this.#helpers.add(name);
    return name;
  }
}

function literal(node: ASTNode & { readonly op: 'value' }): Typed {
  const value = literalValue(node);
  if (typeof value === 'string') return nameOf(quoted(value), stringType);
  if (typeof value === 'number') return { code: String(value), type: numberType, binds: value < 0 ? 14 : tight };
  if (typeof value === 'boolean') return nameOf(String(value), booleanType);
  return { code: 'null', type: nullType, binds: tight, mayBeNull: true };
}

const isAny = ({ type }: ExpressionType): boolean => type === 'any';

const isPlain = ({ type }: ExpressionType): boolean => ['number', 'string', 'boolean'].includes(type);

function spread({ code, binds }: Typed): string {
  if (code.startsWith('[') && code.endsWith(']') && !code.slice(1, -1).includes('[')) return code.slice(1, -1);
  return binds <= strengths['?:']! ? `...(${code})` : `...${code}`;
}

export function record(fields: ReadonlyMap<string, ExpressionType>): RecordType {
  return { type: 'record', role: 'object', owner: 'the object', fields };
}

function unknownName(name: string): never {
  throw new Error(`Internal error: the plan reads ${name}, which is not known there.`);
}

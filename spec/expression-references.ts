/** What an expression reads: `steps.train.model`, `params.rounds`, with the places of the names in its source. */

import type { ASTNode } from './expression.ts';
import { elementMethods } from './expression.ts';
import type { Range } from './types.ts';

export interface Reference {
  /** `steps`, `params`, `carry`, `round`. */
  readonly root: string;
  /** Names after the root that are constant: `steps.rounds.all[0]` has `rounds` and `all`. */
  readonly keys: readonly { readonly name: string; readonly range: Range }[];
  /** From the root to the last key. */
  readonly range: Range;
  /** Whether it is read only where a condition allows it: in a branch of `?:`, behind `&&` or `||`, in `has()`. */
  readonly conditions: readonly ASTNode[];
}

/** References in the order of the source. Names that `map(x, ...)` gives to elements are none. */
export function referencesOf(node: ASTNode): Reference[] {
  const references: Reference[] = [];
  visit(node, new Set(), [], references);
  return references;
}

function visit(node: ASTNode, bound: ReadonlySet<string>, conditions: readonly ASTNode[], found: Reference[]): void {
  const chain = chainOf(node);
  if (chain !== null) {
    if (!bound.has(chain.root)) found.push({ ...chain, conditions });
    return;
  }
  const each = (children: readonly ASTNode[]) => {
    for (const child of children) visit(child, bound, conditions, found);
  };
  switch (node.op) {
    case 'value':
    case 'id':
      return;
    case '.':
    case '.?':
      visit(node.args[0], bound, conditions, found);
      return;
    case '!_':
    case '-_':
      visit(node.args, bound, conditions, found);
      return;
    case 'list':
      each(node.args);
      return;
    case 'map':
      each(node.args.flat());
      return;
    case '?:': {
      visit(node.args[0], bound, conditions, found);
      const inner = [...conditions, node.args[0]];
      visit(node.args[1], bound, inner, found);
      visit(node.args[2], bound, inner, found);
      return;
    }
    case '&&':
    case '||':
      visit(node.args[0], bound, conditions, found);
      visit(node.args[1], bound, [...conditions, node.args[0]], found);
      return;
    case 'call': {
      const inner = node.args[0] === 'has' ? [...conditions, node] : conditions;
      for (const child of node.args[1]) visit(child, bound, inner, found);
      return;
    }
    case 'rcall': {
      const [name, receiver, args] = node.args;
      visit(receiver, bound, conditions, found);
      const element = args[0];
      const names = elementMethods.has(name) && element?.op === 'id';
      const inner = names ? new Set([...bound, element.args]) : bound;
      for (const child of names ? args.slice(1) : args) visit(child, inner, conditions, found);
      return;
    }
    default:
      each(node.args as readonly ASTNode[]);
  }
}

/** A name with constant keys behind it. */
function chainOf(node: ASTNode): Omit<Reference, 'conditions'> | null {
  if (node.op === 'id') return { root: node.args, keys: [], range: node.range };
  if (node.op === '.') {
    const left = chainOf(node.args[0]);
    if (left === null) return null;
    const key = { name: node.args[1], range: { start: node.pos, end: node.end } };
    return { root: left.root, keys: [...left.keys, key], range: node.range };
  }
  if (node.op === '[]' && node.args[1].op === 'value' && typeof node.args[1].args === 'string') {
    const left = chainOf(node.args[0]);
    if (left === null) return null;
    const key = { name: node.args[1].args, range: node.args[1].range };
    return { root: left.root, keys: [...left.keys, key], range: node.range };
  }
  return null;
}

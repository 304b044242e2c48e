/** Types of expressions: what the compiler knows of a value before the run. */

export type ExpressionType =
  | { readonly type: 'any' | 'number' | 'boolean' | 'string' | 'null' | 'secret' }
  | { readonly type: 'artifact'; readonly artifact: string }
  | { readonly type: 'list'; readonly item: ExpressionType }
  | RecordType;

export interface RecordType {
  readonly type: 'record';
  /** What the record is, because it decides what a missing name is called. */
  readonly role: 'steps' | 'params' | 'outputs' | 'carry' | 'round' | 'object';
  /** `step "train"`: whose fields these are. */
  readonly owner: string;
  readonly fields: ReadonlyMap<string, ExpressionType>;
  /** What to do for a name that is not among the fields, where there is more to say than which are. */
  readonly remedyFor?: (name: string) => string | undefined;
}

export const anyType: ExpressionType = { type: 'any' };
export const numberType: ExpressionType = { type: 'number' };
export const booleanType: ExpressionType = { type: 'boolean' };
export const stringType: ExpressionType = { type: 'string' };
export const nullType: ExpressionType = { type: 'null' };
export const listType = (item: ExpressionType): ExpressionType => ({ type: 'list', item });

/** In the user's words, with its article: "a model", "a list of numbers". */
export function typeName(type: ExpressionType): string {
  switch (type.type) {
    case 'any':
      return 'any value';
    case 'number':
      return 'a number';
    case 'boolean':
      return 'true or false';
    case 'string':
      return 'text';
    case 'null':
      return 'null';
    case 'secret':
      return 'a secret';
    case 'artifact':
      return artifactName(type.artifact);
    case 'list':
      return type.item.type === 'any' ? 'a list' : `a list of ${plural(type.item)}`;
    case 'record':
      return type.role === 'outputs' ? `all of ${type.owner}` : 'an object';
  }
}

function artifactName(kind: string): string {
  if (kind === 'tree') return 'a folder';
  if (kind === 'planted') return 'planted errors';
  // Words that are plural already.
  if (/s$/.test(kind)) return kind;
  return /^[aeiou]/.test(kind) ? `an ${kind}` : `a ${kind}`;
}

function plural(type: ExpressionType): string {
  switch (type.type) {
    case 'number':
      return 'numbers';
    case 'string':
      return 'texts';
    case 'artifact':
      return type.artifact === 'tree' ? 'folders' : /s$/.test(type.artifact) ? type.artifact : `${type.artifact}s`;
    case 'list':
      return 'lists';
    default:
      return 'objects';
  }
}

/** Whether a value of type `from` may stand where `to` is expected. Null stands for "absent" anywhere. */
export function isAssignable(from: ExpressionType, to: ExpressionType): boolean {
  if (from.type === 'any' || to.type === 'any' || from.type === 'null') return true;
  if (from.type === 'artifact') return to.type === 'artifact' && from.artifact === to.artifact;
  if (from.type === 'list') return to.type === 'list' && isAssignable(from.item, to.item);
  if (from.type !== 'record') return from.type === to.type;
  if (to.type !== 'record') return false;
  return [...to.fields].every(([name, type]) => {
    const field = from.fields.get(name);
    return field !== undefined && isAssignable(field, type);
  });
}

/** The type that covers both, or null where they have nothing in common. */
export function commonType(a: ExpressionType, b: ExpressionType): ExpressionType | null {
  if (a.type === 'null' || a.type === 'any') return b;
  if (b.type === 'null' || b.type === 'any') return a;
  if (a.type === 'list' && b.type === 'list') {
    const item = commonType(a.item, b.item);
    return item === null ? null : listType(item);
  }
  if (isAssignable(a, b)) return b;
  return isAssignable(b, a) ? a : null;
}

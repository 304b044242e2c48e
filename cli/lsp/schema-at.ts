/** The schemas of a place in a pipeline file: what a key or a value there may be, for completion and hover. */

import { kindSchema, type Schema, schemaOf, stepKindNames } from '../../spec/schemas.ts';
import { isRecord, type PlainValue } from '../../spec/types.ts';

type Node = Schema & {
  readonly $ref?: string;
  readonly $defs?: { readonly [name: string]: Node };
  readonly allOf?: readonly Node[];
  readonly oneOf?: readonly Node[];
  readonly then?: Node;
  readonly else?: Node;
};

/** Schemas that may hold at the pointer, unions taken apart. A step's `with` is that of its kind. */
export function schemasAt(value: PlainValue, pointer: string): readonly Schema[] {
  const root = schemaOf('pipeline.schema.json') as Node;
  const keys = pointer
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
  let schemas = flatten([root], root);
  let at: PlainValue | undefined = value;
  for (const key of keys) {
    const kind = key === 'with' && isRecord(at) ? at.uses : undefined;
    const isKind = typeof kind === 'string' && stepKindNames().includes(kind);
    const next = isKind ? [kindSchema(kind) as Node] : schemas.flatMap((schema) => childrenOf(schema, key));
    schemas = flatten(next, root);
    at = Array.isArray(at) ? at[Number(key)] : isRecord(at) ? at[key] : undefined;
  }
  return schemas;
}

function childrenOf(schema: Node, key: string): Node[] {
  const property =
    schema.properties !== undefined && Object.hasOwn(schema.properties, key) ? schema.properties[key] : undefined;
  if (property === false) return [];
  if (typeof property === 'object') return [property as Node];
  const children: Node[] = [];
  if (typeof schema.additionalProperties === 'object') children.push(schema.additionalProperties as Node);
  if (/^\d+$/.test(key) && schema.items !== undefined) children.push(schema.items as Node);
  return children;
}

/** Without references and unions. What conditions add is taken in; what they forbid is the check's business. */
function flatten(schemas: readonly Node[], root: Node): Node[] {
  return schemas.flatMap((schema): Node[] => {
    const parts: Node[] = [];
    if (schema.$ref !== undefined) {
      const name = /^#\/\$defs\/(\w+)$/.exec(schema.$ref)?.[1];
      const target = name === undefined ? undefined : root.$defs?.[name];
      // The words at the reference are about this place, those at the target about the thing.
      if (target !== undefined) parts.push({ ...target, description: schema.description ?? target.description });
    }
    for (const part of [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])]) {
      parts.push({
        ...(part as Node),
        description: part.description ?? schema.description,
        default: part.default ?? schema.default,
      });
    }
    parts.push(...(schema.allOf ?? []));
    if (schema.then !== undefined) parts.push(schema.then);
    if (schema.else !== undefined) parts.push(schema.else);
    const { anyOf: _, oneOf: __, $ref: ___, ...own } = schema;
    return [own as Node, ...flatten(parts, root)];
  });
}

/** Types of expressions as TypeScript writes them. */

import type { ExpressionType } from '../../spec/expression-types.ts';
import { isName, quoted } from './layout.ts';

/** `helpers` receives the names of the library's types. */
export function typeText(type: ExpressionType, helpers: Set<string>): string {
  switch (type.type) {
    case 'any':
    case 'secret':
      helpers.add('Json');
      return 'Json';
    case 'artifact':
      helpers.add('Artifact');
      return `Artifact<${quoted(type.artifact)}>`;
    case 'list': {
      const item = typeText(type.item, helpers);
      return `readonly ${item.includes(' ') && !item.startsWith('{') ? `(${item})` : item}[]`;
    }
    case 'record':
      return fieldsText(type.fields, helpers);
    default:
      return type.type;
  }
}

/** `{ model: Artifact<'model'>; AP: number }`. */
export function fieldsText(fields: ReadonlyMap<string, ExpressionType>, helpers: Set<string>): string {
  if (fields.size === 0) return 'object';
  return `{ ${fieldTexts(fields, helpers).join('; ')} }`;
}

export function fieldTexts(fields: ReadonlyMap<string, ExpressionType>, helpers: Set<string>): string[] {
  return [...fields].map(([name, type]) => `${isName(name) ? name : quoted(name)}: ${typeText(type, helpers)}`);
}

/** TypeScript as a tree of what may be broken over lines, printed as the formatter of this repository prints it. */

/** An expression in one line; or an object or a list, which goes over several where it is long. */
export type Code =
  | string
  | { readonly object: readonly (readonly [key: string, value: Code])[] }
  | { readonly list: readonly Code[] }
  /** A call with it as the last argument. */
  | { readonly call: string; readonly last: Code };

const lineMax = 120;

export const isName = (text: string): boolean => /^[A-Za-z_$][\w$]*$/.test(text);

export const quoted = (text: string): string => {
  const json = JSON.stringify(text).slice(1, -1).replace(/\\"/g, '"');
  return json.includes("'") && !json.includes('"') ? `"${json}"` : `'${json.replaceAll("'", "\\'")}'`;
};

const keyOf = (key: string): string => (isName(key) ? key : quoted(key));

export function oneLine(code: Code): string {
  if (typeof code === 'string') return code;
  if ('call' in code) return `${code.call}${oneLine(code.last)})`;
  if ('list' in code) return `[${code.list.map(oneLine).join(', ')}]`;
  if (code.object.length === 0) return '{}';
  return `{ ${code.object.map(([key, value]) => field(key, oneLine(value))).join(', ')} }`;
}

const field = (key: string, value: string): string => (key === value ? key : `${keyOf(key)}: ${value}`);

/** `before` stands on the first line before the code, and `after` behind it on the last; lines are indented by `indent`. */
export function printed(code: Code, indent: string, before = '', after = ''): string[] {
  const line = `${indent}${before}${oneLine(code)}${after}`;
  if (typeof code === 'string' || (line.length <= lineMax && !isTable(code))) return [line];
  if ('call' in code) return printed(code.last, indent, `${before}${code.call}`, `)${after}`);
  const inner = `${indent}  `;
  if ('list' in code) {
    // Numbers fill the lines.
    if (code.list.every((item) => typeof item === 'string' && /^-?[\d.]+$/.test(item))) {
      return [`${indent}${before}[`, ...filled(code.list as string[], inner), `${indent}]${after}`];
    }
    const items = code.list.flatMap((item) => printed(item, inner, '', ','));
    return [`${indent}${before}[`, ...items, `${indent}]${after}`];
  }
  const fields = code.object.flatMap(([key, value]) => {
    const text = oneLine(value);
    return key === text ? [`${inner}${key},`] : fieldLines(keyOf(key), value, inner);
  });
  return [`${indent}${before}{`, ...fields, `${indent}}${after}`];
}

/** Whether it holds a list of objects or lists that each have several entries: those stand one below the other. */
function isTable(code: Code): boolean {
  if (typeof code === 'string') return false;
  if ('call' in code) return isTable(code.last);
  if ('object' in code) return code.object.some(([, value]) => isTable(value));
  const { list } = code;
  const has = (item: Code, kind: 'list' | 'object') =>
    typeof item !== 'string' &&
    kind in item &&
    ((item as { list: unknown[] } & { object: unknown[] })[kind]?.length ?? 0) > 1;
  if (list.length > 1 && (list.every((item) => has(item, 'list')) || list.every((item) => has(item, 'object'))))
    return true;
  return list.some(isTable);
}

/** A condition with two outcomes goes over three lines. */
function fieldLines(key: string, value: Code, indent: string): string[] {
  const items = typeof value === 'string' ? itemsOf(value) : null;
  const lines = printed(items === null ? value : { list: items }, indent, `${key}: `, ',');
  const parts = typeof value === 'string' && lines[0]!.length > lineMax ? choiceOf(value) : null;
  if (parts === null) return lines;
  return [`${indent}${key}: ${parts[0]}`, `${indent}  ? ${parts[1]}`, `${indent}  : ${parts[2]},`];
}

/** The items of a list that was written in one line; null for anything else. */
function itemsOf(text: string): string[] | null {
  if (!text.startsWith('[') || !text.endsWith(']')) return null;
  const items = [''];
  let depth = 0;
  let quote = '';
  for (const character of text.slice(1, -1)) {
    if (quote !== '') quote = character === quote ? '' : quote;
    else if (/['"`]/.test(character)) quote = character;
    else if (/[([{]/.test(character)) depth++;
    else if (/[)\]}]/.test(character)) depth--;
    if (depth < 0) return null;
    if (character === ',' && depth === 0 && quote === '') items.push('');
    else items[items.length - 1] += character;
  }
  return items.map((item) => item.trim());
}

function choiceOf(text: string): [string, string, string] | null {
  const found = /^([^?]+[^?\s]) \? ([^?:]+) : ([^?:]+)$/.exec(text);
  return found === null ? null : [found[1]!, found[2]!, found[3]!];
}

function filled(items: readonly string[], indent: string): string[] {
  const lines: string[] = [];
  let line = indent;
  for (const item of items) {
    const word = `${item}, `;
    if (line !== indent && `${line}${word}`.trimEnd().length > lineMax) {
      lines.push(line.trimEnd());
      line = indent;
    }
    line += word;
  }
  return [...lines, line.trimEnd()];
}

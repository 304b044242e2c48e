/** The outline of a pipeline file: its params and its steps, those of loops and fan-outs inside of them. */

import { type DocumentSymbol, SymbolKind } from 'vscode-languageserver';
import { isRecord, type ParsedSpec, type PlainValue, pointerTo, type Range } from '../../spec/types.ts';
import { valueAt } from './scopes.ts';

export function symbolsOf(parsed: ParsedSpec, rangeOf: (range: Range) => DocumentSymbol['range']): DocumentSymbol[] {
  const under = (
    pointer: string,
    symbolOf: (pointer: string, name: string, value: PlainValue) => DocumentSymbol | null,
  ) => {
    const mapping = valueAt(parsed.value, pointer);
    if (!isRecord(mapping)) return [];
    return Object.entries(mapping).flatMap(([name, value]) => symbolOf(pointerTo(pointer, name), name, value) ?? []);
  };
  const symbol = (pointer: string, name: string, detail: string, kind: SymbolKind): DocumentSymbol | null => {
    const place = parsed.places.get(pointer);
    if (place?.key === undefined) return null;
    const range = rangeOf({ start: place.key.start, end: Math.max(place.value.end, place.key.end) });
    return { name, detail, kind, range, selectionRange: rangeOf(place.key) };
  };
  const stepSymbol = (pointer: string, name: string, value: PlainValue): DocumentSymbol | null => {
    const step = isRecord(value) ? value : {};
    const form = ['repeat', 'matrix', 'forEach', 'pipeline', 'approve', 'activity'].find((key) =>
      Object.hasOwn(step, key),
    );
    const detail = [form, typeof step.uses === 'string' ? step.uses : undefined].filter(Boolean).join(' ');
    const own = symbol(pointer, name, detail, form === undefined ? SymbolKind.Function : SymbolKind.Namespace);
    const children = under(pointerTo(pointer, 'steps'), stepSymbol);
    return own === null || children.length === 0 ? own : { ...own, children };
  };
  const group = (name: string, children: DocumentSymbol[]): DocumentSymbol[] => {
    const own = children.length === 0 ? null : symbol(`/${name}`, name, '', SymbolKind.Module);
    return own === null ? [] : [{ ...own, children }];
  };
  const params = under('/params', (pointer, name, value) =>
    symbol(pointer, name, isRecord(value) ? String(value.type ?? '') : '', SymbolKind.Variable),
  );
  return [
    ...group('params', params),
    ...group('steps', under('/steps', stepSymbol)),
    ...group('finally', under('/finally', stepSymbol)),
  ];
}

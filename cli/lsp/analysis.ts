/** A pipeline file in an editor: checked as `hardcase check` does, and kept with what completion, hover and rename ask for. */

import type { Compilation, ParsedPipeline } from '../../plan/compile.ts';
import { resolveImport } from '../../plan/imports.ts';
import type { FoundRead } from '../../plan/slots.ts';
import type { ParsedSpec, Range } from '../../spec/types.ts';
import { loadPipelineText } from '../load-pipeline.ts';
import { needsOf, targetOf, valueAt } from './scopes.ts';

export interface Analysis {
  readonly text: string;
  readonly pipeline: ParsedPipeline;
  readonly compilation: Compilation;
}

export async function analyse(file: string, text: string): Promise<Analysis> {
  return await loadPipelineText(file, text, { params: [], paramsRequired: false, digestFolders: false });
}

export const contains = (range: Range, offset: number): boolean => range.start <= offset && offset <= range.end;

/** The read whose name stands at the offset, the shortest where they lie in each other. */
export function readAt({ compilation }: Analysis, offset: number): FoundRead | null {
  let found: FoundRead | null = null;
  for (const read of compilation.reads ?? []) {
    if (!contains(read.range, offset)) continue;
    if (found === null || read.range.end - read.range.start < found.range.end - found.range.start) found = read;
  }
  return found;
}

/** What the offset names: a key of a step, param or carried value, or a place that reads one. Null elsewhere. */
export function targetAt(
  analysis: Analysis,
  offset: number,
): { readonly target: string; readonly range: Range } | null {
  const { parsed } = analysis.pipeline;
  if (parsed === undefined) return null;
  const read = readAt(analysis, offset);
  if (read !== null && contains(read.nameRange, offset)) {
    const target = targetOf(parsed, read);
    return target === null ? null : { target, range: read.nameRange };
  }
  const need = needsOf(parsed).find(({ range }) => contains(range, offset));
  if (need !== undefined) return parsed.places.has(need.target) ? need : null;
  for (const [pointer, { key }] of parsed.places) {
    if (key !== undefined && contains(key, offset) && isName(parsed, pointer)) return { target: pointer, range: key };
  }
  return null;
}

/** Whether the pointer is that of something with a name of the user's own. */
function isName(parsed: ParsedSpec, pointer: string): boolean {
  if (/^\/params\/[^/]+$/.test(pointer) || /\/repeat\/carry\/[^/]+$/.test(pointer)) return true;
  return isStep(parsed, pointer);
}

export function isStep(parsed: ParsedSpec, pointer: string): boolean {
  if (!/^\/(steps|finally)(\/[^/]+\/steps)*\/[^/]+$/.test(pointer)) return false;
  return parsed.places.get(pointer)?.key !== undefined;
}

/** The pointer of the innermost value or key that holds the offset. */
export function pointerAt(
  { pipeline }: Analysis,
  offset: number,
): { readonly pointer: string; readonly onKey: boolean } | null {
  let found: { pointer: string; onKey: boolean } | null = null;
  for (const [pointer, { key, value }] of pipeline.parsed?.places ?? []) {
    const onKey = key !== undefined && contains(key, offset);
    const deeper = found === null || pointer.length > found.pointer.length;
    if (deeper && (onKey || contains(value, offset))) found = { pointer, onKey };
  }
  return found;
}

/** The file that `pipeline:` names at the offset; null elsewhere. */
export function importAt(analysis: Analysis, offset: number): string | null {
  const { parsed, source } = analysis.pipeline;
  const place = pointerAt(analysis, offset);
  if (parsed === undefined || place === null || place.onKey || !place.pointer.endsWith('/pipeline')) return null;
  const written = valueAt(parsed.value, place.pointer);
  return typeof written === 'string' ? resolveImport(source.file, written) : null;
}

/** Renames a step, param or carried value everywhere in its file, or says why it cannot be. */

import { parsePipeline } from '../../plan/compile.ts';
import type { Range } from '../../spec/types.ts';
import { type Analysis, targetAt } from './analysis.ts';
import { placesNaming } from './scopes.ts';

/** What can be renamed at the offset; null where nothing can. */
export function renamable(analysis: Analysis, offset: number): Range | null {
  return targetAt(analysis, offset)?.range ?? null;
}

export type Renaming = { readonly places: readonly Range[] } | { readonly refused: string };

export function renameAt(analysis: Analysis, offset: number, name: string): Renaming {
  const found = targetAt(analysis, offset);
  const { parsed } = analysis.pipeline;
  if (found === null || parsed === undefined) return { refused: 'Here is no step, param or carried value to rename.' };
  if (!/^[A-Za-z][A-Za-z0-9_]*$/.test(name) || ['in', 'true', 'false', 'null'].includes(name)) {
    return {
      refused: `"${name}" cannot be a name that expressions read; expected a letter, then letters, digits and _.`,
    };
  }
  const { target } = found;
  const sibling = `${target.slice(0, target.lastIndexOf('/'))}/${name}`;
  if (sibling !== target && parsed.places.has(sibling)) return { refused: `"${name}" is taken here.` };
  const places = placesNaming(parsed, analysis.compilation.reads ?? [], target);
  return meaningChanges(analysis, target, name, places)
    ? { refused: `"${name}" would be read as another step of that name nearer by. Choose a name that no scope has.` }
    : { places };
}

/** Whether, with the new name, a place would name something else: a step of an inner scope can hide one further out. */
function meaningChanges(analysis: Analysis, target: string, name: string, places: readonly Range[]): boolean {
  let text = '';
  let from = 0;
  for (const { start, end } of places) {
    text += analysis.text.slice(from, start) + name;
    from = end;
  }
  const renamed = parsePipeline({ file: analysis.pipeline.source.file, text: text + analysis.text.slice(from) });
  if (renamed.parsed === undefined) return true;
  const parent = target.slice(0, target.lastIndexOf('/'));
  const hidden = [...renamed.parsed.places.keys()].filter(
    (pointer) => pointer !== `${parent}/${name}` && pointer.endsWith(`/steps/${name}`),
  );
  // Only scopes further in or further out of the same branch can get into each other's way.
  return hidden.some((pointer) => {
    const scope = pointer.slice(0, pointer.lastIndexOf('/'));
    return scope.startsWith(`${parent}/`) || parent.startsWith(`${scope}/`);
  });
}

/** The line of the pipeline file that a place of its plan comes from. */

import type { Compilation } from '../plan/compile.ts';
import { lineStartsOf, positionAt } from '../spec/diagnostic.ts';

/** `rounds.train.with.epochs` -> 12, counted from 1. Undefined where the file itself says nothing of it. */
export type LineOf = (place: string) => number | undefined;

/** Where the file leaves something to its default, the line is that of what is around it. */
export function lineFinder(text: string, sources: Compilation['sources']): LineOf {
  const starts = lineStartsOf(text);
  return (place) => {
    // As in a plan, in which steps stand in scopes: `rounds.scope.steps.train.with.epochs`.
    const keys = place.replace(/(^|\.)(root|scope|steps)(?=\.)/g, '').split('.');
    for (let end = keys.length; end > 0; end--) {
      const range = sources.get(keys.slice(0, end).join('.').replace(/^\./, ''));
      if (range !== undefined) return positionAt(starts, range.start).line;
    }
    return undefined;
  };
}

/** A part of a step that is no child workflow: a quick round, and in a compiled workflow also a leg and another file. */

import type { ScopeContext } from './execute-step.ts';
import { openScopeState } from './scope-state.ts';

/** Does work under a path of its own; in the eyes of what is around, the part is what its steps are together. */
export async function inside<Result>(
  context: ScopeContext,
  path: string,
  work: (context: ScopeContext) => Promise<Result>,
): Promise<Result> {
  context.state.set(path, 'running');
  const state = openScopeState(async (published) => context.state.update(path, published));
  try {
    return await work({ ...context, path, state });
  } finally {
    state.close();
    context.state.remove(path);
  }
}

/** The steps of `finally`, of a run or of another file: they see how the other steps ended, and what those left behind. */

import { type RecordType, stringType } from '../spec/expression-types.ts';
import type { Spec } from '../spec/types.ts';
import { type CompiledScope, compileScope, type ScopeView } from './compile-scope.ts';
import { type Draft, draftScope } from './drafts.ts';
import type { Compiling } from './slots.ts';

/** `others` is the scope of the other steps of the file. */
export function compileFinally(
  compiling: Compiling,
  spec: Spec,
  others: ScopeView,
): Pick<CompiledScope, 'steps' | 'complete'> {
  const atEnd: Compiling = { ...compiling, atEnd: true };
  const drafts = draftScope(atEnd, spec.finally ?? {}, '/finally');
  for (const draft of drafts) if (Object.hasOwn(spec.steps, draft.id)) nameTaken(compiling, draft);
  return compileScope(atEnd, drafts, {
    steps: others.steps,
    mayBeEmpty: others.mayBeEmpty,
    mayBeAbsent: others.mayBeAbsent,
    names: new Map([['run', runType]]),
  });
}

/** `error` is not there where the steps were done. */
const runType: RecordType = {
  type: 'record',
  role: 'object',
  owner: 'run',
  fields: new Map([
    ['state', stringType],
    ['error', stringType],
  ]),
};

function nameTaken(compiling: Compiling, draft: Draft): void {
  const range = compiling.parsed.places.get(draft.pointer)?.key ?? { start: 0, end: 0 };
  const message = `"${draft.id}" is also a step of "steps"; a run has one step of a name there.`;
  compiling.problems.push({ code: 'INVALID_NAME', range, message, hint: 'Give one of them another name.' });
}

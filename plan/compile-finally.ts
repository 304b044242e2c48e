/** The steps of `finally`: plain steps that see how the run ended, and what the others left behind. */

import { type RecordType, stringType } from '../spec/expression-types.ts';
import { type KindStepSpec, pointerTo, type Spec, type StepSpec } from '../spec/types.ts';
import { compileScope, type ScopeView } from './compile-scope.ts';
import { type Draft, draftScope } from './drafts.ts';
import type { Compiling } from './slots.ts';
import type { PlannedStep } from './types.ts';

/** `root` is the scope of the run's other steps. */
export function compileFinally(
  compiling: Compiling,
  spec: Spec,
  root: ScopeView,
): { readonly steps: readonly PlannedStep[]; readonly complete: boolean } {
  const written = spec.finally ?? {};
  const drafts = draftScope(compiling, written, '/finally');
  for (const draft of drafts) checkPlace(compiling, draft, Object.hasOwn(spec.steps, draft.id));
  const { steps, complete } = compileScope(compiling, drafts, {
    steps: root.steps,
    mayBeEmpty: root.mayBeEmpty,
    mayBeAbsent: root.mayBeAbsent,
    names: new Map([['run', runType]]),
  });
  // A run that has ended must not wait for a retry.
  return { steps: steps.map((step) => atEnd(step, written[step.id])), complete };
}

function atEnd(step: PlannedStep, spec: StepSpec | undefined): PlannedStep {
  const onFailure = spec?.onFailure ?? 'fail';
  if (step.type !== 'foreign') return { ...step, onFailure };
  // Who was told of one run has not been told of the next.
  return { ...step, onFailure, reuse: (spec as KindStepSpec).reuse ?? false };
}

/** `error` is not there where the run was done. */
const runType: RecordType = {
  type: 'record',
  role: 'object',
  owner: 'run',
  fields: new Map([
    ['state', stringType],
    ['error', stringType],
  ]),
};

function checkPlace(compiling: Compiling, draft: Draft, isTaken: boolean): void {
  const place = compiling.parsed.places.get(draft.pointer);
  const key = place?.key ?? { start: 0, end: 0 };
  if (isTaken) {
    const message = `"${draft.id}" is also a step of "steps"; a run has one step of a name there.`;
    compiling.problems.push({ code: 'INVALID_NAME', range: key, message, hint: 'Give one of them another name.' });
  }
  const waits = draft.type === 'kind' && (draft.row?.type === 'gate' || draft.row?.type === 'approve');
  if (draft.type !== 'kind' || waits) {
    const message = `"${draft.id}" cannot stand in "finally"; expected a step of a kind that waits for nobody.`;
    const hint =
      'Put it into "steps": what runs at the end must come to an end by itself, also when a run is cancelled.';
    compiling.problems.push({ code: 'INVALID_VALUE', range: key, message, hint });
  }
  if (draft.type === 'kind' && draft.spec.onFailure === 'hold') {
    const range = compiling.parsed.places.get(pointerTo(draft.pointer, 'onFailure'))?.value ?? key;
    const message = `"${draft.id}" cannot hold a run that has ended; expected fail (which it is without the key) or continue.`;
    compiling.problems.push({ code: 'INVALID_VALUE', range, message });
  }
}

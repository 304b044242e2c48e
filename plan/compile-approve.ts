/** An `approve` step in the plan: its form checked, its message and people left to be computed when it opens. */

import { hasExpression } from '../spec/expression-text.ts';
import { isAssignable, listType, stringType, typeName } from '../spec/expression-types.ts';
import { type ApproveSpec, isRecord, pointerTo } from '../spec/types.ts';
import { approveRow, askedValues, formOf } from './approve-row.ts';
import { placeOf } from './checks.ts';
import { durationMs, type StepFrame } from './compile-kind.ts';
import type { ScopeView } from './compile-scope.ts';
import type { KindDraft } from './drafts.ts';
import { type Answer, completeAnswer, faultsOfForm, problemOfAnswer } from './form.ts';
import { type Compiling, checkSlot, isConstant, placeInSlot, planSlot, planValue } from './slots.ts';
import type { ApproveStep, Json } from './types.ts';

export function compileApprove(
  compiling: Compiling,
  draft: KindDraft,
  spec: ApproveSpec,
  frame: StepFrame,
  view: ScopeView,
): ApproveStep {
  const pointer = pointerTo(draft.pointer, 'approve');
  for (const slot of draft.slots.values()) {
    if (!slot.pointer.startsWith(`${pointer}/`)) continue;
    const type = checkSlot(compiling, slot, view.names, `"${draft.id}"`);
    const key = slot.pointer.slice(pointer.length);
    const expected = /^\/(assignees|after\/escalate\/to)$/.test(key)
      ? listType(stringType)
      : /^\/(assignees|after)\//.test(key)
        ? stringType
        : null;
    if (expected !== null && !isAssignable(type, expected)) {
      const message = `This must be ${typeName(expected)}, but it is ${typeName(type)}.`;
      compiling.problems.push({ code: 'EXPRESSION_TYPE', range: placeInSlot(compiling, slot), message });
    } else if (/^\/after\/.*(remind|in)$/.test(key) && isConstant(compiling, slot)) {
      durationMs(compiling, planSlot(compiling, slot), slot.pointer);
    }
  }
  const form = formOf(spec);
  for (const fault of spec.form === undefined ? [] : faultsOfForm(form)) {
    const range = placeOf(compiling, `${pointer}/form${fault.pointer}`);
    compiling.problems.push({ code: 'INVALID_VALUE', range, message: fault.message });
  }
  const expired = planExpired(compiling, spec, pointer);
  return {
    type: 'approve',
    ...frame,
    kind: 'approve',
    version: approveRow(spec).version,
    with: planValue(compiling, askedValues(spec)!, pointer, draft.slots) as { readonly [name: string]: Json },
    form,
    ...(expired === undefined ? {} : { expired }),
    onFailure: expired === 'fail' || (compiling.atEnd === true && expired !== 'hold') ? 'fail' : 'hold',
  };
}

/** The answer that stands for nobody's is checked like a person's. */
function planExpired(compiling: Compiling, spec: ApproveSpec, pointer: string): ApproveStep['expired'] {
  const then = spec.after?.expire?.then;
  if (then === undefined || then === 'hold' || then === 'fail') return then;
  if (!isRecord(then)) return undefined;
  const at = pointerTo(pointer, 'after', 'expire', 'then');
  const form = formOf(spec);
  const fixed = Object.entries(then).find(([, value]) => hasExpression(value));
  const problem =
    fixed === undefined
      ? problemOfAnswer(form, then)
      : `"${fixed[0]}" is an expression; expected a fixed value, so that the answer can be checked before the run.`;
  if (problem !== null) {
    compiling.problems.push({ code: 'INVALID_VALUE', range: placeOf(compiling, at), message: problem });
    return undefined;
  }
  return completeAnswer(form, then as Answer);
}

/** An `activity:` step in the plan: what it is given checked against the types that the file declares. */

import { isAssignable, typeName } from '../spec/expression-types.ts';
import { suggestion } from '../spec/suggest.ts';
import { isRecord, pointerTo } from '../spec/types.ts';
import { expressionType, placeOf } from './checks.ts';
import { beforeRun, durationMs, type StepFrame } from './compile-kind.ts';
import type { ScopeView } from './compile-scope.ts';
import { type KindDraft, parametersOf } from './drafts.ts';
import { declaredTypes, foreignRow } from './foreign-row.ts';
import { secretsOfStep } from './secrets.ts';
import { type Compiling, planValue } from './slots.ts';
import type { ForeignStep, Json, RetryPolicy } from './types.ts';
import { usualFailure } from './usual-failure.ts';
import { typeOf } from './value-types.ts';

export function compileForeign(
  compiling: Compiling,
  draft: KindDraft,
  activity: string,
  frame: StepFrame & { readonly retry: RetryPolicy; readonly timeoutMs: number },
  view: ScopeView,
): ForeignStep {
  const { spec, pointer, slots } = draft;
  checkInputs(compiling, draft, view);
  const row = foreignRow(activity, spec);
  const heartbeatMs = planHeartbeat(compiling, draft);
  const raw = parametersOf(spec);
  const values = planValue(compiling, raw, pointerTo(pointer, 'with'), slots) as { readonly [name: string]: Json };
  return {
    type: 'foreign',
    ...frame,
    kind: row.kind,
    activity,
    version: row.version,
    with: values,
    ...secretsOfStep(values),
    outputs: row.outputs,
    // At the end of a run things are told, and who was told of one run has not been told of the next.
    reuse: spec.reuse ?? (compiling.atEnd === true ? false : row.reusable),
    queue: spec.queue ?? '',
    ...(heartbeatMs === null ? {} : { heartbeatMs }),
    onFailure: spec.onFailure ?? usualFailure(compiling),
  };
}

/** Where the file declares inputs, `with` has all of them, each of its type, and no others. */
function checkInputs(compiling: Compiling, { spec, pointer, slots, name: step }: KindDraft, view: ScopeView): void {
  const given = parametersOf(spec);
  const declared = spec.inputs === undefined ? null : declaredTypes(spec.inputs);
  for (const [name, value] of Object.entries(given)) {
    const at = pointerTo(pointer, 'with', name);
    const type = typeOf(compiling, value, at, slots, view.names, `"${step}"`, { secrets: true });
    if (declared === null) continue;
    const expected = Object.hasOwn(declared, name) ? expressionType(declared[name]!) : null;
    const place = compiling.parsed.places.get(at);
    if (expected === null) {
      const message = `The activity of "${step}" takes no "${name}".`;
      const hint = suggestion(name, Object.keys(declared), 'Its inputs');
      compiling.problems.push({ code: 'UNKNOWN_KEY', range: place?.key ?? placeOf(compiling, at), message, hint });
    } else if (!isAssignable(type, expected)) {
      const message = `"${step}" takes ${typeName(expected)} for "${name}", but this is ${typeName(type)}.`;
      compiling.problems.push({ code: 'WRONG_ARTIFACT', range: placeOf(compiling, at), message });
    }
  }
  for (const name of Object.keys(declared ?? {})) {
    if (Object.hasOwn(given, name)) continue;
    const place = compiling.parsed.places.get(pointerTo(pointer, 'inputs', name));
    const message = `"${step}" declares the input "${name}", but its "with" has none.`;
    const range = place?.key ?? placeOf(compiling, pointer);
    compiling.problems.push({ code: 'MISSING_KEY', range, message, hint: `Add "${name}" to "with".` });
  }
}

function planHeartbeat(compiling: Compiling, { spec, pointer, slots }: KindDraft): number | null {
  const at = pointerTo(pointer, 'heartbeat');
  const value = beforeRun(compiling, spec.heartbeat ?? null, at, slots);
  return value === undefined || value === null || isRecord(value) ? null : durationMs(compiling, value, at);
}

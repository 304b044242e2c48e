/** Values of a step's `with`, `when`, `until` and `next`, once the steps they read have ended. */

import { ApplicationFailure } from '@temporalio/workflow';
import { resolveValue } from '../plan/values.ts';
import { AbsentValueError, type ExpressionScope, evaluateExpression } from '../spec/expression.ts';
import type { Bindings, Values } from './scope-messages.ts';

/** The value; or what it reads without a guard although it is not there: then the reader is skipped. */
export type Resolved<Value> = { readonly value: Value } | { readonly absent: string };

export function resolveValues(values: Values, bindings: Bindings): Resolved<Values> {
  return attempt(bindings, (visible) => resolveValue(values, visible) as Values);
}

/** `when` and `until`: anything but a boolean is an error. */
export function resolveCondition(expression: string, bindings: Bindings): Resolved<boolean> {
  return attempt(bindings, (visible) => {
    const value = evaluateExpression(expression, visible);
    if (typeof value === 'boolean') return value;
    throw new Error(`"${expression}" is ${JSON.stringify(value)}; a condition must be true or false.`);
  });
}

function attempt<Value>(bindings: Bindings, read: (visible: ExpressionScope) => Value): Resolved<Value> {
  try {
    return { value: read(bindings) };
  } catch (error) {
    if (error instanceof AbsentValueError) return { absent: error.reference };
    throw expressionFailure(error);
  }
}

/** The failure of a step whose expression failed. */
export function expressionFailure(error: unknown): ApplicationFailure {
  const message = error instanceof Error ? error.message : String(error);
  return ApplicationFailure.nonRetryable(message, 'ExpressionFailed');
}

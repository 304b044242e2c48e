/** The rules for incoming decisions: plain functions, because the SDK calls the validators of updates synchronously. */

import { kindOf, markOf, problemOfDecisions } from '../detection/decisions.ts';
import type { Decision } from '../detection/types.ts';
import { findStep, innerPath, innerScope, stepPath, stepsOf } from '../plan/paths.ts';
import type { PlannedScope } from '../plan/types.ts';
import { type DecideMessage, decisionsPerMessageMax } from './messages.ts';

export { markOf };

/** Batch ids become part of a record's key. */
const batchPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const digestPattern = /^[0-9a-f]{64}$/;

/** Why the message has no known form, or null. It may come from any client, so nothing about it is taken for granted. */
export function problemOfMessage(message: unknown): string | null {
  if (typeof message !== 'object' || message === null || Array.isArray(message)) {
    return `A decide message is an object, not ${kindOf(message)}.`;
  }
  const { gate, batch, by, decisions, reference, shown, proceed } = message as { readonly [name: string]: unknown };
  if (typeof gate !== 'string' || gate === '') {
    return 'A decide message names its gate: "gate" is the path of a review step.';
  }
  if (typeof batch !== 'string' || !batchPattern.test(batch)) {
    return `"batch" is ${JSON.stringify(batch) ?? 'missing'}; expected 1 to 64 letters, digits, dots, dashes and underscores, chosen by the sender.`;
  }
  if (typeof by !== 'string' || by === '') return '"by" is missing; it names who decided.';
  if (shown !== undefined && !isDigest(shown)) return '"shown" is no digest (64 hex digits).';
  if (proceed !== undefined && typeof proceed !== 'boolean') return '"proceed" is neither true nor false.';
  if ((decisions === undefined) === (reference === undefined)) {
    return 'A decide message has either "decisions" or "reference".';
  }
  if (reference !== undefined) return isDigest(reference) ? null : '"reference" is no digest (64 hex digits).';
  if (Array.isArray(decisions) && decisions.length > decisionsPerMessageMax) {
    return `The message carries ${decisions.length} decisions; at most ${decisionsPerMessageMax} go inline. Send several messages, or put the list into the store and send its digest as "reference".`;
  }
  return problemOfDecisions(decisions);
}

/**
 * What two decisions must have in common to be about the same thing: the candidate; where several people are asked about one, also
 * who says it, and whether it settles what others said.
 */
export function subjectOf(
  { candidateId, settles }: Pick<Decision, 'candidateId' | 'settles'>,
  by: string,
  asksSeveral: boolean,
): string {
  return asksSeveral ? JSON.stringify([candidateId, by, settles ?? false]) : candidateId;
}

/** The decisions of a message that were made before with another outcome, as one sentence, or null. `decided`: marks by subject. */
export function conflictOf(
  message: DecideMessage,
  decided: ReadonlyMap<string, string>,
  asksSeveral = false,
): string | null {
  const beforeOf = (decision: Decision) => decided.get(subjectOf(decision, message.by, asksSeveral));
  const conflicts = (message.decisions ?? []).filter((decision) => {
    const before = beforeOf(decision);
    return before !== undefined && before !== markOf(decision);
  });
  const first = conflicts[0];
  if (first === undefined) return null;
  const others = conflicts.length > 1 ? ` (and ${conflicts.length - 1} more of this message)` : '';
  const who = asksSeveral ? ` by ${message.by}` : '';
  return `Candidate ${first.candidateId}${others} of ${message.gate} was decided as "${beforeOf(first)}"${who} before; "${markOf(first)}" contradicts that. The first decision counts. Nothing of this message was taken.`;
}

/** Whether several people may be asked about one candidate of the gate. An expression may come to that. */
export function asksSeveral(scope: PlannedScope, path: string): boolean {
  const step = findStep(scope, path);
  if (step?.type !== 'gate') return false;
  const { reviewers } = step.with;
  return reviewers !== undefined && reviewers !== 1;
}

/** Whether the plan has a gate at the path; loops have any number of rounds. */
export function isGatePath(scope: PlannedScope, path: string): boolean {
  return findStep(scope, path)?.type === 'gate';
}

/** Gates as a person would look for them: `review`, `rounds[N].review`. */
export function gatePaths(scope: PlannedScope, within = ''): string[] {
  return stepsOf(scope).flatMap((step) => {
    const path = stepPath(within, step.id);
    const inner = innerScope(step);
    if (inner !== null) return gatePaths(inner, innerPath(step, path).replace(/\[\]$/, '[N]'));
    return step.type === 'gate' ? [path] : [];
  });
}

function isDigest(value: unknown): boolean {
  return typeof value === 'string' && digestPattern.test(value);
}

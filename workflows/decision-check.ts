/** The rules for incoming decisions and retries: plain functions, because the SDK calls update validators synchronously. */

import type { Decision } from '../detection/types.ts';
import type { PlannedScope } from '../plan/types.ts';
import { type DecideMessage, decisionsPerMessageMax } from './messages.ts';

/** Batch ids become part of a record's key. */
const batchPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const digestPattern = /^[0-9a-f]{64}$/;
const verdicts: readonly unknown[] = ['accept', 'reject', 'edit', 'ignore'];

type Loose = { readonly [name: string]: unknown };

/** Why the message has no known form, or null. It may come from any client, so nothing about it is taken for granted. */
export function problemOfMessage(message: unknown): string | null {
  if (!isObject(message)) return `A decide message is an object, not ${kindOf(message)}.`;
  const { gate, batch, by, decisions, reference, shown } = message;
  if (typeof gate !== 'string' || gate === '')
    return 'A decide message names its gate: "gate" is the path of a review step.';
  if (typeof batch !== 'string' || !batchPattern.test(batch)) {
    return `"batch" is ${JSON.stringify(batch) ?? 'missing'}; expected 1 to 64 letters, digits, dots, dashes and underscores, chosen by the sender.`;
  }
  if (typeof by !== 'string' || by === '') return '"by" is missing; it names who decided.';
  if (shown !== undefined && !isDigest(shown)) return '"shown" is no digest (64 hex digits).';
  if ((decisions === undefined) === (reference === undefined)) {
    return 'A decide message has either "decisions" or "reference".';
  }
  if (reference !== undefined) return isDigest(reference) ? null : '"reference" is no digest (64 hex digits).';
  if (!Array.isArray(decisions)) return `"decisions" is a list, not ${kindOf(decisions)}.`;
  if (decisions.length > decisionsPerMessageMax) {
    return `The message carries ${decisions.length} decisions; at most ${decisionsPerMessageMax} go inline. Send several messages, or put the list into the store and send its digest as "reference".`;
  }
  return problemOfDecisions(decisions);
}

/** The first problem of a list of decisions, or null. */
export function problemOfDecisions(decisions: readonly unknown[]): string | null {
  const seen = new Map<string, string>();
  for (const [index, decision] of decisions.entries()) {
    const problem = problemOfDecision(decision);
    if (problem !== null) return `decisions[${index}]: ${problem}`;
    const { candidateId } = decision as Decision;
    const mark = markOf(decision as Decision);
    if ((seen.get(candidateId) ?? mark) !== mark) {
      return `decisions[${index}]: candidate ${candidateId} is decided twice in the message, and not the same way.`;
    }
    seen.set(candidateId, mark);
  }
  return null;
}

function problemOfDecision(decision: unknown): string | null {
  if (!isObject(decision)) return `a decision is an object, not ${kindOf(decision)}.`;
  const { candidateId, verdict, box, categoryId, reason } = decision;
  if (typeof candidateId !== 'string' || candidateId === '') return '"candidateId" is missing.';
  if (!verdicts.includes(verdict)) {
    return `candidate ${candidateId} has the verdict ${JSON.stringify(verdict) ?? 'undefined'}; expected one of ${verdicts.join(', ')}.`;
  }
  if (verdict === 'edit' && box === undefined) {
    return `candidate ${candidateId} is edited, but "box" is missing: [x1, y1, x2, y2] in pixels of the image.`;
  }
  if (verdict !== 'edit' && (box !== undefined || categoryId !== undefined)) {
    return `candidate ${candidateId} has a box or category, which only the verdict "edit" takes.`;
  }
  if (box !== undefined && !isBox(box)) {
    return `candidate ${candidateId} has the box ${JSON.stringify(box)}; expected [x1, y1, x2, y2] with x2 > x1 and y2 > y1.`;
  }
  if (categoryId !== undefined && !(Number.isInteger(categoryId) && (categoryId as number) > 0)) {
    return `candidate ${candidateId} has the category ${JSON.stringify(categoryId)}; expected a category's id.`;
  }
  if (reason !== undefined && typeof reason !== 'string')
    return `candidate ${candidateId} has a "reason" that is no text.`;
  return null;
}

/** What makes two decisions the same: the verdict and what it changes, not the words given as reason. */
export function markOf({ verdict, box, categoryId }: Decision): string {
  return verdict === 'edit' ? `edit ${box?.join(' ')} ${categoryId ?? ''}` : verdict;
}

/** The decisions of a message that were made before with another outcome, as one sentence, or null. */
export function conflictOf(message: DecideMessage, decided: ReadonlyMap<string, string>): string | null {
  const conflicts = (message.decisions ?? []).filter((decision) => {
    const before = decided.get(decision.candidateId);
    return before !== undefined && before !== markOf(decision);
  });
  const first = conflicts[0];
  if (first === undefined) return null;
  const others = conflicts.length > 1 ? ` (and ${conflicts.length - 1} more of this message)` : '';
  return `Candidate ${first.candidateId}${others} of ${message.gate} was decided as "${decided.get(first.candidateId)}" before; "${markOf(first)}" contradicts that. The first decision counts. Nothing of this message was taken.`;
}

/** Whether the plan has a gate at the path; loops have any number of rounds. */
export function isGatePath(scope: PlannedScope, path: string): boolean {
  const [first = '', ...rest] = path.split('.');
  const round = /^(.*)\[(\d+)\]$/.exec(first);
  const step = scope.steps.find(({ id }) => id === (round?.[1] ?? first));
  if (step === undefined) return false;
  if (rest.length === 0) return step.type === 'gate' && round === null;
  return step.type === 'repeat' && round !== null && Number(round[2]) >= 1 && isGatePath(step.scope, rest.join('.'));
}

/** Gates as a person would look for them: `review`, `rounds[N].review`. */
export function gatePaths(scope: PlannedScope): string[] {
  return scope.steps.flatMap((step) => {
    if (step.type === 'gate') return [step.id];
    return step.type === 'repeat' ? gatePaths(step.scope).map((path) => `${step.id}[N].${path}`) : [];
  });
}

function isObject(value: unknown): value is Loose {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isDigest(value: unknown): boolean {
  return typeof value === 'string' && digestPattern.test(value);
}

function isBox(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 4 || !value.every(Number.isFinite)) return false;
  const [x1, y1, x2, y2] = value as [number, number, number, number];
  return x2 > x1 && y2 > y1;
}

function kindOf(value: unknown): string {
  return value === null || value === undefined ? String(value) : Array.isArray(value) ? 'a list' : `a ${typeof value}`;
}

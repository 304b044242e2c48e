/** Decisions from the page to the run's workflow, each with its own outcome. */

import { problemOfBlind } from '../detection/blind.ts';
import { type DrawnBox, drawnAmong, markOf, misfitOf } from '../detection/decisions.ts';
import { misfitOfDrawn } from '../detection/drawn-boxes.ts';
import type { Decision } from '../detection/types.ts';
import { type DecideAnswer, type DecideMessage, decisionsPerMessageMax } from '../workflows/messages.ts';
import type { DecisionOutcome } from './api.ts';
import type { GateBook, GateEntry } from './gate-book.ts';
import { HttpError } from './guard.ts';

/** How decisions reach the run's workflow. */
export interface DecisionSender {
  /** Throws `DecisionsRefusedError` where the run will not have them; any other failure may pass. */
  decide(run: string, message: DecideMessage): Promise<DecideAnswer & { readonly goOn?: string }>;
}

/** The run has looked at the decisions and takes none of them. */
export class DecisionsRefusedError extends Error {}

/** Each decision gets its own outcome: one that comes too late must not hold up those that were sent with it. */
export async function takeDecisions(
  sender: DecisionSender,
  book: GateBook,
  entry: GateEntry,
  by: string,
  batch: string,
  decisions: readonly Decision[],
): Promise<{ outcomes: DecisionOutcome[]; goOn?: string }> {
  const outcomes = new Map<string, DecisionOutcome>();
  const settle = (candidateId: string, outcome: DecisionOutcome['outcome'], why?: string) =>
    outcomes.set(candidateId, { candidateId, outcome, ...(why === undefined ? {} : { why }) });
  const toSend: Decision[] = [];
  for (const decision of decisions) {
    const problem = problemHere(entry, decision, by);
    if (problem === 'repeated') settle(decision.candidateId, 'repeated');
    else if (problem !== null) settle(decision.candidateId, 'refused', problem);
    else toSend.push(plain(decision));
  }
  let goOn: string | undefined;
  const send = async (part: readonly Decision[], name: string): Promise<void> => {
    const message: DecideMessage = {
      gate: entry.gate.path,
      batch: name,
      by,
      decisions: part,
      shown: entry.gate.candidates.digest,
    };
    try {
      const answer = await sender.decide(entry.run, message);
      goOn ??= answer.goOn;
      book.remember(entry.run, entry.gate.path, by, part);
      for (const { candidateId } of part) settle(candidateId, answer.accepted > 0 ? 'accepted' : 'repeated');
    } catch (error) {
      if (!(error instanceof DecisionsRefusedError)) throw new HttpError(503, (error as Error).message);
      // One conflict refuses the whole message: the others are sent without it.
      if (part.length === 1) settle(part[0]!.candidateId, 'refused', error.message);
      else for (const [index, decision] of part.entries()) await send([decision], `${name.slice(0, 56)}.${index}`);
    }
  };
  for (let from = 0; from < toSend.length; from += decisionsPerMessageMax) {
    const part = toSend.slice(from, from + decisionsPerMessageMax);
    await send(part, from === 0 ? batch : `${batch.slice(0, 56)}-${from}`);
  }
  return {
    outcomes: decisions.map(({ candidateId }) => outcomes.get(candidateId)!),
    ...(goOn === undefined ? {} : { goOn }),
  };
}

/** Null: to be sent. 'repeated': known already. Else why the run would refuse it. */
function problemHere(entry: GateEntry, decision: Decision, by: string): string | null {
  const candidate = entry.byId.get(decision.candidateId);
  const [drawn] = drawnAmong([decision]);
  if (drawn !== undefined) return problemOfDrawn(entry, drawn);
  if (candidate === undefined) return `The gate asks about no candidate "${decision.candidateId}".`;
  const problem = entry.problemOf(decision, by);
  if (problem !== null) return problem;
  if (entry.gate.state === 'closed') return closedWords(entry);
  const { categories, rules } = entry.view;
  const misfit = misfitOf(decision, entry.images.get(candidate.imageId)!, categories);
  return misfit ?? (rules.isBlind(candidate.id) ? problemOfBlind(candidate, decision, categories) : null);
}

/** The same of a box that was drawn where nobody asked. */
function problemOfDrawn(entry: GateEntry, drawn: DrawnBox): string | null {
  const before = entry.decisions().get(drawn.candidateId);
  if (before !== undefined) {
    if (markOf(before) === markOf(drawn)) return 'repeated';
    return `It was decided as "${markOf(before)}" by ${before.by} before. The first decision counts.`;
  }
  if (entry.gate.state === 'closed') return closedWords(entry);
  const { view } = entry;
  const { imageId } = drawn;
  return misfitOfDrawn(drawn, view.image({ imageId }), view.categories, view.labels(imageId), view.drawn);
}

const closedWords = ({ gate }: GateEntry): string => `The gate is closed (${gate.reason ?? 'decided'}).`;

/** Only what a decision has: nothing else that a client sent reaches a history. */
function plain({ candidateId, verdict, box, categoryId, imageId, reason, seconds, settles, saw }: Decision): Decision {
  return {
    candidateId,
    verdict,
    ...(box === undefined ? {} : { box }),
    ...(categoryId === undefined ? {} : { categoryId }),
    ...(imageId === undefined ? {} : { imageId }),
    ...(reason === undefined || reason === '' ? {} : { reason: reason.slice(0, 1_000) }),
    ...(seconds === undefined ? {} : { seconds }),
    ...(settles === undefined ? {} : { settles }),
    ...(saw === undefined ? {} : { saw }),
  };
}

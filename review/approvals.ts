/** `approve` gates over HTTP: which wait, what their forms ask, and the answer in. */

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type ApprovalRecord, listApprovals, readApproval } from '../artifacts/approval-record.ts';
import { listOpenRuns, RUN_ID_PATTERN } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { type Answer, problemOfAnswer } from '../plan/form.ts';
import type { AnswerMessage, AnswerReceipt } from '../workflows/messages.ts';
import type { Reviewer } from './access.ts';
import type { ApprovalAnswerRequest, ApprovalJson } from './api.ts';
import { gatePattern } from './gate-book.ts';
import { HttpError, reviewerOf } from './guard.ts';
import { DecisionsRefusedError } from './take-decisions.ts';

/** How an answer reaches the run's workflow; fails as a `DecisionSender` does. */
export interface AnswerSender {
  answer(run: string, message: AnswerMessage): Promise<AnswerReceipt & { readonly goOn?: string }>;
}

export interface ApprovalOptions {
  readonly store: Store;
  readonly sender: AnswerSender;
  /** One run only. */
  readonly run?: string;
}

const reasonLengthMax = 1_000;

export function serveApprovals(server: FastifyInstance, { store, sender, run: only }: ApprovalOptions): void {
  const find = async (request: FastifyRequest): Promise<{ run: string; approval: ApprovalRecord }> => {
    const { run, gate } = request.params as { readonly run: string; readonly gate: string };
    const known = RUN_ID_PATTERN.test(run) && gatePattern.test(gate) && (only === undefined || only === run);
    const approval = known ? await readApproval(store, run, gate) : null;
    if (approval === null) throw new HttpError(404, `There is no question "${gate}" of a run "${run}" here.`);
    return { run, approval };
  };

  server.get('/api/approvals', async (request): Promise<ApprovalJson[]> => {
    const reviewer = reviewerOf(request, 'viewer');
    const open: ApprovalJson[] = [];
    for (const { header } of await listOpenRuns(store)) {
      if (only !== undefined && header.run !== only) continue;
      for (const approval of await listApprovals(store, header.run)) {
        if (approval.state === 'open') open.push(jsonOf(header.run, approval, reviewer));
      }
    }
    return open.sort((a, b) => (a.openedAt < b.openedAt ? -1 : a.openedAt > b.openedAt ? 1 : 0));
  });

  const at = '/api/runs/:run/approvals/:gate';
  server.get(at, async (request): Promise<ApprovalJson> => {
    const reviewer = reviewerOf(request, 'viewer');
    const { run, approval } = await find(request);
    return jsonOf(run, approval, reviewer);
  });

  server.post(`${at}/answer`, { schema: { body: answerSchema } }, async (request) => {
    const reviewer = reviewerOf(request, 'reviewer');
    const { run, approval } = await find(request);
    const { answer, reason } = request.body as ApprovalAnswerRequest;
    if (!mayAnswer(approval, reviewer)) {
      throw new HttpError(403, `${approval.path} asks ${approval.assignees?.join(', ')}; a lead may answer too.`);
    }
    if (approval.state !== 'open') throw new HttpError(409, `The question ${approval.path} is ${approval.state}.`);
    const problem = problemOfAnswer(approval.form, answer);
    if (problem !== null) throw new HttpError(400, problem);
    const message: AnswerMessage = {
      gate: approval.path,
      by: reviewer.name,
      answer: answer as Answer,
      ...(reason === undefined || reason === '' ? {} : { reason: reason.slice(0, reasonLengthMax) }),
    };
    return await sender.answer(run, message).catch((error: unknown) => {
      throw new HttpError(error instanceof DecisionsRefusedError ? 409 : 503, (error as Error).message);
    });
  });
}

const answerSchema = {
  type: 'object',
  required: ['answer'],
  additionalProperties: false,
  properties: { answer: { type: 'object' }, reason: { type: 'string' } },
} as const;

/** Those who are asked, and every lead; where nobody is named, every reviewer. */
function mayAnswer({ assignees }: ApprovalRecord, { name, role }: Reviewer): boolean {
  if (role === 'viewer') return false;
  return role === 'lead' || assignees === undefined || assignees.length === 0 || assignees.includes(name);
}

function jsonOf(run: string, approval: ApprovalRecord, reviewer: Reviewer): ApprovalJson {
  const { path, state, openedAt, expiresAt, expired, message, form, show, assignees, given } = approval;
  return {
    run,
    gate: path,
    state,
    openedAt,
    expiresAt,
    expired,
    message,
    form,
    show,
    assignees,
    given: given && { answer: given.answer, by: given.by, at: given.at },
    mine: mayAnswer(approval, reviewer),
  };
}

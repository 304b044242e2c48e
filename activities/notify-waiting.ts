/** Tells people that a gate waits: a notice of the run, and a POST to the webhook that the pipeline names. */

import { addNotice } from '../artifacts/run-record.ts';
import type { ActivityDeps } from './attempt.ts';

export interface WaitingNotice {
  readonly run: string;
  readonly gate: string;
  readonly kind: 'remind' | 'escalate' | 'expire';
  readonly undecided: number;
  readonly message: string;
  /** http or https. */
  readonly webhook?: string;
}

const postTimeoutMs = 10_000;

/** A webhook that does not answer is a notice too: the gate goes on waiting. */
export async function notifyWaiting({ store }: ActivityDeps, notice: WaitingNotice): Promise<void> {
  const { run, gate, kind, undecided, message, webhook } = notice;
  await addNotice(store, run, message);
  if (webhook === undefined) return;
  const problem = await post(webhook, { run, gate, kind, undecided, text: message });
  if (problem !== null) await addNotice(store, run, `The webhook of ${gate} was not reached: ${problem}.`);
}

/** `text` is what Slack, Mattermost and Teams show of a posted object. */
async function post(webhook: string, body: object): Promise<string | null> {
  try {
    const answer = await fetch(webhook, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      // An address that sends elsewhere is not the one that was written down.
      redirect: 'error',
      signal: AbortSignal.timeout(postTimeoutMs),
    });
    return answer.ok ? null : `it answered ${answer.status}`;
  } catch (error) {
    const { message, cause } = error as Error;
    return cause instanceof Error ? cause.message : message;
  }
}

/** Tells people that a gate waits: a notice of the run, a POST to the webhook and an e-mail to those that the pipeline names. */

import { sha256Hex } from '../artifacts/digest.ts';
import { addNotice } from '../artifacts/run-record.ts';
import { canonicalJson } from '../plan/canonical.ts';
import type { ActivityDeps } from './attempt.ts';
import { type Mail, sendMail } from './send-mail.ts';

export interface WaitingNotice {
  readonly run: string;
  readonly gate: string;
  readonly kind: 'remind' | 'escalate' | 'expire';
  readonly undecided: number;
  readonly message: string;
  /** http or https. */
  readonly webhook?: string;
  /** Addresses that get it by e-mail. */
  readonly email?: readonly string[];
}

const postTimeoutMs = 10_000;

/** What does not reach people is a notice too: the gate goes on waiting. */
export async function notifyWaiting({ store }: ActivityDeps, notice: WaitingNotice): Promise<void> {
  const { run, gate, kind, undecided, message, webhook, email = [] } = notice;
  await addNotice(store, run, message);
  const [unposted, unsent] = await Promise.all([
    webhook === undefined ? null : post(webhook, { run, gate, kind, undecided, text: message }),
    email.length === 0 ? null : sendMail(mailOf(notice, email), process.env),
  ]);
  if (unposted !== null) await addNotice(store, run, `The webhook of ${gate} was not reached: ${unposted}.`);
  if (unsent !== null)
    await addNotice(store, run, `No e-mail about ${gate} was sent to ${email.join(', ')}: ${unsent}.`);
}

function mailOf({ run, gate, kind, message, undecided }: WaitingNotice, to: readonly string[]): Mail {
  // One attempt that is made twice sends the same message; another reminder of the gate is another.
  const id = sha256Hex(canonicalJson([run, gate, kind, message])).slice(0, 32);
  return {
    to,
    subject: `${undecided} ${undecided === 1 ? 'decision is' : 'decisions are'} open: ${gate} of ${run}`,
    text: `${message}\n\nThe page: hardcase review ${run}\n`,
    messageId: `<${id}@hardcase>`,
  };
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

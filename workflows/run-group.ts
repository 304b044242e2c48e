/**
 * A concurrency group: a workflow of its own on the server, which lets one run, or one step of a run, in at a time, in the
 * order in which they came. It lives while somebody is in or waits, so that a group survives crashes of all who use it.
 */

import {
  condition,
  continueAsNew,
  defineSignal,
  getExternalWorkflowHandle,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { control } from './control.ts';
import { type GroupTicket, groupEnterName, groupLeaveName, workflowIdOf } from './messages.ts';
import { groupGrantedSignal } from './scope-messages.ts';

export interface GroupArguments {
  readonly role: 'group';
  readonly group: string;
  /** Where it continues as new. */
  readonly inside?: GroupTicket | null;
  readonly waiting?: readonly GroupTicket[];
}

const enterSignal = defineSignal<[GroupTicket]>(groupEnterName);
const leaveSignal = defineSignal<[{ readonly id: string }]>(groupLeaveName);

// Whether the one inside still lives is asked only while others wait for it, more and more rarely.
const firstLookMs = 5_000;
const longestLookMs = 60_000;
// Each look is some ten events.
const historyMax = 2_000;

export async function runGroup({ group, ...before }: GroupArguments): Promise<void> {
  let inside = before.inside ?? null;
  let waiting = [...(before.waiting ?? [])];
  /** Runs that must make way. */
  let unwanted: string[] = [];
  let news = true;
  let lookMs = firstLookMs;

  setHandler(enterSignal, (ticket) => {
    news = true;
    // One that asks again (its workflow began anew) keeps its place.
    if (inside?.id === ticket.id) {
      inside = null;
      waiting.unshift(ticket);
    } else if (waiting.some(({ id }) => id === ticket.id)) {
      waiting = waiting.map((one) => (one.id === ticket.id ? ticket : one));
    } else waiting.push(ticket);
    if (!ticket.cancelInProgress) return;
    const others = [inside, ...waiting].flatMap((one) => (one === null || one.run === ticket.run ? [] : [one.run]));
    unwanted = [...new Set([...unwanted, ...others])];
  });
  setHandler(leaveSignal, ({ id }) => {
    news = true;
    if (inside?.id === id) inside = null;
    waiting = waiting.filter((one) => one.id !== id);
  });

  for (;;) {
    news = false;
    for (let run = unwanted.shift(); run !== undefined; run = unwanted.shift()) {
      // One that has ended already is out of the way.
      await getExternalWorkflowHandle(workflowIdOf(run))
        .cancel()
        .catch(() => undefined);
    }
    if (inside === null) {
      const next = waiting.shift();
      if (next === undefined && !news) return;
      if (next !== undefined) {
        inside = next;
        const { id, workflowId } = next;
        await getExternalWorkflowHandle(workflowId)
          .signal(groupGrantedSignal, { id })
          .catch(() => {
            // It has ended while it waited.
            if (inside?.id === id) inside = null;
          });
        continue;
      }
    }
    const { historyLength, continueAsNewSuggested } = workflowInfo();
    if (!news && (historyLength > historyMax || continueAsNewSuggested)) {
      await continueAsNew<(args: GroupArguments) => Promise<void>>({ role: 'group', group, inside, waiting });
    }
    if (news) continue;
    // Nobody waits, so that nobody cares.
    if (waiting.length === 0) {
      await condition(() => news);
      continue;
    }
    if (await condition(() => news, lookMs)) {
      lookMs = firstLookMs;
      continue;
    }
    lookMs = Math.min(2 * lookMs, longestLookMs);
    const seen: GroupTicket | null = inside;
    if (seen !== null && !(await control('is-running', seen)) && inside === seen) inside = null;
  }
}

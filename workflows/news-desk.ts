/** Where the root hears what steps have to tell it, and answers: those of its own scope at once, others in as few messages as can be. */

import { setHandler } from '@temporalio/workflow';
import type { ApprovalDesk } from './approval-desk.ts';
import { takeBundle } from './bundles.ts';
import type { DecisionDesk } from './decision-desk.ts';
import type { Mailbox, Root } from './mailbox.ts';
import type { OperationsDesk } from './operations-desk.ts';
import type { Outbox } from './outbox.ts';
import { sendReplies } from './relay.ts';
import { type News, newsSignal, type Reply } from './scope-messages.ts';

interface Desks {
  readonly decisions: DecisionDesk;
  readonly approvals: ApprovalDesk;
  readonly operations: OperationsDesk;
}

/** Children tell of themselves and of theirs. */
export function receiveNews(mailbox: Mailbox, outbox: Outbox, desks: Desks): void {
  setHandler(newsSignal, ({ news, from }) => {
    mailbox.relay.note(news, from);
    const replies = news.flatMap((one) => heard(one, desks) ?? []);
    const [only, ...more] = replies;
    // The workflows between are spared a message that one alone needs.
    const holder = only === undefined || more.length > 0 ? undefined : holderOf(news, only);
    while (replies.length > 0) {
      const bundle = takeBundle(replies);
      // One that ends meanwhile is told when it opens again.
      outbox.push(() => sendReplies(holder ?? from, bundle));
    }
  });
}

/** The root as steps of its own scope see it. */
export function nearRoot(mailbox: Mailbox, desks: Desks): Root {
  const tell = (one: News) => {
    mailbox.relay.note([one]);
    const reply = heard(one, desks);
    if (reply !== null) mailbox.reply(reply);
  };
  return {
    stepHeld: async (path) => tell({ what: 'held', path }),
    gateOpened: async (gate, undecided) => tell({ what: 'gate-opened', ...mailbox.openingOf(gate), undecided }),
    gateProgress: async (progress) => tell({ what: 'gate-progress', ...progress }),
    gateClosing: async (gate) => tell({ what: 'gate-closing', ...mailbox.openingOf(gate) }),
    gatePassed: (path) => tell({ what: 'gate-passed', path, at: Date.now() }),
    formOpened: async (path) => tell({ what: 'form-opened', ...mailbox.openingOf(path) }),
    formClosing: async (path) => tell({ what: 'form-closing', ...mailbox.openingOf(path) }),
    formAnswered: (path, given) => tell({ what: 'form-answered', path, given, at: Date.now() }),
  };
}

function heard(one: News, { decisions, approvals, operations }: Desks): Reply | null {
  switch (one.what) {
    case 'held':
      operations.stepHeld(one.path);
      return null;
    case 'form-opened':
      return approvals.opened(one);
    case 'form-closing':
      return approvals.closing(one);
    case 'form-answered':
      approvals.answered(one, one.given);
      return null;
    case 'gate-opened':
      decisions.opened(one, one.undecided);
      return null;
    case 'gate-progress':
      decisions.progress(one);
      return null;
    case 'gate-closing':
      return decisions.closing(one);
    case 'gate-passed':
      decisions.passed(one);
      return null;
  }
}

function holderOf(news: readonly News[], { path }: Reply): string | undefined {
  const its = news.find((one) => one.path === path && 'holder' in one);
  return its !== undefined && 'holder' in its ? its.holder : undefined;
}

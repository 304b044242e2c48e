/** The first screen: the gates that wait for people. */

import type { CandidateType } from '../../detection/types.ts';
import type { ApprovalJson, GateSummary, SessionJson } from '../api.ts';
import { typeWords } from '../wording.ts';
import type { Connection } from './connection.ts';
import { h } from './dom.ts';
import { rowOf } from './keys.ts';
import type { Screen } from './main.ts';
import { timeLeft } from './pace.ts';

const pollMs = 4_000;
/** What a decision takes, before this person has made any. */
const usualSeconds = 3;

export function createQueueScreen(
  connection: Connection,
  session: SessionJson,
  open: (run: string, gate: string) => void,
  openApproval: (run: string, gate: string) => void,
  tools: HTMLElement,
): Screen {
  const list = h('div.gates', { 'aria-live': 'polite' });
  const element = h(
    'div.screen.queue',
    {},
    h('header.bar', {}, h('span.brand', {}, 'hardcase', h('span', {}, ' review')), h('span.spring'), tools),
    h(
      'main',
      { id: 'main' },
      h('h1', {}, 'Waiting for you'),
      h('p.lead', {}, 'The training has come to a point where a person must look. It goes on when you have answered.'),
      list,
      keysAtOnce(),
      h('p.who', {}, `You are ${session.name} (${session.role}).`),
    ),
  );
  let shown = '';
  let focused = false;

  const show = ([gates, approvals]: readonly [readonly GateSummary[], readonly ApprovalJson[]]) => {
    const text = JSON.stringify([gates, approvals]);
    if (text === shown) return;
    shown = text;
    const active = document.activeElement?.getAttribute('data-gate');
    list.replaceChildren(
      ...(gates.length + approvals.length === 0
        ? [
            h(
              'div.empty',
              {},
              h('h2', {}, 'Nothing waits'),
              h('p', {}, 'As soon as a run comes to a review, it appears here. This page looks by itself.'),
            ),
          ]
        : [
            ...approvals.map((approval) => approvalCard(approval, openApproval)),
            ...gates.map((gate) => card(gate, session.role !== 'viewer', open)),
          ]),
    );
    const button = list.querySelector<HTMLElement>(active ? `[data-gate="${CSS.escape(active)}"]` : 'button');
    if (button !== null && (!focused || active)) button.focus();
    focused ||= button !== null;
  };

  let closed = false;
  const poll = async () => {
    while (!closed) {
      const asked = [
        connection.json<GateSummary[]>('/api/gates'),
        connection.json<ApprovalJson[]>('/api/approvals'),
      ] as const;
      await Promise.all(asked).then(show, () => undefined);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  };
  void poll();
  return {
    element,
    close: () => {
      closed = true;
    },
    key: () => false,
  };
}

/** What a newcomer needs to know; all keys are in the help. */
function keysAtOnce(): HTMLElement {
  const rows = (['accept', 'reject', 'edit', 'skip', 'undo', 'help'] as const).map((action) => rowOf(action));
  return h(
    'section.first-keys',
    { 'aria-label': 'The keys' },
    h('p', {}, 'A question is a place where the model and the labels do not agree. One key answers it:'),
    h('dl.keys', {}, ...rows.flatMap(({ shown, words }) => [h('dt', {}, h('kbd', {}, shown)), h('dd', {}, words)])),
  );
}

function approvalCard(approval: ApprovalJson, open: (run: string, gate: string) => void): HTMLElement {
  const { run, gate, message, expiresAt, assignees, mine } = approval;
  return h(
    'article.card',
    {},
    h(
      'div',
      {},
      h('h2', {}, gate),
      h('p.sub', {}, run),
      h('p', {}, message),
      assignees !== undefined && assignees.length > 0 && h('p.sub', {}, `asks ${assignees.join(', ')}`),
      expiresAt !== undefined && h('p.sub', {}, `open until ${new Date(expiresAt).toLocaleString()}`),
    ),
    h(
      'div.card-side',
      {},
      h('p.count', {}, 'One answer'),
      h('button.primary', { 'data-gate': `${run} ${gate}`, onclick: () => open(run, gate) }, mine ? 'Answer' : 'Look'),
    ),
  );
}

function card(gate: GateSummary, mayDecide: boolean, open: (run: string, gate: string) => void): HTMLElement {
  const left = gate.yours;
  const share = gate.asked === 0 ? 1 : gate.decided / gate.asked;
  const bar = h('div.meter', {
    role: 'progressbar',
    'aria-label': 'decided',
    'aria-valuemin': 0,
    'aria-valuemax': gate.asked,
    'aria-valuenow': gate.decided,
  });
  bar.append(h('span'));
  (bar.firstElementChild as HTMLElement).style.width = `${100 * share}%`;
  const types = Object.entries(gate.undecided) as [CandidateType, number][];
  return h(
    'article.card',
    {},
    h(
      'div',
      {},
      h('h2', {}, gate.gate),
      h('p.sub', {}, `${gate.run}`),
      h('ul.chips', {}, ...types.map(([type, n]) => h('li', {}, h('b', {}, String(n)), ` ${typeWords[type]}`))),
      gate.reviewers.length > 0 &&
        h('p.sub', {}, `so far: ${gate.reviewers.map(({ name, decided }) => `${name} ${decided}`).join(', ')}`),
      gate.expiresAt !== undefined && h('p.sub', {}, `open until ${new Date(gate.expiresAt).toLocaleString()}`),
      bar,
    ),
    h(
      'div.card-side',
      {},
      h('p.count', {}, h('b', {}, String(left)), left === 1 ? ' question' : ' questions'),
      h(
        'p.sub',
        {},
        left > 0
          ? timeLeft(left * usualSeconds)
          : gate.decided === gate.asked
            ? 'all decided'
            : 'it is the turn of others',
      ),
      gate.toSettle !== undefined &&
        h(
          'p.sub',
          {},
          `opinions differ on ${gate.toSettle}: ${gate.adjudicators?.join(' or ') ?? 'somebody who gave none'} must settle`,
        ),
      gate.errorsLeft !== undefined &&
        left > 0 &&
        h('p.sub', {}, `about ${Math.round(gate.errorsLeft)} label errors expected`),
      h(
        'button.primary',
        { 'data-gate': `${gate.run} ${gate.gate}`, onclick: () => open(gate.run, gate.gate) },
        mayDecide ? (gate.decided > 0 ? 'Go on' : 'Start') : 'Look',
      ),
    ),
  );
}

/** Boots the page: token, session, and which screen is shown. */

import type { ApprovalJson, GateJson, SessionJson } from '../api.ts';
import { createApprovalScreen } from './approval-screen.ts';
import { AwayError, Connection, LockedError } from './connection.ts';
import { announce, find, h, icon, signs } from './dom.ts';
import { createHelp } from './help.ts';
import { actionOf, isTyping } from './keys.ts';
import { Outbox } from './outbox.ts';
import { createQueueScreen } from './queue-screen.ts';
import { createReviewScreen } from './review-screen.ts';

export interface Screen {
  readonly element: HTMLElement;
  close(): void;
  /** Whether the key was its own. */
  key(event: KeyboardEvent): boolean;
}

const app = find<HTMLElement>(document, '#app');
const connection = new Connection();
const help = createHelp();
document.body.append(help);
let screen: Screen | null = null;
let session: SessionJson | null = null;
let outbox: Outbox | null = null;

/** Names this tab; a reload keeps it, and with it what was leased. */
const client = sessionStorage.getItem('hardcase.client') ?? crypto.randomUUID();
sessionStorage.setItem('hardcase.client', client);

function show(next: Screen): void {
  screen?.close();
  screen = next;
  app.replaceChildren(next.element);
}

// Dark or light: as the system has it, until somebody chooses.

type Theme = 'dark' | 'light';
const systemTheme = (): Theme => (matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark');
const chosenTheme = (): Theme => (localStorage.getItem('hardcase.theme') as Theme | null) ?? systemTheme();
const applyTheme = () => void document.documentElement.setAttribute('data-theme', chosenTheme());
applyTheme();
matchMedia('(prefers-color-scheme: light)').addEventListener('change', applyTheme);

function tools(): HTMLElement {
  return h(
    'span.tools',
    {},
    h(
      'button.quiet.icon',
      {
        'aria-label': 'Dark or light',
        title: 'Dark or light',
        onclick: () => {
          localStorage.setItem('hardcase.theme', chosenTheme() === 'dark' ? 'light' : 'dark');
          applyTheme();
          dispatchEvent(new Event('themechange'));
        },
      },
      icon(signs.theme),
    ),
    h(
      'button.quiet.icon',
      { 'aria-label': 'Help', title: 'Help (?)', 'aria-keyshortcuts': '?', onclick: () => help.showModal() },
      icon(signs.help),
    ),
  );
}

// The address names the gate, so that a reload comes back to it: #/RUN/GATE, and #/RUN/GATE/answer of a form.

function routeOf(): { run: string; gate: string; isApproval: boolean } | null {
  const parts = location.hash.split('/').slice(1).map(decodeURIComponent);
  const [run, gate, form] = parts;
  return run && gate ? { run, gate, isApproval: form === 'answer' } : null;
}

const toGate = (run: string, gate: string): void => {
  location.hash = `#/${encodeURIComponent(run)}/${encodeURIComponent(gate)}`;
};

const toApproval = (run: string, gate: string): void => {
  location.hash = `#/${encodeURIComponent(run)}/${encodeURIComponent(gate)}/answer`;
};

const toQueue = (): void => {
  if (location.hash === '' || location.hash === '#/') void route();
  else location.hash = '#/';
};

async function route(): Promise<void> {
  const started = ++routing;
  try {
    session ??= await connection.json<SessionJson>('/api/session');
    // For all screens: what another gate's screen has left is sent wherever one is.
    outbox ??= new Outbox(connection, session.name, client);
    const where = routeOf();
    if (where === null) {
      document.title = 'hardcase review';
      show(createQueueScreen(connection, session, toGate, toApproval, tools()));
      return;
    }
    const { run, gate } = where;
    if (where.isApproval) {
      const place = `/api/runs/${encodeURIComponent(run)}/approvals/${encodeURIComponent(gate)}`;
      const approval = await connection.json<ApprovalJson>(place);
      if (started !== routing) return;
      document.title = `${gate} · ${run} · hardcase`;
      show(createApprovalScreen({ connection, approval, toQueue, tools: tools() }));
      return;
    }
    const path = `/api/runs/${encodeURIComponent(run)}/gates/${encodeURIComponent(gate)}`;
    const json = await connection.json<GateJson>(path);
    if (started !== routing) return;
    document.title = `${gate} · ${run} · hardcase`;
    show(
      createReviewScreen({
        connection,
        session,
        outbox,
        gate: json,
        client,
        toQueue,
        tools: tools(),
        help: () => help.showModal(),
      }),
    );
  } catch (error) {
    if (started !== routing) return;
    if (error instanceof LockedError) show(lockedScreen());
    else if (error instanceof AwayError) {
      show(
        messageScreen(
          'The server cannot be reached',
          'Is "hardcase review" still running? This page tries again by itself.',
        ),
      );
      setTimeout(() => {
        if (started === routing) void route();
      }, 1_500);
    } else {
      show(
        messageScreen(
          'This does not open',
          (error as Error).message,
          h('button.primary', { onclick: toQueue }, 'All that waits'),
        ),
      );
    }
  }
}
let routing = 0;

function messageScreen(title: string, text: string, ...more: Node[]): Screen {
  announce(`${title}. ${text}`);
  const element = h('div.screen.message', {}, h('main', { id: 'main' }, h('h1', {}, title), h('p', {}, text), ...more));
  return { element, close: () => {}, key: () => false };
}

function lockedScreen(): Screen {
  const input = h('input', { type: 'password', autocomplete: 'off', 'aria-label': 'Token', placeholder: 'Token' });
  const enter = () => {
    connection.useToken(input.value);
    // Another person may have come: everything begins anew.
    location.reload();
  };
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') enter();
  });
  return messageScreen(
    'Who are you?',
    'Open the link that "hardcase review" prints: it carries your token. Or enter the token here.',
    h('div.row', {}, input, h('button.primary', { onclick: enter }, 'Enter')),
  );
}

addEventListener('hashchange', () => void route());
addEventListener('keydown', (event) => {
  if (isTyping(event) || document.querySelector('dialog[open]') !== null) return;
  if (actionOf(event) === 'help') {
    event.preventDefault();
    help.showModal();
    return;
  }
  if (screen?.key(event)) event.preventDefault();
});
void route();

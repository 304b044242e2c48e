/**
 * Two people review 300 candidates by keyboard in a real browser, while pages are reloaded, connections drop and the
 * server restarts: the run gets every decision once, and as it was made.
 */

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readApproval, writeApproval } from '../../artifacts/approval-record.ts';
import { loadJson } from '../../artifacts/codecs.ts';
import { readDecisions } from '../../artifacts/gate-record.ts';
import { addEngineClaim, readEngineClaim } from '../../artifacts/run-engine.ts';
import { readStepRecord } from '../../artifacts/run-record.ts';
import { openDecisionSender } from '../../cli/decision-sender.ts';
import { identify } from '../../deploy/lock.ts';
import { type ReviewServer, startReviewServer } from '../../review/server.ts';
import { startCommand } from '../cli/command.ts';
import { makeCandidates, openGateRig, pageFolder, reviewers, tokens } from '../review/gate-rig.ts';
import { eventually, openRig, type Rig } from '../rig.ts';
import { gate } from '../small-plans.ts';
import { openBrowser, untilPage } from './browser.ts';

let rig: Rig;
let browser: Browser;

beforeAll(async () => {
  rig = await openRig();
  await rig.startWorker({});
  browser = await openBrowser();
}, 120_000);

afterAll(async () => {
  await browser?.close();
  await rig?.close();
});

const count = 300;

/** What the scripted reviewers answer: fixed by the candidate, so that a mix-up would show. */
function verdictOf(id: string): 'accept' | 'reject' | 'ignore' | 'edit' {
  const digit = Number.parseInt(id.at(-1)!, 16);
  return digit < 7 ? 'accept' : digit < 13 ? 'reject' : digit < 15 ? 'ignore' : 'edit';
}

interface ScriptedReviewer {
  readonly context: BrowserContext;
  readonly page: Page;
  /** Answers so many questions, fewer where there are no more; answers how many. */
  work(questions: number): Promise<number>;
}

async function openReviewer(url: string, token: string, problems: string[]): Promise<ScriptedReviewer> {
  const context = await browser.newContext({ viewport: { width: 1000, height: 640 } });
  const page = await context.newPage();
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error' && !/Failed to load resource|net::ERR/.test(message.text())) {
      problems.push(message.text());
    }
  });
  await page.goto(`${url}/#token=${token}`);
  await page.locator('.card button').waitFor();
  // The first button has the focus: a newcomer needs to know one key.
  await page.keyboard.press('Enter');
  await page.locator('.review').waitFor();
  return { context, page, work: (questions) => answer(page, questions) };
}

async function answer(page: Page, questions: number): Promise<number> {
  let last = '';
  for (let done = 0; done < questions; done++) {
    // As text, because what runs in the page knows nothing of this file.
    const script = `(() => {
      const { candidate, pictured } = document.querySelector('.stage-canvas')?.dataset ?? {};
      if (candidate && candidate !== '${last}' && pictured === 'true') return candidate;
      const finished = document.querySelector('.finished');
      return finished && !finished.hidden && /All decided|Others have/.test(finished.textContent) ? 'none' : false;
    })()`;
    const id = await untilPage<string>(page, script);
    if (id === 'none') return done;
    last = id;
    const verdict = verdictOf(id);
    if (verdict === 'edit') for (const key of ['e', 'ArrowRight', 'Enter']) await page.keyboard.press(key);
    else await page.keyboard.press(verdict[0]!);
  }
  return questions;
}

/** To the runs of the rig's server. */
const openSender = () =>
  openDecisionSender({ folder: rig.folder, store: rig.storeFolder, queue: 'test' }, rig.store, {
    client: rig.client,
    connection: rig.client.connection as never,
    target: { options: { address: rig.server.address }, namespace: 'default' },
    engine: null,
    close: async () => {},
  });

const decided = (page: Page) => page.locator('.counts b').textContent();
const settled = (page: Page) =>
  untilPage<boolean>(page, `document.querySelector('.state')?.textContent === 'all saved'`);

test('no decision is lost or doubled by reloads, lost connections, a restart or a second reviewer', async () => {
  const data = await makeCandidates(rig.store, { candidates: count });
  const step = gate('review', {
    with: { dataset: data.dataset as never, candidates: data.saved as never, reviewer: 'human' },
  });
  const handle = await rig.startRun('page', { steps: [step] });
  await eventually(async () => (await readStepRecord(rig.store, 'page', 'review'))?.state === 'waiting');

  const sender = await openSender();
  const serve = (port: number) => startReviewServer({ store: rig.store, sender, reviewers, pageFolder, port });
  let server: ReviewServer = await serve(0);
  const problems: string[] = [];
  const ada = await openReviewer(server.url, tokens.ada, problems);
  const ben = await openReviewer(server.url, tokens.ben, problems);

  // Side by side, each with candidates of their own.
  await Promise.all([ada.work(40), ben.work(30)]);

  // A reload with decisions that are not sent yet.
  await ada.page.reload();
  await ada.work(20);
  expect(await decided(ada.page)).toMatch(/^\d+ of 300$/);

  // The connection drops: what is there can be decided, and is kept.
  await ben.context.setOffline(true);
  expect(await ben.work(12)).toBe(12);
  await expect.poll(() => ben.page.locator('.state').textContent()).toMatch(/no connection · \d+ kept here/);
  // Taken back while offline, and decided again.
  await ben.page.keyboard.press('u');
  await ben.work(1);
  await ben.context.setOffline(false);
  await ben.work(10);

  // The server goes and comes back at the same place; meanwhile ada works on, and closes her window.
  const { port } = server;
  await server.close();
  await ada.work(8);
  server = await serve(port);
  await ada.page.reload();

  // To the end: what one has leased and given up goes to the other.
  await Promise.all([ada.work(count), ben.work(count)]);
  await Promise.all([settled(ada.page), settled(ben.page)]);
  await handle.result();

  const recorded = await readDecisions(rig.store, 'page', 'review');
  expect(recorded).toHaveLength(count);
  expect(new Set(recorded.map(({ candidateId }) => candidateId)).size).toBe(count);
  expect(recorded.filter(({ candidateId, verdict }) => verdict !== verdictOf(candidateId))).toEqual([]);
  for (const by of ['ada', 'ben']) expect(recorded.filter((one) => one.by === by).length).toBeGreaterThan(30);
  const done = await readStepRecord(rig.store, 'page', 'review');
  const corrections = await loadJson(rig.store, 'corrections', done?.outputs?.corrections as never);
  expect(corrections).toMatchObject({ asked: count, undecided: 0 });

  // Printed, not held to a limit: a machine that does much else says little of the page.
  const measured = `performance.getEntriesByName('next candidate').map(({ duration }) => duration)`;
  const times = ((await ben.page.evaluate(measured)) as number[]).toSorted((a, b) => a - b);
  expect(times.length).toBeGreaterThan(30);
  console.log(`next candidate: ${times[Math.floor(times.length / 2)]!.toFixed(1)} ms in the median of ${times.length}`);
  expect(problems).toEqual([]);
  await server.close();
  await sender.close();
});

test('a run that another engine has is told from here by no decision: the page says where it is, and sends them when it comes', async () => {
  // Images of their own: of those of another test, whatever was decided there would be carried over.
  const data = await makeCandidates(rig.store, { candidates: 2, imageSize: 128 });
  const step = gate('review', {
    with: { dataset: data.dataset as never, candidates: data.saved as never, reviewer: 'human' },
  });
  const handle = await rig.startRun('away', { steps: [step] });
  await eventually(async () => (await readStepRecord(rig.store, 'away', 'review'))?.state === 'waiting');
  // This process stands for the server of another folder.
  const other = { folder: '/home/ann/cherries/.hardcase', place: 'there', server: identify(process.pid)! };
  await addEngineClaim(rig.store, 'away', null, other);
  const sender = await openSender();
  const server = await startReviewServer({ store: rig.store, sender, reviewers, pageFolder, port: 0, run: 'away' });
  const problems: string[] = [];
  const { page, work, context } = await openReviewer(server.url, tokens.ada, problems);
  try {
    await work(2);
    await page.getByRole('button', { name: 'Send now' }).click();
    const told = page.locator('.held-back');
    await expect
      .poll(() => told.textContent(), { timeout: 20_000 })
      .toMatch(
        /^Run away is run by the embedded engine of \/home\/ann\/cherries\/\.hardcase \(process \d+\), and decisions go to it there: open the page that ".*review away" serves in \/home\/ann\/cherries\. Or end the command that runs it: those of here are kept/,
      );
    expect(await told.isVisible()).toBe(true);
    expect(await page.locator('.state').textContent()).toBe('2 kept here');
    expect(await readDecisions(rig.store, 'away', 'review')).toEqual([]);
    // That command has ended.
    await addEngineClaim(rig.store, 'away', await readEngineClaim(rig.store, 'away'), {
      ...other,
      server: { ...other.server, started: 'long ago' },
    });
    await handle.result();
    expect(await readDecisions(rig.store, 'away', 'review')).toHaveLength(2);
    await expect.poll(() => told.isVisible(), { timeout: 20_000 }).toBe(false);
    expect(problems).toEqual([]);
  } finally {
    await context.close();
    await server.close();
    await sender.close();
  }
});

test('the form of an approve step is answered on the page, and a wrong answer is told before it is sent', async () => {
  const waiting = await openGateRig({ candidates: 1 });
  try {
    await writeApproval(waiting.store, waiting.run, {
      path: 'ok',
      state: 'open',
      openedAt: '2026-03-01T10:00:00.000Z',
      message: 'One epoch reached an AP of <i>41.7</i>. Train on?',
      form: {
        properties: {
          go: { type: 'boolean', title: 'Train on?' },
          epochs: { type: 'integer', minimum: 1, default: 2 },
        },
        required: ['go'],
      },
      show: { AP: 41.7 },
      shown: '0'.repeat(64),
    });
    const server = await waiting.serve();
    const page = await browser.newPage();
    await page.goto(`${server.url}/#token=${tokens.ada}`);
    await page.getByRole('button', { name: 'Answer' }).click();
    await expect.poll(() => page.locator('.message').last().textContent()).toContain('AP of <i>41.7</i>. Train on?');
    await page.getByRole('button', { name: 'Send the answer' }).click();
    await expect.poll(() => page.getByRole('alert').textContent()).toBe('"go" is missing; expected true or false.');
    await page.getByLabel('Yes').check();
    await page.getByLabel('epochs').fill('12');
    await page.getByLabel('Why').fill('it still rises');
    await page.keyboard.press('Enter');
    await page.getByText('Answered. The run goes on with it.').waitFor();
    expect((await readApproval(waiting.store, waiting.run, 'ok'))?.given).toMatchObject({
      by: 'ada',
      answer: { go: true, epochs: 12 },
    });
    await page.close();
  } finally {
    await waiting.close();
  }
});

test('the command prints a link that opens the page, keeps it for the next time, and ends with Ctrl-C', async () => {
  const waiting = await openGateRig({ candidates: 3 });
  try {
    const words = [
      'review',
      'latest',
      '--store',
      join(waiting.folder, 'store'),
      '--no-open',
      '--port',
      '0',
      '--by',
      'ada',
    ];
    const command = startCommand(waiting.folder, [...words, '--json']);
    const { link, run } = JSON.parse(await command.until(/"run":.*\n/)) as { link: string; run: string };
    expect(run).toBe('cherries-1');
    const [url, token] = link.split('/#token=') as [string, string];
    const answer = await fetch(`${url}/api/gates`, { headers: { authorization: `Bearer ${token}` } });
    expect(await answer.json()).toMatchObject([{ run: 'cherries-1', asked: 3 }]);
    expect(await (await fetch(url)).text()).toContain('<div id="app">');
    // The engine of this folder knows no such run: decisions are kept, and the page is told so.
    const { id } = waiting.candidates[0]!;
    const sent = await fetch(`${url}/api/runs/cherries-1/gates/review/decisions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ batch: 'one', decisions: [{ candidateId: id, verdict: 'accept' }] }),
    });
    expect(sent.status).toBe(503);
    expect(((await sent.json()) as { error: string }).error).toMatch(/does not know the run cherries-1 \(any more\)/);
    const place = join(waiting.folder, '.hardcase', 'review.json');
    expect(JSON.parse(readFileSync(place, 'utf8'))).toMatchObject({ token });
    expect(statSync(place).mode & 0o077).toBe(0);
    command.child.kill('SIGINT');
    const { code, stderr } = await command.outcome;
    expect(code).toBe(130);
    expect(stderr).toContain('Closing the review page; what was decided is kept.');
  } finally {
    await waiting.close();
  }
});

/** The review page for everybody: sizes of screens, keyboards, screen readers, less motion; and labels that nobody asked about. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeApproval } from '../../artifacts/approval-record.ts';
import type { CandidateJson } from '../../review/api.ts';
import type { ReviewServer } from '../../review/server.ts';
import { type GateRig, openGateRig, tokens } from '../review/gate-rig.ts';
import { openBrowser, untilPage, untilPictured } from './browser.ts';

let browser: Browser;
let rig: GateRig;
let server: ReviewServer;

beforeAll(async () => {
  browser = await openBrowser();
  // Each page keeps forty questions from all others.
  rig = await openGateRig({ candidates: 420, categories: 3, mined: true });
  await writeApproval(rig.store, rig.run, {
    path: 'ok',
    state: 'open',
    openedAt: '2026-03-01T10:00:00.000Z',
    message: 'Train on?',
    form: {
      properties: { go: { type: 'boolean', title: 'Train on?' }, epochs: { type: 'integer' } },
      required: ['go'],
    },
    show: { AP: 41.7 },
    shown: '0'.repeat(64),
  });
  server = await rig.serve();
}, 60_000);

afterAll(async () => {
  await browser?.close();
  await rig?.close();
});

type Look = Parameters<Browser['newContext']>[0];

/** The first screen. */
async function openPage(look: Look = {}, url = server.url): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1366, height: 768 }, ...look });
  const page = await context.newPage();
  await page.goto(`${url}/#token=${tokens.ada}`);
  await page.getByRole('button', { name: 'Start' }).waitFor();
  return page;
}

async function openQuestion(look: Look = {}, url = server.url): Promise<Page> {
  const page = await openPage(look, url);
  await page.getByRole('button', { name: 'Start' }).click();
  await untilPictured(page);
  return page;
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe-core finds wrong, each rule with the places where; only some of its rules where they are named. */
async function faultsOf(page: Page, rules?: readonly string[]): Promise<string[]> {
  if ((await page.evaluate('typeof window.axe')) === 'undefined') await page.evaluate(axe);
  // As a text, because what runs in the page knows nothing of this file.
  const options = { resultTypes: ['violations'], ...(rules ? { runOnly: rules } : {}) };
  const script = `axe.run(document, ${JSON.stringify(options)}).then(({ violations }) =>
    violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ target, failureSummary }) => target + ' ' + failureSummary).join(' | ')))`;
  return (await page.evaluate(script)) as string[];
}

describe('axe-core finds nothing', () => {
  /** Goes through the screens; `visit` looks at each. */
  async function tour(page: Page, visit: (screen: string) => Promise<void>): Promise<void> {
    await visit('queue');
    await page.getByRole('button', { name: 'Start' }).click();
    await untilPictured(page);
    await page.locator('.preview:not([hidden])').waitFor();
    await visit('question');
    await page.keyboard.press('e');
    await visit('correction');
    await page.keyboard.press('Escape');
    // One that has others like it.
    while (!(await page.locator('[data-action=alike]').isVisible())) {
      await page.keyboard.press('s');
      await untilPictured(page);
    }
    await page.keyboard.press('g');
    await page.locator('dialog.cluster').waitFor();
    await visit('sheet');
    await page.keyboard.press('Escape');
    await page.keyboard.press('?');
    await visit('help');
    await page.keyboard.press('Escape');
    await page.keyboard.press('q');
    await page.getByRole('button', { name: 'Answer' }).click();
    await page.getByRole('button', { name: 'Send the answer' }).waitFor();
    await visit('form');
    await page.evaluate(`sessionStorage.clear(); localStorage.clear()`);
    await page.goto(`${server.url}/#token=${'x'.repeat(30)}`);
    await page.reload();
    await page.getByRole('heading', { name: 'Who are you?' }).waitFor();
    await visit('locked');
  }

  const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
  const looks: readonly (readonly [string, Look, readonly string[] | undefined])[] = [
    ['on a phone in dark colours', { colorScheme: 'dark', ...phone }, undefined],
    [
      'on a laptop in light colours',
      { colorScheme: 'light' },
      ['color-contrast', 'target-size', 'scrollable-region-focusable'],
    ],
  ];
  test.each(looks)('%s, on any screen', async (_, look, rules) => {
    const page = await openPage(look);
    const faults: { [screen: string]: string[] } = {};
    await tour(page, async (screen) => {
      const found = await faultsOf(page, rules);
      if (found.length > 0) faults[screen] = found;
    });
    expect(faults).toEqual({});
    await page.context().close();
  });
});

describe('on every screen', () => {
  const screens: readonly (readonly [string, number, number, number])[] = [
    ['a phone', 360, 740, 2],
    ['a phone held across', 740, 360, 2],
    ['a laptop', 1366, 768, 1],
    ['4K', 3840, 2160, 1],
    ['4K at twice the density', 1920, 1080, 2],
  ];
  test.each(screens)('%s shows the picture and both answers without scrolling', async (_, width, height, dpr) => {
    const page = await openQuestion({ viewport: { width, height }, deviceScaleFactor: dpr });
    const rect = (selector: string) =>
      page.evaluate(`JSON.stringify(document.querySelector('${selector}').getBoundingClientRect())`) as Promise<string>;
    for (const action of ['accept', 'reject', 'undo']) {
      const { left, top, right, bottom } = JSON.parse(await rect(`[data-action=${action}]`));
      expect([left >= 0, top >= 0, right <= width, bottom <= height], action).toEqual([true, true, true, true]);
    }
    const answer = JSON.parse(await rect('[data-action=accept]'));
    // What a finger hits, and what is seen from the same distance on 4K.
    expect(answer.height).toBeGreaterThanOrEqual(width < 800 ? 44 : 0.018 * width);
    const picture = JSON.parse(await rect('.stage-canvas'));
    expect(picture.width * picture.height).toBeGreaterThan(0.25 * width * height);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
    const drawn = (await page.evaluate(`document.querySelector('.stage-canvas').width`)) as number;
    expect(Math.abs(drawn - picture.width * dpr)).toBeLessThanOrEqual(1);
    await page.context().close();
  });
});

test('the keyboard goes through a question in reading order, and each stop is seen and named', async () => {
  const page = await openQuestion();
  // The first stop of all, from which the others follow.
  await page.evaluate(`document.querySelector('.skip-link').focus()`);
  const stops: string[] = [];
  for (let i = 0; i < 40; i++) {
    await page.keyboard.press('Tab');
    const stop = (await page.evaluate(`(() => {
      const one = document.activeElement;
      if (one === document.body) return '';
      const outline = getComputedStyle(one);
      const seen = outline.outlineStyle !== 'none' && parseFloat(outline.outlineWidth) >= 2;
      return (one.dataset.action ?? one.getAttribute('aria-label') ?? one.textContent).trim() + (seen ? '' : ' (not seen)');
    })()`)) as string;
    if (stop === '' || stops.includes(stop)) break;
    stops.push(stop);
  }
  expect(stops.filter((stop) => stop.includes('(not seen)'))).toEqual([]);
  expect(stops.slice(0, 3)).toEqual(['All that waits', 'Dark or light', 'Help']);
  // The picture, then what is answered, then what else can be done.
  const at = (part: string) => stops.findIndex((stop) => stop.includes(part));
  const places = ['Image scenes', 'Closer', 'accept', 'reject', 'edit', 'comment'].map(at);
  expect(places.every((place) => place > 2)).toBe(true);
  expect(places).toEqual(places.toSorted((a, b) => a - b));
  await page.context().close();
});

test('who wants less motion sees none', async () => {
  const page = await openQuestion({ reducedMotion: 'reduce' });
  await page.keyboard.press('s');
  const moving = await page.evaluate(`[...document.querySelectorAll('*')].filter((one) => {
    const { transitionDuration, animationDuration } = getComputedStyle(one);
    return [transitionDuration, animationDuration].join().split(',').some((time) => parseFloat(time) > 0.001);
  }).length`);
  expect(moving).toBe(0);
  await page.context().close();
});

test('a label that nobody asked about is drawn by mouse or keyboard, taken back, and kept over a reload', async () => {
  // Few images, in which one box is seen in AP.
  const own = await openGateRig({ candidates: 40, categories: 3, imageSize: 240, mined: true });
  const { url } = await own.serve();
  const page = await openQuestion({}, url);
  const question = await page.getByRole('heading', { level: 1 }).textContent();
  const first = await page.locator('.stage-canvas').getAttribute('data-candidate');
  await page.locator('.preview:not([hidden])').waitFor();
  const before = await page.locator('.preview').textContent();
  const counted = await page.locator('.counts b').textContent();

  // By mouse, in the corner of the crop, where no target is.
  await page.keyboard.press('n');
  const asks = () => page.getByRole('heading', { level: 1 }).textContent();
  await expect.poll(asks).toBe('What has no label?');
  const frame = (await page.locator('.stage-canvas').boundingBox())!;
  const [x, y] = [frame.x + 0.36 * frame.width, frame.y + 0.12 * frame.height];
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.move(x + 60, y + 50, { steps: 3 });
  await page.mouse.up();
  await page.keyboard.press('2');
  await page.keyboard.press('Enter');
  // The question is still there, and nothing of it is answered.
  await expect.poll(asks).toBe(question);
  expect(await page.locator('.counts b').textContent()).toBe(counted);
  await expect.poll(() => page.locator('.preview').textContent()).not.toBe(before);
  await page.keyboard.press('u');
  await expect.poll(() => page.locator('.preview').textContent()).toBe(before);

  // By keyboard: a box in the middle, moved up and made wider; far from what is in question.
  await page.keyboard.press('w');
  await page.keyboard.press('n');
  for (const key of ['ArrowUp', 'Control+ArrowUp', 'Control+ArrowUp', 'Shift+ArrowRight', '3', 'Enter']) {
    await page.keyboard.press(key);
  }
  await page.reload();
  await untilPictured(page);
  await expect.poll(() => page.locator('.stage-canvas').getAttribute('data-candidate')).toBe(first);
  await untilPage(
    page,
    `document.querySelector('.state')?.textContent === 'all saved' || document.querySelector('.state')?.textContent === 'ready'`,
  );
  // The page says that it is ready also before it has sent what it kept.
  await expect.poll(async () => (await own.recorded()).length).toBe(1);
  const recorded = await own.recorded();
  expect(recorded).toMatchObject([{ verdict: 'add', categoryId: 3, by: 'ada' }]);
  const [only] = recorded;
  // Whoever comes next sees it.
  const answer = await fetch(`${url}/api/runs/${own.run}/gates/${own.gate}/candidates?limit=500`, {
    headers: { authorization: `Bearer ${tokens.ben}` },
  });
  const { candidates } = (await answer.json()) as { candidates: CandidateJson[] };
  const seen = candidates.find(({ id }) => id === first);
  expect(seen?.image.id).toBe(only!.imageId);
  expect(seen?.drawn).toEqual([{ id: only!.candidateId, box: only!.box, categoryId: 3 }]);
  await page.context().close();
  await own.close();
});

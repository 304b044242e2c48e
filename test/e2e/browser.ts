/** The browser of tests that look at pages, and how they wait in one. */

import { type Browser, chromium, type Page } from 'playwright-core';
import { findChromium } from '../../deploy/setup/parts.mjs';

export async function openBrowser(): Promise<Browser> {
  const found = findChromium();
  if (found === null) throw new Error('There is no browser. Fetch one with "node deploy/setup.mjs --test".');
  return await chromium.launch({
    executablePath: found.path,
    // The page is our own; a sandbox is not to be had in most containers.
    args: ['--no-sandbox', '--disable-gpu', ...found.args],
    env: { ...process.env, ...(found.libraries === null ? {} : { LD_LIBRARY_PATH: found.libraries }) },
  });
}

/** The page's own policy forbids to wait inside of it for what a text says. */
export async function untilPage<Answer>(page: Page, script: string): Promise<Answer> {
  const end = Date.now() + 60_000;
  for (;;) {
    const answer = (await page.evaluate(script)) as Answer | false;
    if (answer !== false) return answer;
    if (Date.now() > end) throw new Error(`Nothing came in a minute: ${script}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The first question's picture is on the screen. */
export const untilPictured = (page: Page): Promise<boolean> =>
  untilPage<boolean>(page, `document.querySelector('.stage-canvas')?.dataset.pictured === 'true'`);

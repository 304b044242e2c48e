/** What keeps answers independent, in a real browser: opinions of several people, who settles them, and hidden boxes of the model. */

import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readGate, writeGate } from '../../artifacts/gate-record.ts';
import { auditRun } from '../../cli/review-audit.ts';
import { findChromium } from '../../deploy/setup/parts.mjs';
import type { CandidateJson, LeaseAnswer } from '../../review/api.ts';
import { bearer, type GateRig, openGateRig, tokens } from '../review/gate-rig.ts';

let rig: GateRig;
let browser: Browser;

beforeAll(async () => {
  const found = findChromium();
  if (found === null) throw new Error('There is no browser. Fetch one with "node deploy/setup.mjs --test".');
  browser = await chromium.launch({
    executablePath: found.path,
    args: ['--no-sandbox', '--disable-gpu', ...found.args],
    env: { ...process.env, ...(found.libraries === null ? {} : { LD_LIBRARY_PATH: found.libraries }) },
  });
  rig = await openGateRig({ candidates: 3, categories: 2 });
  const asking = rig.candidates.slice(0, 2).map(({ id }) => ({ candidateId: id, opinions: 2 }));
  await writeGate(rig.store, rig.run, {
    ...(await readGate(rig.store, rig.run, rig.gate))!,
    asking: await rig.store.putObject(Buffer.from(JSON.stringify(asking))),
    adjudicators: ['lea'],
  });
}, 120_000);

afterAll(async () => {
  await browser?.close();
  await rig?.close();
});

test('opinions stay apart until both are there, and the one who settles sees both', async () => {
  const [one, two] = [await rig.serve(), await rig.serve()];
  const open = async (url: string, token: string): Promise<Page> => {
    const page = await browser.newPage({ viewport: { width: 1000, height: 640 } });
    await page.goto(`${url}/#token=${token}`);
    await page.locator('.card button').click();
    return page;
  };
  const answer = async (page: Page, keys: readonly string[]) => {
    const before = await page.locator('.stage-canvas').getAttribute('data-candidate');
    for (const key of keys) await page.keyboard.press(key);
    await expect.poll(() => page.locator('.stage-canvas').getAttribute('data-candidate')).not.toBe(before);
  };
  const pictured = (page: Page) => page.locator('.stage-canvas[data-pictured="true"]').waitFor();

  // Two servers of one store: what both are wanted for both get, and the third question one of them.
  const ada = await open(one.url, tokens.ada);
  await pictured(ada);
  const ben = await open(two.url, tokens.ben);
  await pictured(ben);
  for (const key of ['a', 'a', 'a']) {
    await pictured(ada);
    await answer(ada, [key]);
  }
  for (const keys of [['r'], ['a']]) {
    await pictured(ben);
    await answer(ben, keys);
  }
  await ada.getByRole('button', { name: 'Send now' }).click();
  await expect.poll(async () => (await rig.recorded()).length).toBe(3);
  await expect.poll(() => ada.locator('.finished').textContent()).toContain('2 wait for the opinion of somebody else.');
  await ben.getByRole('button', { name: 'Send now' }).click();
  await expect.poll(async () => (await rig.recorded()).length).toBe(5);
  await expect
    .poll(() => ben.locator('.finished').textContent())
    .toContain('1 must be settled by lea, because opinions differ.');

  const lea = await browser.newPage({ viewport: { width: 1000, height: 640 } });
  await lea.goto(`${one.url}/#token=${tokens.lead}`);
  // The server she comes to heard of the answers from the store only, and may be behind by the age it lets a gate's summary have.
  await expect.poll(() => lea.locator('.card').textContent()).toContain('opinions differ on 1: lea must settle');
  await lea.locator('.card button').click();
  await pictured(lea);
  await expect.poll(() => lea.locator('.opinions button').count()).toBe(2);
  if (process.env.HARDCASE_SCREENSHOTS)
    await lea.screenshot({ path: `${process.env.HARDCASE_SCREENSHOTS}/settle.png` });
  await lea.keyboard.press('2');
  await lea.getByRole('button', { name: 'Send now' }).click();
  await expect.poll(async () => (await rig.recorded()).length).toBe(6);
  const verdict = (await rig.recorded()).at(-1)!;
  expect(verdict).toMatchObject({ by: 'lea', settles: true });
  // The ledger says what was on each screen, and that it was not the same.
  const shown = (await rig.recorded()).filter(({ candidateId }) => candidateId === verdict.candidateId);
  expect(shown.map(({ saw }) => saw?.length)).toEqual([64, 64, 64]);
  expect(new Set(shown.map(({ saw }) => saw)).size).toBe(2);
  expect(await auditRun(rig.store, rig.run)).toMatchObject([{ decisions: 6, sawOther: 0, broken: null }]);
  await Promise.all([ada, ben, lea].map((page) => page.close()));
});

test('an answer of one person is not in what another is given', async () => {
  const fresh = await openGateRig({ candidates: 1 });
  try {
    const asking = fresh.candidates.map(({ id }) => ({ candidateId: id, opinions: 2 }));
    await writeGate(fresh.store, fresh.run, {
      ...(await readGate(fresh.store, fresh.run, fresh.gate))!,
      asking: await fresh.store.putObject(Buffer.from(JSON.stringify(asking))),
    });
    const other = await fresh.serve();
    const path = `/api/runs/${fresh.run}/gates/review`;
    const post = (to: string, token: string, body: unknown) =>
      fetch(`${other.url}${path}/${to}`, {
        method: 'POST',
        headers: { ...bearer(token), 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    const { id } = fresh.candidates[0]!;
    const said = { candidateId: id, verdict: 'reject', reason: 'a leaf' };
    expect((await post('decisions', tokens.ada, { batch: 'a', decisions: [said] })).status).toBe(200);
    const leased = (await (
      await post('leases', tokens.ben, { client: 'ben-tab-1', keep: [], count: 5 })
    ).json()) as LeaseAnswer;
    expect(leased.candidates.map((one) => one.id)).toEqual([id]);
    for (const role of [tokens.ben, tokens.viewer, tokens.lead]) {
      const listed = await fetch(`${other.url}${path}/candidates?all=1`, { headers: bearer(role) });
      const text = await listed.text();
      expect(text).not.toMatch(/a leaf|"decision"|"opinions"/);
      expect((JSON.parse(text) as { candidates: CandidateJson[] }).candidates).toHaveLength(1);
    }
  } finally {
    await fresh.close();
  }
});

test('where the model’s box is hidden, neither page nor API tells of it, and the answer is drawn', async () => {
  const blind = await openGateRig({ candidates: 2, categories: 2 });
  try {
    const { id } = blind.candidates.find(({ type }) => type === 'missing')!;
    const asking = [{ candidateId: id, blind: true }];
    await writeGate(blind.store, blind.run, {
      ...(await readGate(blind.store, blind.run, blind.gate))!,
      asking: await blind.store.putObject(Buffer.from(JSON.stringify(asking))),
    });
    const server = await blind.serve();
    const path = `/api/runs/${blind.run}/gates/review`;
    const listed = await fetch(`${server.url}${path}/candidates`, { headers: bearer(tokens.lead) });
    const { candidates } = (await listed.json()) as { candidates: CandidateJson[] };
    const shown = candidates.find((one) => one.id === id)!;
    expect(shown).toMatchObject({ blind: true, type: 'missing' });
    expect(Object.keys(shown)).not.toContain('detection');
    const accepted = await fetch(`${server.url}${path}/decisions`, {
      method: 'POST',
      headers: { ...bearer(tokens.ada), 'content-type': 'application/json' },
      body: JSON.stringify({ batch: 'a', decisions: [{ candidateId: id, verdict: 'accept' }] }),
    });
    expect(await accepted.json()).toMatchObject({
      outcomes: [{ outcome: 'refused', why: expect.stringMatching(/nothing to accept/) }],
    });

    const page = await browser.newPage({ viewport: { width: 1000, height: 640 } });
    await page.goto(`${server.url}/#token=${tokens.ada}`);
    await page.locator('.card button').click();
    const stage = page.locator(`.stage-canvas[data-candidate="${id}"][data-pictured="true"]`);
    for (let tries = 0; tries < 2 && (await stage.count()) === 0; tries++) {
      await page.locator('.stage-canvas[data-pictured="true"]').waitFor();
      if ((await stage.count()) === 0) await page.keyboard.press('s');
    }
    await stage.waitFor();
    await expect.poll(() => page.locator('h1').textContent()).toBe('Is anything here without a label?');
    await expect.poll(() => page.locator('.facts').textContent()).toContain('hidden here');
    if (process.env.HARDCASE_SCREENSHOTS)
      await page.screenshot({ path: `${process.env.HARDCASE_SCREENSHOTS}/blind.png` });
    await page.keyboard.press('a');
    const frame = (await stage.boundingBox())!;
    await page.mouse.move(frame.x + 200, frame.y + 200);
    await page.mouse.down();
    await page.mouse.move(frame.x + 300, frame.y + 320, { steps: 4 });
    await page.mouse.up();
    await page.keyboard.press('Enter');
    // Two categories, and the model's is hidden: one must be chosen.
    await expect.poll(() => page.getByRole('alert').textContent()).toContain('Choose the class too');
    if (process.env.HARDCASE_SCREENSHOTS)
      await page.screenshot({ path: `${process.env.HARDCASE_SCREENSHOTS}/blind-drawn.png` });
    await page.keyboard.press('2');
    await page.keyboard.press('Enter');
    await expect.poll(async () => (await blind.recorded()).length).toBe(1);
    expect((await blind.recorded())[0]).toMatchObject({
      candidateId: id,
      verdict: 'edit',
      categoryId: 2,
      saw: shown.saw,
    });
    // Had the gate shown another picture of it, the audit would say so.
    expect(await auditRun(blind.store, blind.run)).toMatchObject([{ sawOther: 0 }]);
    const openly = { ...(await readGate(blind.store, blind.run, blind.gate))!, asking: undefined };
    await writeGate(blind.store, blind.run, openly);
    expect(await auditRun(blind.store, blind.run)).toMatchObject([{ sawOther: 1 }]);
    await page.close();
  } finally {
    await blind.close();
  }
});

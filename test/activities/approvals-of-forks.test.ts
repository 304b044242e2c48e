import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApprovalRequest, closeApproval, openApproval } from '../../activities/approvals.ts';
import type { ActivityDeps } from '../../activities/attempt.ts';
import { readApproval, writeApproval } from '../../artifacts/approval-record.ts';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { createRun, readRun, readStepRecord } from '../../artifacts/run-record.ts';
import { explainStep } from '../../cli/why.ts';
import { testEnvironment } from '../small-plans.ts';

let folder: string;
let deps: ActivityDeps;
const now = '2026-01-01T00:00:00.000Z';
const request = (run: string, changes: Partial<ApprovalRequest> = {}): ApprovalRequest => ({
  run,
  path: 'ok',
  now,
  form: { properties: { go: { type: 'boolean' } }, required: ['go'] },
  with: { message: 'AP is 0.4. Train on?' },
  ...changes,
});

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-approvals-'));
  const store = await openFolderStore(folder);
  deps = { store, describeEnvironment: async () => testEnvironment };
  const header = {
    pipeline: 'p',
    planDigest: '0'.repeat(64),
    source: '0'.repeat(64),
    file: 'p.yaml',
    params: {},
    createdAt: now,
  };
  await createRun(store, { ...header, run: 'origin' });
  for (const run of ['fork', 'later', 'other']) {
    await createRun(store, { ...header, run, fork: { run: 'origin', from: 'more', params: {} } });
  }
  await openApproval(deps, request('origin'));
  const given = { answer: { go: true }, by: 'ann', at: now, via: 'update' } as const;
  await closeApproval(deps, { run: 'origin', path: 'ok', given, now });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('what was answered before the step that a fork goes its own way from is not asked again', async () => {
  const { approval } = await openApproval(deps, request('fork'));
  expect(approval).toMatchObject({ state: 'answered', given: { by: 'ann', answer: { go: true } } });
  const outputs = await closeApproval(deps, { run: 'fork', path: 'ok', given: approval.given!, now });
  expect(outputs).toEqual({ go: true, by: 'ann', expired: false });
});

test('an answer that was carried over is marked so in the record, in why, and in the fork of a fork', async () => {
  await createRun(deps.store, {
    ...(await readRun(deps.store, 'fork'))!.header,
    run: 'fork2',
    fork: { run: 'fork', from: 'more', params: {} },
  });
  const { approval } = await openApproval(deps, request('fork2'));
  await closeApproval(deps, { run: 'fork2', path: 'ok', given: approval.given!, now });
  const note = 'answered by ann (carried over from origin)';
  for (const run of ['fork', 'fork2']) {
    expect(await readApproval(deps.store, run, 'ok')).toMatchObject({ carriedFrom: 'origin', given: { by: 'ann' } });
    expect(await readStepRecord(deps.store, run, 'ok')).toMatchObject({ state: 'done', reused: true, note });
    const why = await explainStep(deps.store, (await readRun(deps.store, run))!.header, 'ok');
    expect(why).toMatchObject({ reused: true, because: `People decide it: ${note}.` });
  }
  expect(await readApproval(deps.store, 'origin', 'ok')).not.toHaveProperty('carriedFrom');
  expect(await readStepRecord(deps.store, 'origin', 'ok')).toMatchObject({ reused: false, note: 'answered by ann' });
});

test('a gate whose answer was there already ended when that was given, and did not wait until it was found', async () => {
  const { approval } = await openApproval(deps, request('origin'));
  const later = new Date(Date.parse(now) + 3_600_000).toISOString();
  await closeApproval(deps, { run: 'origin', path: 'ok', given: approval.given!, now: later });
  expect((await readStepRecord(deps.store, 'origin', 'ok'))?.endedAt).toBe(now);
});

test('a gate of a fork that is reset is asked anew', async () => {
  const { header } = (await readRun(deps.store, 'fork'))!;
  await createRun(deps.store, { ...header, run: 'reset' });
  const { given: _, ...asked } = (await openApproval(deps, request('reset'))).approval;
  await writeApproval(deps.store, 'reset', { ...asked, state: 'closed', closedAt: now });
  const { approval } = await openApproval(deps, request('reset'));
  expect(approval.state).toBe('open');
  expect(approval).not.toHaveProperty('carriedFrom');
});

test('a gate behind that step is asked anew, and so is another question', async () => {
  expect((await openApproval(deps, request('later', { fresh: 'salt' }))).approval.state).toBe('open');
  const question = { with: { message: 'AP is 0.6. Train on?' } };
  expect((await openApproval(deps, request('other', question))).approval.state).toBe('open');
});

/** Which checkpoint an attempt goes on from, and which it may add. */

import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openCheckpoints } from '../../activities/checkpoints.ts';
import { sha256Hex } from '../../artifacts/digest.ts';
import { openRig, type StepRig } from './step-rig.ts';

let rig: StepRig;

beforeEach(async () => {
  rig = await openRig();
});

afterEach(async () => {
  await rig.close();
});

const fingerprint = 'a'.repeat(64);
const here = { threads: 1, tensorflow: '2.18.1', oneDnn: true, cpu: 'this one' };
const state = (text: string) => new TextEncoder().encode(text);
const open = (environment = here) => openCheckpoints(rig.store, fingerprint, environment);

async function damage(text: string): Promise<void> {
  const digest = await rig.store.putObject(state(text));
  const names = readdirSync(rig.store.url, { recursive: true }) as string[];
  writeFileSync(join(rig.store.url, names.find((name) => name.endsWith(digest.slice(2)))!), 'damaged');
}

test('an attempt goes on from the newest checkpoint', async () => {
  const first = await open();
  expect(first.newest).toBeNull();
  await first.add(5, state('five'), 1);
  await first.add(10, state('ten'), 2);
  expect((await open()).newest).toEqual({ step: 10, bytes: state('ten'), seconds: 2, exact: true });
});

test('a damaged one falls back to the one before, and can be written again', async () => {
  const first = await open();
  await first.add(5, state('five'), 1);
  await first.add(10, state('ten'), 2);
  await damage('ten');
  const second = await open();
  expect(second.newest?.step).toBe(5);
  await second.add(7, state('seven'), 1);
  expect((await open()).newest?.step).toBe(7);
  await second.add(10, state('ten'), 2);
  expect((await open()).newest?.step).toBe(10);
});

test('a checkpoint whose record or state was only half written falls back to the one before', async () => {
  const first = await open();
  await first.add(5, state('five'), 1);
  await first.add(10, state('ten'), 2);
  await first.add(15, state('fifteen'), 3);
  // As after a power cut on a disk that reorders writes: the newest record is cut short, the state before it is.
  const key = `checkpoints/${fingerprint}/000000000015.json`;
  const record = (await rig.store.readRecord(key))!;
  await rig.store.writeRecord(key, record.subarray(0, record.length >> 1));
  const names = readdirSync(rig.store.url, { recursive: true }) as string[];
  const ten = names.find((name) => name.endsWith(sha256Hex(state('ten')).slice(2)))!;
  writeFileSync(join(rig.store.url, ten), 'te');
  const second = await open();
  expect(second.newest).toMatchObject({ step: 5, bytes: state('five'), exact: true });
  await second.add(20, state('twenty'), 4);
  expect((await open()).newest?.step).toBe(20);
});

test('with all of them gone, training starts from the beginning', async () => {
  const first = await open();
  await first.add(5, state('five'), 1);
  await damage('five');
  expect((await open()).newest).toBeNull();
});

test('another CPU, thread count or build goes on, but never again counts as exact', async () => {
  await (await open()).add(5, state('five'), 1);
  const elsewhere = await open({ ...here, cpu: 'another' });
  expect(elsewhere.newest).toMatchObject({ step: 5, exact: false });
  await elsewhere.add(10, state('ten, differently'), 2);
  expect((await open({ ...here, cpu: 'another' })).newest).toMatchObject({ step: 10, exact: false });
  expect((await open()).newest).toMatchObject({ step: 10, exact: false });
});

test('a late worker adds only beyond the newest step', async () => {
  const late = await open();
  const next = await open();
  await next.add(10, state('ten'), 1);
  await late.add(5, state('five'), 1);
  await late.add(10, state('ten'), 1);
  expect(await rig.store.listRecords(`checkpoints/${fingerprint}/`)).toHaveLength(1);
  await late.add(15, state('fifteen'), 1);
  expect((await open()).newest?.step).toBe(15);
});

test('a late worker adds nothing once another has gone on with other arithmetic', async () => {
  const late = await open();
  await late.add(5, state('five'), 1);
  const next = await open({ ...here, threads: 2 });
  await next.add(10, state('ten, differently'), 1);
  await late.add(15, state('fifteen'), 1);
  expect((await open()).newest?.step).toBe(10);
});

test('a late worker that came to other numbers on the same arithmetic adds nothing', async () => {
  const link = (head: string) => ({ head, state: 's', headAt: (step: number) => (step === 10 ? head : undefined) });
  const late = await open();
  const next = await open();
  expect(await next.add(10, state('ten'), 1, link('right'))).toBe('added');
  expect(await late.add(15, state('fifteen'), 1, link('wrong'))).toBe('differs');
  expect((await open()).newest?.step).toBe(10);
  expect(await late.add(15, state('fifteen'), 1, link('right'))).toBe('added');
  expect(await late.add(12, state('twelve'), 1, link('right'))).toBe('late');
});

test('the last three are kept, and after success the newest alone', async () => {
  const checkpoints = await open();
  for (const step of [1, 2, 3, 4, 5]) await checkpoints.add(step, state(`${step}`), 1);
  const kept = async () => {
    const digests = [1, 2, 3, 4, 5].map((step) => sha256Hex(state(`${step}`)));
    return Promise.all(digests.map((digest) => rig.store.hasObject(digest)));
  };
  expect(await kept()).toEqual([false, false, true, true, true]);
  await checkpoints.tidy();
  expect(await kept()).toEqual([false, false, false, false, true]);
});

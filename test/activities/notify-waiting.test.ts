import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { notifyWaiting } from '../../activities/notify-waiting.ts';
import { createRun, readNotices } from '../../artifacts/run-record.ts';
import type { Store } from '../../artifacts/store.ts';
import { createMemoryStore } from '../artifacts/memory-store.ts';
import { testEnvironment } from '../small-plans.ts';

let store: Store;
let server: Server;
let posted: unknown[];
let status: number;

beforeEach(async () => {
  store = createMemoryStore();
  await createRun(store, {
    run: 'r1',
    pipeline: 'p',
    planDigest: 'none',
    source: 'none',
    file: 'p.yaml',
    params: {},
    createdAt: '2026-01-01T00:00:00.000Z',
  });
  posted = [];
  status = 200;
  server = createServer((request, response) => {
    let text = '';
    request.on('data', (part) => {
      text += part;
    });
    request.on('end', () => {
      posted.push(JSON.parse(text));
      response.writeHead(status, status === 302 ? { location: '/elsewhere' } : {}).end();
    });
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
});
afterEach(() => new Promise((closed) => server.close(closed)));

const notify = (webhook?: string) =>
  notifyWaiting(
    { store, describeEnvironment: async () => testEnvironment },
    { run: 'r1', gate: 'review', kind: 'remind', undecided: 3, message: 'It waits.', webhook },
  );
const address = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;

test('a notice is kept with the run and posted', async () => {
  await notify(address());
  expect(posted).toEqual([{ run: 'r1', gate: 'review', kind: 'remind', undecided: 3, text: 'It waits.' }]);
  expect(await readNotices(store, 'r1')).toEqual(['It waits.']);
});

test('a webhook that refuses, sends elsewhere or is not there is told, and nothing fails', async () => {
  status = 500;
  await notify(address());
  status = 302;
  await notify(address());
  await notify('http://127.0.0.1:9/nowhere');
  const told = (await readNotices(store, 'r1')).filter((text) => text !== 'It waits.');
  expect(told).toHaveLength(3);
  expect(told[0]).toBe('The webhook of review was not reached: it answered 500.');
  // it was not followed
  expect(posted).toHaveLength(2);
});

test('without a webhook there is the notice alone', async () => {
  await notify();
  expect(await readNotices(store, 'r1')).toEqual(['It waits.']);
});

/** Leases that several servers of one store give: each question to one person, also after a restart. */

import { afterEach, beforeEach, expect, test } from 'vitest';
import { changeLeases, removeLeases } from '../../artifacts/gate-leases.ts';
import type { LeaseAnswer } from '../../review/api.ts';
import type { ReviewServer } from '../../review/server.ts';
import { createMemoryStore } from '../artifacts/memory-store.ts';
import { bearer, decision, type GateRig, openGateRig, tokens } from './gate-rig.ts';

let rig: GateRig;

beforeEach(async () => {
  rig = await openGateRig({ candidates: 48 });
});
afterEach(async () => {
  await rig.close();
});

const post = async <T>(server: ReviewServer, token: string, path: string, body: unknown): Promise<T> => {
  const response = await fetch(`${server.url}/api/runs/cherries-1/gates/review/${path}`, {
    method: 'POST',
    headers: { ...bearer(token), 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  expect(response.status).toBe(200);
  return (await response.json()) as T;
};

const lease = async (server: ReviewServer, token: string, client: string, keep: readonly string[], count: number) =>
  await post<LeaseAnswer>(server, token, 'leases', { client, keep, count });

test('two servers at once give every question away once', async () => {
  const servers = [await rig.serve(), await rig.serve()];
  const taken = await Promise.all(
    Array.from({ length: 8 }, async (_, i) => {
      const token = i % 3 === 0 ? tokens.ada : i % 3 === 1 ? tokens.ben : tokens.lead;
      const own: string[] = [];
      for (let round = 0; round < 3; round++) {
        const { candidates } = await lease(servers[i % 2]!, token, `client-number-${i}`, own, 2);
        own.push(...candidates.map(({ id }) => id));
      }
      return own;
    }),
  );
  const ids = taken.flat();
  expect(ids).toHaveLength(48);
  expect(new Set(ids).size).toBe(48);
});

test('a lease outlives the server that gave it, and goes with the answer, whichever server takes that', async () => {
  const [one, two] = [await rig.serve(), await rig.serve()];
  const { candidates } = await lease(one, tokens.ada, 'client-of-ada', [], 10);
  const mine = candidates.map(({ id }) => id);
  await one.close();
  const again = await rig.serve();
  expect(await lease(again, tokens.ben, 'client-of-ben', [], 1)).toMatchObject({ elsewhere: 10 });
  const { candidates: renewed } = await lease(again, tokens.ada, 'client-of-ada', mine, 0);
  expect(renewed).toEqual([]);
  await post(two, tokens.ada, 'decisions', { batch: 'b1', decisions: mine.slice(0, 4).map((id) => decision(id)) });
  // The other server has read the record before, and does not ask anybody again what it does not know to be answered.
  const rest = await lease(again, tokens.ben, 'client-of-ben', [], 48);
  expect(rest.candidates.map(({ id }) => id).filter((id) => mine.includes(id))).toEqual([]);
  await expect
    .poll(async () => (await lease(again, tokens.ada, 'client-of-ada', mine, 2)).decided)
    .toEqual(mine.slice(0, 4));
});

test('old tables go, and all of them once the gate is closed', async () => {
  const store = createMemoryStore();
  for (let i = 0; i < 80; i++) {
    const answer = await changeLeases<number, number>(store, 'r1', 'review', (before) => ({
      table: (before ?? 0) + 1,
      answer: before ?? 0,
    }));
    expect(answer).toBe(i);
  }
  expect(await store.listRecords('runs/r1/gates/review/leases/')).toHaveLength(33);
  await removeLeases(store, 'r1', 'review');
  expect(await store.listRecords('runs/r1/')).toEqual([]);
});

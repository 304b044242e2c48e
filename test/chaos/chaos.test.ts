/** A few schedules of the chaos suite, whose long form is `npm run chaos`: whatever goes wrong, the run ends as a calm one. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Calm, calmSchedule, type Lane, openLane } from '../../bench/chaos/lane.ts';
import { type Schedule, scheduleOf } from '../../bench/chaos/schedule.ts';

let lane: Lane;
let calm: Calm;

beforeAll(async () => {
  lane = await openLane();
  const { problems, left } = await lane.run(calmSchedule, null);
  expect(problems).toEqual([]);
  calm = left!;
}, 300_000);

afterAll(async () => {
  await lane?.close();
});

test('a schedule is a function of its seed, and all kinds of mishaps turn up in two hundred', () => {
  expect(scheduleOf(11)).toEqual(scheduleOf(11));
  const all = Array.from({ length: 200 }, (_, seed) => scheduleOf(seed)).flatMap(({ mishaps }) => mishaps);
  for (const { mishap } of all)
    if (mishap.what === 'clock') expect(Math.abs(mishap.byMs)).toBeGreaterThanOrEqual(10_000);
  const kinds = all.map(({ mishap }) => ('fault' in mishap ? `s3 ${mishap.fault}` : mishap.what));
  expect([...new Set(kinds)].sort()).toEqual([
    'clock',
    'collect',
    'cut',
    'cut-store',
    'disk-full',
    'forget-temporal',
    'kill-command',
    'kill-minio',
    'kill-temporal',
    'kill-worker',
    's3 500',
    's3 503',
    's3 lost-answer',
    's3 short',
    's3 slow',
    'slow',
    'stop-command',
    'stop-minio',
    'stop-temporal',
    'stop-worker',
  ]);
});

test('the calm run has come by all its gates', () => {
  expect([...calm.candidates].map(([gate, ids]) => `${gate}: ${ids.length}`)).toEqual([
    'review: 4',
    'rounds[1].review: 3',
    'rounds[2].review: 3',
  ]);
  expect(Object.keys(calm.outputs)).toHaveLength(13);
});

/** One store each, and what hurts most: dead workers and servers, a worker that comes back late, decisions before their gate. */
const schedules: readonly Schedule[] = [
  {
    seed: 1001,
    store: 'folder',
    early: [true, false, true],
    repeats: 3,
    startedTwice: true,
    mishaps: [
      { atMs: 1_200, mishap: { what: 'stop-worker', worker: 0, forMs: 4_500 } },
      { atMs: 2_500, mishap: { what: 'disk-full', worker: 1, forMs: 800 } },
      { atMs: 3_000, mishap: { what: 'kill-command' } },
      { atMs: 4_000, mishap: { what: 'kill-temporal', forMs: 300 } },
    ],
  },
  {
    seed: 1002,
    store: 's3',
    early: [false, true, false],
    repeats: 2,
    startedTwice: false,
    mishaps: [
      { atMs: 600, mishap: { what: 's3', fault: 'lost-answer', forMs: 2_000 } },
      { atMs: 1_500, mishap: { what: 'kill-worker', worker: 1 } },
      { atMs: 3_500, mishap: { what: 'kill-minio', forMs: 300 } },
    ],
  },
];

test.each(schedules)('schedule $seed on $store ends as the calm run', async (schedule) => {
  const { problems } = await lane.run(schedule, calm);
  expect(problems).toEqual([]);
});

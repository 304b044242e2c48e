/** Which workers may serve the queues of one server together. */

import { hostname } from 'node:os';
import { expect, test } from 'vitest';
import { problemOfWorkers, workerIdentity } from '../../cli/other-workers.ts';

const other = (identity: string, idleMs = 1_000) => [{ identity, idleMs }];

test('workers of one machine may share a folder, and those of several a bucket', () => {
  expect(workerIdentity('s3://labels/a')).toBe(`${process.pid}@${hostname()} store=s3://labels/a`);
  expect(problemOfWorkers('/data/store', other('7@here store=/data/store'), 'here')).toBeNull();
  expect(problemOfWorkers('s3://labels/a', other('7@there store=s3://labels/a'), 'here')).toBeNull();
  expect(problemOfWorkers('/data/store', [], 'here')).toBeNull();
});

test('a folder is not shared with another machine, and the reason is told', () => {
  const refused =
    /^The store is the folder \/data\/store of this machine \(here\), and 7@there store=\/data\/store serves/;
  expect(problemOfWorkers('/data/store', other('7@there store=/data/store'), 'here')).toMatch(refused);
  expect(problemOfWorkers('/data/store', other('7@there'), 'here')).toMatch(/from another\. A folder is no store/);
});

test('workers with two stores are told apart', () => {
  expect(problemOfWorkers('/data/b', other('7@here store=/data/a'), 'here')).toMatch(
    /serves the same queues with another/,
  );
  expect(problemOfWorkers('s3://labels/b', other('7@there store=/data/a'), 'here')).toMatch(/with another one/);
});

test('who has not asked for work for long, or is no worker of ours, does not count', () => {
  expect(problemOfWorkers('/data/store', other('7@there store=/data/store', 100_000), 'here')).toBeNull();
  expect(problemOfWorkers('/data/store', other('trainer'), 'here')).toBeNull();
});

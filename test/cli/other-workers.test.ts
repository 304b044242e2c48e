/** Which workers may serve the queues of one server together, and what is said to those that may not. */

import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import {
  type Place,
  placeOfStore,
  problemOfClient,
  problemOfStarted,
  problemOfWorkers,
  workerIdentity,
} from '../../cli/other-workers.ts';
import { createMemoryStore } from '../artifacts/memory-store.ts';

const here: Place = { host: 'here', boot: 'b1', store: '/data/store', id: 'i1' };
const bucket: Place = { ...here, store: 's3://labels/a' };
const at = (place: Partial<Place>, idleMs = 1_000) => ({
  identity: workerIdentity({ ...here, ...place }).replace(/^\d+/, '7'),
  idleMs,
});

test('a worker says where it is and which store it has, which keeps its id', async () => {
  const store = createMemoryStore();
  const place = await placeOfStore(store);
  expect(place).toMatchObject({ host: hostname(), store: resolve('memory') });
  expect(await placeOfStore(store)).toEqual(place);
  expect((await placeOfStore(createMemoryStore())).id).not.toBe(place.id);
  expect(workerIdentity(here)).toBe(`${process.pid}@here boot=b1 store=/data/store id=i1`);
  expect(workerIdentity({ ...here, boot: null, id: null })).toBe(`${process.pid}@here store=/data/store`);
});

test('workers of one machine may share a folder, containers of it too, and those of several a bucket', () => {
  expect(problemOfWorkers(here, [])).toBeNull();
  expect(problemOfWorkers(here, [at({})])).toBeNull();
  expect(problemOfWorkers(here, [at({ host: 'container-2' })])).toBeNull();
  expect(problemOfWorkers(bucket, [at({ ...bucket, host: 'there', boot: 'b2' })])).toBeNull();
  const spaced = { ...here, store: '/data/my store' };
  expect(problemOfWorkers(spaced, [at(spaced)])).toBeNull();
});

test('a folder is not shared with another machine, whatever it is called, and the reason is told', () => {
  expect(problemOfWorkers(here, [at({ host: 'there', boot: 'b2' })])).toBe(
    'The store is the folder /data/store of this machine (here), and 7@there serves the same queues from another machine. A folder is no store for several machines: each would see only what its own disk holds, and on a network drive ' +
      'neither "create only if it is free" nor a rename is safe. Give all of them one store on S3, HARDCASE_STORE=s3://bucket/prefix, or stop the other worker (it counts for a minute longer).',
  );
  expect(problemOfWorkers(here, [at({ boot: 'b2' })])).toContain(
    '7@here serves the same queues from another machine of the same name. A folder',
  );
  // Where the kernel does not say which it is, or the worker is of an earlier release, the name must do.
  const unknown = { ...here, boot: null };
  expect(problemOfWorkers(unknown, [at({ ...unknown, host: 'there' })])).toContain('from another machine. A folder');
  expect(problemOfWorkers(here, [{ identity: '7@there', idleMs: 0 }])).toContain('from another machine. A folder');
  expect(problemOfWorkers(here, [{ identity: '7@here store=/data/store', idleMs: 0 }])).toBeNull();
});

test('workers with two stores are told apart, also where both stores have one name', () => {
  expect(problemOfWorkers({ ...here, store: '/data/b' }, [at({})])).toContain(
    'The store is /data/b, and 7@here serves the same queues with another one, /data/store. What belongs to one run',
  );
  expect(problemOfWorkers(bucket, [at({ host: 'there', boot: 'b2' })])).toContain('with another one, /data/store.');
  expect(problemOfWorkers(here, [at({ host: 'container-2', id: 'i2' })])).toMatch(
    /7@container-2 serves the same queues with another one of that name\..* in a container it must be the same one: mount it into all of them, or/,
  );
  expect(problemOfWorkers(bucket, [at({ ...bucket, id: 'i2' })])).toContain(
    'Give all of them the same AWS_ENDPOINT_URL, or',
  );
});

test('a command whose store is not that of the workers is told so before it leaves a run there', () => {
  expect(problemOfClient(bucket, [at(bucket)])).toBeNull();
  expect(problemOfClient(here, [at({ ...bucket, host: 'there', boot: 'b2' })])).toContain(
    '7@there works for this server from another machine. A folder',
  );
  expect(problemOfClient({ ...bucket, store: 's3://labels/b' }, [at(bucket)])).toContain(
    '7@here works for this server with another one, s3://labels/a.',
  );
});

test('of workers that started at the same moment, one ends: with a folder beside a bucket, else by name', () => {
  const own = workerIdentity(here);
  const before = { identity: own.replace(/^\d+@here boot=b1/, '0@there boot=b2'), idleMs: 0 };
  const after = { identity: own.replace(/^\d+@here boot=b1/, '99999999@there boot=b2'), idleMs: 0 };
  expect(problemOfStarted(here, [before])).toContain('0@there serves the same queues from another machine.');
  expect(problemOfStarted(here, [after])).toBeNull();
  const there = { ...bucket, host: 'there', boot: 'b2' };
  expect(problemOfStarted(here, [{ ...after, identity: after.identity.replace(here.store, bucket.store) }])).toContain(
    'from another machine',
  );
  expect(problemOfStarted(bucket, [at({ host: 'there', boot: 'b2' })])).toBeNull();
  expect(problemOfStarted(bucket, [at(there)])).toBeNull();
});

test('who has not asked for work for long, or is no worker of ours, does not count', () => {
  expect(problemOfWorkers(here, [at({ host: 'there', boot: 'b2' }, 100_000)])).toBeNull();
  expect(problemOfWorkers(here, [{ identity: 'trainer', idleMs: 0 }])).toBeNull();
});

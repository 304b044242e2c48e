/** Steps that take up objects long left lying, beside one collection of garbage after the other: what each store must withstand. */

import { setTimeout as sleep } from 'node:timers/promises';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { expect } from 'vitest';
import type { AnyStepImplementation } from '../../activities/context.ts';
import { runStep } from '../../activities/run-step.ts';
import { saveJson } from '../../artifacts/codecs.ts';
import { findGarbage, removeGarbage } from '../../artifacts/garbage.ts';
import { createRun, writeRunState } from '../../artifacts/run-record.ts';
import type { Store } from '../../artifacts/store.ts';
import type { ArtifactRef, StepResult } from '../../plan/types.ts';
import { testEnvironment } from '../small-plans.ts';

/** `age` makes all that is there old, and answers how long an object is young from then on, in milliseconds. */
export async function collectBesideSteps(store: Store, count: number, age: () => Promise<number>): Promise<void> {
  // Named by nothing: what a step writes may be there already.
  const contents = Array.from({ length: count }, (_, i) => ({ images: [i] }));
  for (const content of contents) await saveJson(store, 'selection', content);
  const stray = await store.putObject(Buffer.from('left by a step that was killed'));
  const graceMs = await age();
  const header = { pipeline: 'p', planDigest: 'd', source: 's', file: 'f', params: {} };
  await createRun(store, { run: 'busy', ...header, createdAt: new Date().toISOString() });
  await writeRunState(store, 'busy', { state: 'running' });
  const rules = { olderThanMs: null, keep: new Set<string>(), graceMs };
  let working = true;
  let collections = 0;
  const collecting = (async () => {
    while (working) {
      await removeGarbage(store, rules, await findGarbage(store, rules));
      collections++;
      await sleep(1);
    }
  })();
  const policy = { retry: { max: 1, initialMs: 1, factor: 1, maxMs: 1 }, timeoutMs: 60_000, holds: 0 };
  const given = await Promise.all(
    contents.map(async (content, i) => {
      // Into the midst of the first collection, which finds all of it old.
      await sleep(i);
      const step = (async () => {
        const selection = await saveJson(store, 'selection', content);
        // Until the record names it, its age alone keeps it.
        await sleep(800);
        return { selection };
      }) as unknown as AnyStepImplementation;
      const what = { run: 'busy', path: `s${i}`, kind: 'mine', version: 1, with: { i }, seed: 1 };
      const environment = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
      const deps = { store, describeEnvironment: async () => testEnvironment };
      const request = { ...what, environment: testEnvironment };
      return environment.run(() => runStep(deps, step, request, policy)) as Promise<StepResult>;
    }),
  );
  working = false;
  await collecting;
  await removeGarbage(store, rules, await findGarbage(store, rules));
  expect(collections).toBeGreaterThan(0);
  for (const [i, { outputs }] of given.entries()) {
    const bytes = await store.getObject((outputs.selection as ArtifactRef).digest);
    expect(JSON.parse(bytes?.toString() ?? 'null')).toEqual(contents[i]);
  }
  // The collections did collect.
  expect(await store.hasObject(stray)).toBe(false);
}

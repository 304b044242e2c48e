/** Which engine has a run: two that want it at once, and what an embedded engine looks at when it starts. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { addEngineClaim, type RunEngine, readEngineClaim } from '../../artifacts/run-engine.ts';
import { createRun, writeRunState } from '../../artifacts/run-record.ts';
import type { Store } from '../../artifacts/store.ts';
import { claimOpenRuns, claimRun, RunElsewhereError, takeRun } from '../../cli/claim-run.ts';
import type { TemporalConnection } from '../../cli/connect.ts';
import type { Settings } from '../../cli/settings.ts';
import { folderPlace, identify } from '../../deploy/lock.ts';
import type { RunHeader, RunState } from '../../plan/types.ts';
import { createMemoryStore } from '../artifacts/memory-store.ts';

let parent: string;
beforeAll(() => {
  parent = mkdtempSync(join(tmpdir(), 'hardcase-claim-'));
});
afterAll(() => rmSync(parent, { recursive: true, force: true }));

/** The embedded engine of a folder, whose server is this process. Its server has an open workflow of each of `open`. */
function engineOf(name: string, open: readonly string[] = []) {
  const folder = join(parent, name);
  mkdirSync(folder, { recursive: true });
  const server = identify(process.pid)!;
  const place = folderPlace(folder);
  writeFileSync(join(folder, 'engine.json'), JSON.stringify({ server, port: 1, startedAt: '', place }));
  const ended: string[] = [];
  const workflow = {
    getHandle: (id: string) => ({
      terminate: async () => {
        ended.push(id);
        if (!open.includes(id.slice('hardcase:'.length)))
          throw Object.assign(new Error(), { name: 'WorkflowNotFoundError' });
      },
    }),
    list: async function* () {
      for (const run of open) yield* [{ workflowId: `hardcase:${run}` }, { workflowId: `hardcase:${run}:rounds[1]` }];
    },
  };
  const settings: Settings = { folder, store: 'memory', queue: 'test' };
  const temporal = { engine: {}, client: { workflow } as unknown as Client } as TemporalConnection;
  return { settings, temporal, ended, here: { folder, place, server } satisfies RunEngine };
}

const gone: RunEngine = { folder: '/gone', place: '0:0', server: { pid: process.pid, started: 'long ago' } };

async function runOf(store: Store, run: string, state: RunState['state'] = 'running'): Promise<RunHeader> {
  const header = { run, pipeline: 'p', planDigest: '', source: '', file: 'p.yaml', params: {}, createdAt: '' };
  await createRun(store, header);
  await writeRunState(store, run, { state });
  return header;
}

test('of engines that take over the run of a dead one at once, one has it and the others are refused', async () => {
  const store = await openFolderStore(join(parent, 'store'));
  const engines = ['one', 'two', 'three'].map((name) => engineOf(name));
  for (let round = 0; round < 20; round++) {
    const header = await runOf(store, `run-${round}`);
    await addEngineClaim(store, header.run, null, gone);
    const ways = engines.map(({ settings, temporal }, i) =>
      // A command that cancels a run which no engine knows takes it as well.
      i === 2 ? takeRun(settings, store, header) : claimRun(settings, store, temporal, header),
    );
    const ends = await Promise.allSettled(ways);
    const winner = ends.findIndex(({ status }) => status === 'fulfilled');
    const claim = await readEngineClaim(store, header.run);
    expect(claim).toEqual({ number: 2, engine: engines[winner]!.here });
    for (const [i, end] of ends.entries()) {
      if (i !== winner) expect(end).toMatchObject({ status: 'rejected', reason: expect.any(RunElsewhereError) });
    }
  }
});

test('an engine that starts looks at open runs and at what its server has open, and not at the runs that have ended', async () => {
  const store = createMemoryStore();
  const own = engineOf('own', ['mine', 'theirs', 'ended-elsewhere', 'ended-here']);
  const other = engineOf('other');
  const before = { ...own.here, server: gone.server };
  for (const [run, state, engine] of [
    ['mine', 'running', before],
    ['theirs', 'running', other.here],
    ['ended-elsewhere', 'done', other.here],
    ['ended-here', 'done', before],
    ['old', 'done', other.here],
  ] as const) {
    await runOf(store, run, state);
    await addEngineClaim(store, run, null, engine);
  }
  const read: string[] = [];
  const watched = {
    ...store,
    listRecords: (prefix: string) => {
      read.push(prefix);
      return store.listRecords(prefix);
    },
  };
  await claimOpenRuns(own.settings, watched, own.temporal);
  expect(own.ended.sort()).toEqual(['hardcase:ended-elsewhere', 'hardcase:theirs']);
  expect(await readEngineClaim(store, 'mine')).toEqual({ number: 2, engine: own.here });
  expect((await readEngineClaim(store, 'ended-here'))?.number).toBe(1);
  expect(read.filter((prefix) => prefix.startsWith('runs/old/'))).toEqual([]);
});

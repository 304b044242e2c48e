/** Open runs of another build go on with this one where their histories replay. */

import { afterAll, describe, expect, test } from 'vitest';
import { createRun, readNotices, readOperations, readRun, writeRunState } from '../../artifacts/run-record.ts';
import { runCancel } from '../../cli/cancel.ts';
import { runPause } from '../../cli/operate.ts';
import { buildOf, moveOpenRuns } from '../../deploy/move-runs.ts';
import { startWorker } from '../../deploy/worker.ts';
import type { PlannedStep } from '../../plan/types.ts';
import { presentAndNextBundle } from '../changed-bundle.ts';
import { eventually, openRig, type Rig } from '../rig.ts';
import { activity, testEnvironment, testQueuePrefix } from '../small-plans.ts';

const bundles = presentAndNextBundle();

describe('an open run of another build', () => {
  let rig: Rig;
  afterAll(async () => {
    await rig?.close();
  });

  test('is moved over where its history replays, and held with the version to install where not', async () => {
    rig = await openRig();
    const worker = await rig.startWorker({
      weak: () => {
        throw new Error('not yet');
      },
    });
    const handle = await rig.startRun('open', { steps: [activity('weak', 'weak')] });
    await eventually(async () => (await readRun(rig.store, 'open'))?.state.state === 'held');
    await worker.shutdown();
    const begun = { id: 'aaaaaaaaaaaa', version: '0.0.9' };
    await writeRunState(rig.store, 'open', { build: begun });
    // One that only the record knows: nothing to move.
    await createRun(rig.store, { ...(await readRun(rig.store, 'open'))!.header, run: 'gone' });
    await writeRunState(rig.store, 'gone', { build: begun });

    const changed = await buildOf(bundles.changedPath);
    expect(await moveOpenRuns(rig.client, rig.store, bundles.changedPath, changed)).toMatchObject([
      { run: 'open', build: begun, why: expect.stringContaining('begin-run') },
    ]);
    expect((await readRun(rig.store, 'open'))?.state.build).toEqual(begun);

    const own = await buildOf(bundles.bundlePath);
    expect(own.id).not.toBe(changed.id);
    expect(await moveOpenRuns(rig.client, rig.store, bundles.bundlePath, own)).toEqual([]);
    expect((await readRun(rig.store, 'open'))?.state.build).toEqual(own);
    expect(await readNotices(rig.store, 'open')).toEqual([
      expect.stringMatching(/^The run was begun by hardcase 0\.0\.9 \(build aaaaaaaaaaaa\) and goes on with hardcase /),
    ]);
    expect(await readNotices(rig.store, 'gone')).toEqual([]);
    await handle.terminate();
  });

  test('takes no operation while no worker can go on with it, and says so; it can be cancelled all the same', async () => {
    const never = {
      weak: () => {
        throw new Error('not yet');
      },
    };
    const begun = await rig.startWorker(never);
    const legs = { type: 'fan-out', id: 'legs', needs: [], concurrency: 2, scope: { steps: [activity('', 'weak')] } };
    const matrix = { matrix: [{ name: 'a', values: { a: 1 } }] };
    const handle = await rig.startRun('stuck', { steps: [{ ...legs, legs: matrix } as PlannedStep] });
    await eventually(async () => (await readRun(rig.store, 'stuck'))?.state.state === 'held');
    await begun.shutdown();
    await writeRunState(rig.store, 'stuck', { build: { id: 'aaaaaaaaaaaa', version: '0.0.9' } });
    const worker = await startWorker({
      connection: { address: rig.server.address },
      namespace: 'default',
      store: rig.store,
      queuePrefix: testQueuePrefix,
      queues: ['workflows', 'cpu', 'train'],
      bundlePath: bundles.changedPath,
      implementations: never as never,
      describeEnvironment: async () => testEnvironment,
    });
    const settings = {
      folder: rig.folder,
      store: rig.storeFolder,
      queue: testQueuePrefix,
      address: rig.server.address,
    };
    await expect(runPause(settings, 'stuck', { by: 'ann' })).rejects.toThrow(
      /^Run stuck takes no messages now: its workflow was begun by hardcase 0\.0\.9 \(build aaaaaaaaaaaa\), and the worker that there is cannot go on with it\. Install that version, run it \(.* --run stuck\).* Or end it with ".*cancel stuck"/,
    );
    expect(await runCancel(settings, 'stuck', { by: 'ann', reason: 'an old one', json: true })).toBe(0);
    expect((await handle.describe()).status.name).toBe('TERMINATED');
    const open = async () => {
      const ids: string[] = [];
      for await (const { workflowId } of rig.client.workflow.list({ query: 'ExecutionStatus = "Running"' })) {
        ids.push(workflowId);
      }
      return ids;
    };
    await expect.poll(open, { timeout: 30_000 }).toEqual([]);
    const { state } = (await readRun(rig.store, 'stuck'))!;
    expect(state).toMatchObject({
      state: 'cancelled',
      notices: [expect.stringContaining('steps of "finally" did not run')],
    });
    expect(await readOperations(rig.store, 'stuck')).toMatchObject([
      { operation: 'cancel', by: 'ann', reason: 'an old one' },
    ]);
    await worker.shutdown();
  });
});

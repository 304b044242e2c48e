/** Open runs of another build go on with this one where their histories replay. */

import { afterAll, describe, expect, test } from 'vitest';
import { createRun, readNotices, readRun, writeRunState } from '../../artifacts/run-record.ts';
import { buildOf, moveOpenRuns } from '../../deploy/move-runs.ts';
import { presentAndNextBundle } from '../changed-bundle.ts';
import { eventually, openRig, type Rig } from '../rig.ts';
import { activity } from '../small-plans.ts';

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
});

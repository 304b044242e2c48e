/** Builds side by side on one server: runs stay with theirs, new ones go to the current, and a run moves as far as it can. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BuildsServer, buildsOf, makeCurrent, moveRun, RunStaysError } from '../../deploy/builds.ts';
import { type RunningWorker, startWorker } from '../../deploy/worker.ts';
import { workflowIdOf } from '../../workflows/messages.ts';
import { changedBundle } from '../changed-bundle.ts';
import { eventually, openRig, type Rig } from '../rig.ts';
import { approve, repeat, testEnvironment, testQueuePrefix } from '../small-plans.ts';

const deploymentName = testQueuePrefix;
let rig: Rig;
let server: BuildsServer;
const workers: RunningWorker[] = [];

beforeAll(async () => {
  rig = await openRig();
  server = { connection: rig.connection, client: rig.client, namespace: 'default' };
});

afterAll(async () => {
  for (const worker of workers) await worker.shutdown();
  await rig?.close();
});

/** And makes it the one that new runs go to. */
async function startBuild(buildId: string, bundlePath: string): Promise<void> {
  const worker = await startWorker({
    connection: { address: rig.server.address },
    namespace: 'default',
    store: rig.store,
    queuePrefix: testQueuePrefix,
    queues: ['workflows', 'cpu'],
    bundlePath,
    deployment: { deploymentName, buildId },
    // Registered, so that who asks for it is not told that nobody knows it: it fails, and is asked for again.
    implementations: { 'ask-approval': async () => ({}) },
    describeEnvironment: async () => testEnvironment,
  });
  workers.push(worker);
  await eventually(async () => (await makeCurrent(server, { deploymentName, buildId })) === null, 60_000);
}

/** Three rounds, in each of which a person is asked. */
const start = (run: string) => {
  const ok = approve('ok', { properties: { go: { type: 'boolean' } }, required: [] });
  return rig.startRun(run, { steps: [repeat('rounds', [ok], { max: 3 })] });
};
const answer = async (run: string, round: number) => {
  const message = { gate: `rounds[${round}].ok`, by: 'ada', answer: { go: true } };
  await rig.client.workflow.getHandle(workflowIdOf(run)).executeUpdate('answer', { args: [message] });
};
/** Waits until a round has asked for the activity. */
const asks = (run: string, round: number, activity: string) =>
  eventually(async () => {
    const handle = rig.client.workflow.getHandle(workflowIdOf(run, `rounds[${round}]`));
    const history = await handle.fetchHistory().catch(() => null);
    return history?.events?.some(
      ({ activityTaskScheduledEventAttributes: scheduled }) => scheduled?.activityType?.name === activity,
    );
  }, 30_000);

test('runs stay with their build, new ones go to the current, and a run that moves changes at the next round', async () => {
  await startBuild('one', rig.bundlePath);
  const old = await start('old');
  const moving = await start('moving');
  await asks('old', 1, 'open-approval');
  await asks('moving', 1, 'open-approval');

  // Its rounds do not replay what those of the first did; its roots do.
  const second = changedBundle(rig.bundlePath, 'open-approval', 'ask-approval');
  await startBuild('two', second);
  const begun = await start('new');
  await asks('new', 1, 'ask-approval');
  await begun.terminate();
  await answer('old', 1);
  await asks('old', 2, 'open-approval');
  const known = await buildsOf(server, deploymentName);
  expect(known.map(({ buildId, isCurrent }) => [buildId, isCurrent])).toEqual([
    ['two', true],
    ['one', false],
  ]);

  const { moved, stay } = await moveRun(server, 'moving', second, { deploymentName, buildId: 'two' });
  expect(moved).toEqual([workflowIdOf('moving')]);
  expect(stay).toMatchObject([
    { workflowId: workflowIdOf('moving', 'rounds[1]'), why: expect.stringMatching(/ask-approval/) },
  ]);
  await answer('moving', 1);
  await asks('moving', 2, 'ask-approval');
  await moving.terminate();

  // Nothing of a run that does not replay is touched.
  const third = changedBundle(rig.bundlePath, 'open-run', 'begin-run');
  await expect(moveRun(server, 'old', third, { deploymentName, buildId: 'two' })).rejects.toThrow(RunStaysError);
  await answer('old', 2);
  await asks('old', 3, 'open-approval');
  await answer('old', 3);
  expect(await old.result()).toEqual({ state: 'done' });
});

test('a build that no worker has made known, or that lacks a queue, takes no new runs', async () => {
  expect(await makeCurrent(server, { deploymentName, buildId: 'nowhere' })).toMatch(/not found|no pollers/i);
  expect(await buildsOf(server, 'another')).toEqual([]);
});

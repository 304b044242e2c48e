/** A search that goes on in new histories, on a real server, while people pause, resume and retry. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { workflowIdOf } from '../../workflows/messages.ts';
import { openRig, type Rig } from '../rig.ts';
import { search } from '../small-plans.ts';

let rig: Rig;
/** By width and epoch. */
const attempts = new Map<string, number>();

const trial = async (
  _: StepContext,
  { width, epochs, until = epochs }: Record<'width' | 'epochs' | 'until', number>,
) => {
  const key = `${width}@${until}`;
  const count = (attempts.get(key) ?? 0) + 1;
  attempts.set(key, count);
  await new Promise((resolve) => setTimeout(resolve, 30));
  // Some give up until somebody has looked at them.
  if (width % 4 === 3 && count === 1) throw new Error('It stumbles.');
  return { AP: width / 100, AP50: 0, epoch: until, trainingLoss: 1, parameters: width, flops: width, seconds: 1 };
};

beforeAll(async () => {
  rig = await openRig();
  await rig.startWorker({
    'capacity-rung': trial,
    'capacity-trial': trial,
    'choose-capacity': async (_: StepContext, { trials }: { trials: readonly { readonly AP: number }[] }) => ({
      widths: trials.map(({ AP }) => AP * 100),
    }),
  });
});

afterAll(async () => {
  await rig?.close();
});

test('loses no trial, no pause and no retry over its new histories', async () => {
  const width = Array.from({ length: 12 }, (_, i) => i + 1);
  const halving = { eta: 2, minEpochs: 1, finalists: 2 };
  const parameters = { depth: [1], width, epochs: 8, strategy: 'halving', halving };
  const handle = await rig.startRun('renewed', {
    steps: [search('search', { with: parameters, renewAfter: 30 })],
  });
  const operate = (name: string) => handle.executeUpdate(name, { args: [{ by: 'anna' }] }).catch(() => undefined);
  const searchHandle = rig.client.workflow.getHandle(workflowIdOf('renewed', 'search'));
  const histories = new Set<string>();
  let ended = false;
  // At whatever moment, also while the search begins anew.
  const people = (async () => {
    while (!ended) {
      await operate('pause');
      await new Promise((resolve) => setTimeout(resolve, 60));
      await operate('resume');
      await operate('retry');
      await new Promise((resolve) => setTimeout(resolve, 150));
      const described = await searchHandle.describe().catch(() => undefined);
      if (described !== undefined) histories.add(described.runId);
    }
  })();
  await handle.result();
  ended = true;
  await people;
  expect(histories.size).toBeGreaterThan(2);
  expect((await rig.step('renewed', 'search'))!.outputs).toEqual({ widths: [11, 12] });
  for (const [key, count] of attempts) expect([key, count]).toEqual([key, /^(3|7|11)@/.test(key) ? 2 : 1]);
  expect([...attempts.keys()].filter((key) => key.endsWith('@1'))).toHaveLength(12);
  expect((await rig.states('renewed')).filter((state) => !/: done/.test(state))).toEqual([]);
});

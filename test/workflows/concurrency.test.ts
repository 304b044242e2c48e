/** Concurrency groups across runs on a real Temporal server: turns, cancelling what runs, and holders that crash. */

import { WorkflowFailedError } from '@temporalio/client';
import { describe, expect, test } from 'vitest';
import type { StepContext } from '../../activities/context.ts';
import { readRun } from '../../artifacts/run-record.ts';
import type { PlannedScope } from '../../plan/types.ts';
import { groupWorkflowId } from '../../workflows/messages.ts';
import { eventually } from '../rig.ts';
import { rigOfFile } from '../rig-of-file.ts';
import { activity, cel, repeat } from '../small-plans.ts';

/** Names that are at work now, and the most that ever were at once, by group. */
const atWork = new Map<string, Set<string>>();
const most = new Map<string, number>();
const order: string[] = [];
const gates = new Map<string, () => void>();

const steps = {
  work: async ({ run, path, signal }: StepContext, { group, wait }: { group: string; wait?: boolean }) => {
    const name = `${run} ${path}`;
    const inside = atWork.get(group) ?? new Set();
    atWork.set(group, inside.add(name));
    most.set(group, Math.max(most.get(group) ?? 0, inside.size));
    order.push(name);
    try {
      await new Promise<void>((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
        if (wait) gates.set(name, resolve);
        else setTimeout(resolve, 100);
      });
    } finally {
      inside.delete(name);
    }
    return { n: inside.size };
  },
};

const work = (id: string, group: string, changes = {}) =>
  activity(id, 'work', { with: { group, salt: Math.random() }, ...changes });

const rig = rigOfFile(steps);

describe('a group of steps', () => {
  test('lets one in at a time, over runs and within rounds, and ends when nobody is left', async () => {
    const plan = (): PlannedScope => ({
      steps: [
        work('a', 'g', { group: 'g' }),
        work('b', 'g', { group: 'g' }),
        repeat('rounds', [work('c', 'g', { group: cel("'' + carry.name") })], { carry: { name: 'g' }, max: 1 }),
      ],
    });
    const handles = await Promise.all([rig.startRun('one', plan()), rig.startRun('two', plan())]);
    await Promise.all(handles.map((handle) => handle.result()));
    expect(most.get('g')).toBe(1);
    expect(order.filter((name) => /^(one|two) /.test(name))).toHaveLength(6);
    const group = rig.client.workflow.getHandle(groupWorkflowId('test-workflows', 'g'));
    await eventually(async () => (await group.describe()).status.name === 'COMPLETED');
  });

  test('says in the record that a step waits for its turn, and takes it when the other is held or cancelled', async () => {
    const first = await rig.startRun('holds', {
      steps: [work('a', 'h', { with: { group: 'h', wait: true }, group: 'h' })],
    });
    await eventually(async () => order.includes('holds a'));
    const second = await rig.startRun('waits', { steps: [work('a', 'h', { group: 'h' })] });
    expect(await eventually(async () => (await rig.step('waits', 'a'))?.unserved)).toBe('its turn in the group "h"');
    expect((await rig.step('waits', 'a'))?.state).toBe('pending');
    await first.cancel();
    await second.result();
    expect(await rig.states('waits')).toEqual(['a: done']);
  });

  test('goes on when the one inside has crashed', async () => {
    const first = await rig.startRun('crashes', {
      steps: [work('a', 'c', { with: { group: 'c', wait: true }, group: 'c' })],
    });
    await eventually(async () => order.includes('crashes a'));
    const second = await rig.startRun('survives', { steps: [work('a', 'c', { group: 'c' })] });
    await eventually(async () => (await rig.step('survives', 'a'))?.unserved !== undefined);
    await first.terminate();
    await second.result();
  });
});

describe('a group of runs', () => {
  const alone = (group: string, cancelInProgress: boolean, wait: boolean): PlannedScope => ({
    concurrency: { group, cancelInProgress },
    steps: [work('a', group, { with: { group, wait, salt: Math.random() } })],
  });

  test('lets one run at a time, in their order', async () => {
    const first = await rig.startRun('run-1', alone('r', false, true));
    await eventually(async () => order.includes('run-1 a'));
    const second = await rig.startRun('run-2', alone('r', false, false));
    await eventually(async () => (await readRun(rig.store, 'run-2'))?.state.notices !== undefined);
    expect((await readRun(rig.store, 'run-2'))?.state.notices).toEqual([
      'The run waits for its turn in the group "r".',
    ]);
    expect(await rig.states('run-2')).toEqual([]);
    gates.get('run-1 a')!();
    await Promise.all([first.result(), second.result()]);
    expect(most.get('r')).toBe(1);
  });

  test('keeps the place of a run that goes on in a new history while it waits', async () => {
    const first = await rig.startRun('stays', alone('k', false, true));
    await eventually(async () => order.includes('stays a'));
    const second = await rig.startRun('renewed', alone('k', false, false), { renewAfter: 40 });
    const waits = (run: string) => eventually(async () => (await readRun(rig.store, run))?.state.notices !== undefined);
    await waits('renewed');
    const third = await rig.startRun('behind', alone('k', false, false));
    await waits('behind');
    const { runId } = await second.describe();
    await eventually(async () => {
      for (const name of ['pause', 'resume']) {
        await eventually(() => second.executeUpdate(name, { args: [{ by: 'ann' }] }).catch(() => undefined));
      }
      return (await second.describe()).runId !== runId;
    });
    gates.get('stays a')!();
    await Promise.all([first.result(), second.result(), third.result()]);
    expect(order.filter((name) => /^(stays|renewed|behind) /.test(name))).toEqual(['stays a', 'renewed a', 'behind a']);
  });

  test('with cancelInProgress cancels the run before', async () => {
    const first = await rig.startRun('old', alone('x', true, true));
    await eventually(async () => order.includes('old a'));
    const second = await rig.startRun('new', alone('x', true, false));
    await expect(first.result()).rejects.toThrow(WorkflowFailedError);
    await second.result();
    expect((await readRun(rig.store, 'old'))?.state.state).toBe('cancelled');
    expect(most.get('x')).toBe(1);
  });
});

/**
 * The three shapes as a person writes them for Temporal, without anything of ours but the activities: no pause, no retry of a
 * held step, no expressions. What the interpreter costs is measured against this.
 */

import { type ActivityInterface, proxyActivities, workflowInfo } from '@temporalio/workflow';
import type { AttemptPolicy } from '../../activities/attempt.ts';
import type { StepRequest, StepResult } from '../../plan/types.ts';
import type { RunArguments } from '../../workflows/messages.ts';

interface Steps extends ActivityInterface {
  'open-run'(request: { run: string; planDigest: string }): Promise<StepRequest['environment']>;
  train(request: StepRequest, policy: AttemptPolicy): Promise<StepResult>;
}

interface RunRecord extends ActivityInterface {
  'record-step'(request: { run: string; change: object }): Promise<void>;
  'close-run'(request: { run: string; state: 'done' }): Promise<void>;
}

const hour = 3_600_000;

/** What a run of one of the shapes calls. `count` and `each` are those of the shape. */
export interface ByHandArguments extends RunArguments {
  readonly count: number;
  readonly each: number;
}

async function asRun(
  { run, planDigest, seed }: ByHandArguments,
  work: (record: RunRecord, step: (path: string, inputs: StepRequest['with']) => Promise<number>) => Promise<void>,
): Promise<void> {
  const { taskQueue } = workflowInfo();
  const options = {
    startToCloseTimeout: 14 * 24 * hour,
    heartbeatTimeout: 15_000,
    retry: { initialInterval: 1_000, backoffCoefficient: 1 },
  };
  const steps = proxyActivities<Steps>({ ...options, taskQueue: taskQueue.replace(/workflows$/, 'cpu') });
  const record = proxyActivities<RunRecord>({ ...options, taskQueue });
  const environment = await steps['open-run']({ run, planDigest });
  const policy = { retry: { max: 3, initialMs: 1_000, factor: 2, maxMs: 60_000 }, timeoutMs: 14 * 24 * hour, holds: 0 };
  await work(record, async (path, inputs) => {
    const request = { run, path, kind: 'train', version: 3, with: inputs, seed, environment };
    return (await steps.train(request, policy)).outputs.AP as number;
  });
  await record['close-run']({ run, state: 'done' });
}

export async function sequentialByHand(args: ByHandArguments): Promise<void> {
  await asRun(args, async (_, step) => {
    let before = await step('s1', { n: 1 });
    for (let n = 2; n <= args.count; n++) before = await step(`s${n}`, { n, before });
  });
}

export async function parallelByHand(args: ByHandArguments): Promise<void> {
  await asRun(args, async (_, step) => {
    await Promise.all(Array.from({ length: args.count }, (_, i) => step(`s${i + 1}`, { n: i + 1 })));
  });
}

export async function roundsByHand(args: ByHandArguments): Promise<void> {
  const { run, count, each } = args;
  await asRun(args, async (record, step) => {
    const loop = { path: 'rounds', kind: 'repeat' };
    let AP = 0;
    await record['record-step']({
      run,
      change: { ...loop, state: 'running', with: { max: count, carry: { AP } } },
    });
    for (let round = 1; round <= count; round++) {
      for (let n = 1; n <= each; n++) AP = await step(`rounds[${round}].s${n}`, { n, before: AP });
    }
    await record['record-step']({
      run,
      change: { ...loop, state: 'done', outputs: { rounds: count, last: { AP } } },
    });
  });
}

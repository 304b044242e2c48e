/** Whether anybody serves a task queue; where nobody does, a step that waits for it says so in its record. */

import { Context } from '@temporalio/activity';
import { readStepRecord, writeStepRecord } from '../artifacts/run-record.ts';
import type { ActivityDeps } from './attempt.ts';

// TASK_QUEUE_TYPE_ACTIVITY of temporal.api.enums.v1.
const activityQueue = 2;

/** `queue` is the full name of the task queue. A worker that has gone counts for five more minutes. */
export async function checkQueue(
  { store }: ActivityDeps,
  { run, path, kind, queue }: { run: string; path: string; kind: string; queue: string },
): Promise<boolean> {
  const { client, info } = Context.current();
  const { pollers } = await client.workflowService.describeTaskQueue({
    namespace: info.namespace,
    taskQueue: { name: queue },
    taskQueueType: activityQueue,
  });
  const served = (pollers ?? []).length > 0;
  const record = (await readStepRecord(store, run, path)) ?? { path, kind, state: 'pending', reused: false };
  const begun = record.state === 'done' || (record.state === 'running' && (record.attempts?.length ?? 0) > 0);
  if (begun || served === (record.unserved === undefined)) return served;
  const own = queue.startsWith(queuePrefix(info.taskQueue));
  const command = own
    ? `hardcase worker --queues ${queue.slice(queuePrefix(info.taskQueue).length)}`
    : 'start the program that has the activity';
  const unserved = served ? undefined : `a worker: nobody serves the task queue "${queue}" (${command})`;
  await writeStepRecord(store, run, { ...record, unserved });
  return served;
}

/** This activity runs on `PREFIX-workflows`; one of an older run on `PREFIX-cpu`. */
const queuePrefix = (own: string): string => own.slice(0, own.lastIndexOf('-') + 1);

/**
 * Proves that a run can follow a changed plan: its recorded history is replayed, with the update that brings the plan
 * appended. What the interpreter knows then (which steps have begun, which round is next) is what it knew in the run.
 */

import type { Client } from '@temporalio/client';
import { defaultPayloadConverter, toPayloads } from '@temporalio/common';
import proto, { type temporal } from '@temporalio/proto';
import { type UpgradeMessage, upgradeName, workflowIdOf } from '../workflows/messages.ts';
import { problemOfReplay } from './move-runs.ts';

const types = proto.temporal.api.enums.v1.EventType;
type HistoryEvent = temporal.api.history.v1.IHistoryEvent;

/** What speaks against it, or null. */
export async function problemOfUpgradeIn(
  client: Client,
  bundlePath: string,
  run: string,
  message: UpgradeMessage,
): Promise<string | null> {
  const workflowId = workflowIdOf(run);
  const recorded = await client.workflow.getHandle(workflowId).fetchHistory();
  const past = settled(recorded.events ?? []);
  const replayed = await problemOfReplay(bundlePath, [{ workflowId, history: { events: past } }]);
  if (replayed !== null) return `The history of the run does not replay with this build: ${replayed}`;
  const future = { events: withUpdate(past, { ...message, proof: true }) };
  return await problemOfReplay(bundlePath, [{ workflowId, history: future }]);
}

/** Without a task of the workflow that nobody has finished yet. */
function settled(events: readonly HistoryEvent[]): HistoryEvent[] {
  const open: unknown[] = [types.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, types.EVENT_TYPE_WORKFLOW_TASK_STARTED];
  return events.slice(0, events.findLastIndex(({ eventType }) => !open.includes(eventType)) + 1);
}

/** As Temporal would have recorded it: a task of the workflow, whose first outcome is that the update is accepted. */
function withUpdate(events: readonly HistoryEvent[], message: UpgradeMessage): HistoryEvent[] {
  const last = events.at(-1)!;
  const id = (more: number) => last.eventId!.add(more);
  const { eventTime } = last;
  return [
    ...events,
    {
      eventId: id(1),
      eventTime,
      eventType: types.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
      workflowTaskScheduledEventAttributes: { attempt: 1 },
    },
    {
      eventId: id(2),
      eventTime,
      eventType: types.EVENT_TYPE_WORKFLOW_TASK_STARTED,
      workflowTaskStartedEventAttributes: { scheduledEventId: id(1), requestId: 'proof' },
    },
    {
      eventId: id(3),
      eventTime,
      eventType: types.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
      workflowTaskCompletedEventAttributes: { scheduledEventId: id(1), startedEventId: id(2) },
    },
    {
      eventId: id(4),
      eventTime,
      eventType: types.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
      workflowExecutionUpdateAcceptedEventAttributes: {
        protocolInstanceId: 'proof',
        acceptedRequestMessageId: 'proof/request',
        acceptedRequestSequencingEventId: id(1),
        acceptedRequest: {
          meta: { updateId: 'proof', identity: 'proof' },
          input: { name: upgradeName, args: { payloads: toPayloads(defaultPayloadConverter, message) } },
        },
      },
    },
  ];
}

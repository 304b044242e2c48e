/** Children that a server starts only after their parent asked it to cancel them. */

import { CancelledFailure, WorkflowFailedError } from '@temporalio/client';
import { expect, test } from 'vitest';
import { workflowIdOf } from '../../workflows/messages.ts';
import { eventually } from '../rig.ts';
import { rigOfFile } from '../rig-of-file.ts';
import { approve, fanOut, repeat } from '../small-plans.ts';

const rig = rigOfFile({});
const legs = Array.from({ length: 100 }, (_, i) => i + 1);

/** All events of the batch of legs, none before it began. */
async function eventsOfBatch(run: string) {
  const batch = rig.client.workflow.getHandle(workflowIdOf(run, `ask[1..${legs.length}]`));
  const history = await batch.fetchHistory().catch(() => null);
  return history?.events ?? [];
}

test('legs that start after their run was cancelled are cancelled as well', async () => {
  const asks = repeat('rounds', [approve('ok', { properties: {}, required: [] })]);
  const handle = await rig.startRun('late', { steps: [fanOut('ask', [asks], { legs: { forEach: legs } })] });
  // The server starts them one after another, and some after it was asked to cancel them and found none.
  await eventually(async () =>
    (await eventsOfBatch('late')).some((event) => event.startChildWorkflowExecutionInitiatedEventAttributes),
  );
  await handle.cancel();
  const ended = await handle.result().catch((error: unknown) => error);
  expect(ended).toBeInstanceOf(WorkflowFailedError);
  expect((ended as WorkflowFailedError).cause).toBeInstanceOf(CancelledFailure);
  const events = await eventsOfBatch('late');
  expect(events.filter((event) => event.childWorkflowExecutionCanceledEventAttributes)).toHaveLength(legs.length);
});

/** Children that a server starts only after their parent asked it to cancel them. */

import { CancelledFailure, WorkflowFailedError } from '@temporalio/client';
import { expect, test } from 'vitest';
import { workflowIdOf } from '../../workflows/messages.ts';
import { eventually } from '../rig.ts';
import { rigOfFile } from '../rig-of-file.ts';
import { activity, approve, fanOut, imported, repeat } from '../small-plans.ts';

let tidied = 0;

const rig = rigOfFile({
  // Longer than it takes to record the end of the run.
  tidy: async () => {
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    tidied++;
    return {};
  },
});
const legs = Array.from({ length: 60 }, (_, i) => i + 1);

/** All events of a workflow of the run, none before it began. */
async function eventsOf(run: string, path = '') {
  const history = await rig.client.workflow
    .getHandle(workflowIdOf(run, path))
    .fetchHistory()
    .catch(() => null);
  return history?.events ?? [];
}

const eventsOfBatch = (run: string) => eventsOf(run, `ask[1..${legs.length}]`);

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

test('a run that is cancelled ends after its files, also those that start then and have orders to be told of', async () => {
  const asks = approve('ok', { properties: {}, required: [] });
  const file = (id: string) => imported(id, [], { scope: { steps: [asks], finally: [activity('tidy', 'tidy')] } });
  const handle = await rig.startRun('ordered', { steps: legs.map((leg) => file(`file${leg}`)) });
  await eventually(async () =>
    (await eventsOf('ordered')).some((event) => event.startChildWorkflowExecutionInitiatedEventAttributes),
  );
  // It is an order, too: what begins is not paused any more.
  await handle.executeUpdate<object, [object]>('cancel', { args: [{ by: 'ann' }] });
  expect(await handle.result()).toEqual({ state: 'cancelled' });
  const events = await eventsOf('ordered');
  const began = events.filter((event) => event.childWorkflowExecutionStartedEventAttributes);
  expect(tidied).toBe(began.length);
  expect(events.filter((event) => event.childWorkflowExecutionCanceledEventAttributes)).toHaveLength(tidied);
});

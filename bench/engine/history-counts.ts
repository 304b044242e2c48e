/** What a run asked of the Temporal server, counted in the histories of its workflows. */

import type { Client } from '@temporalio/client';

export interface HistoryCounts {
  readonly workflows: number;
  /** Workflow tasks that were completed: how often a worker went on with a workflow. */
  readonly tasks: number;
  readonly activities: number;
  readonly events: number;
}

/** Of the workflow and all its children. */
export async function countsOf(client: Client, workflowId: string): Promise<HistoryCounts> {
  const { events = [] } = await client.workflow.getHandle(workflowId).fetchHistory();
  const own = events ?? [];
  let counts: HistoryCounts = {
    workflows: 1,
    tasks: own.filter((event) => event.workflowTaskCompletedEventAttributes).length,
    activities: own.filter((event) => event.activityTaskScheduledEventAttributes).length,
    events: own.length,
  };
  for (const event of own) {
    const child = event.childWorkflowExecutionStartedEventAttributes?.workflowExecution?.workflowId;
    if (child) counts = added(counts, await countsOf(client, child));
  }
  return counts;
}

const added = (a: HistoryCounts, b: HistoryCounts): HistoryCounts => ({
  workflows: a.workflows + b.workflows,
  tasks: a.tasks + b.tasks,
  activities: a.activities + b.activities,
  events: a.events + b.events,
});

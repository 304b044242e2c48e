/** What a Temporal server knows of a run's workflow. */

import type { Client } from '@temporalio/client';
import { runOfWorkflow, workflowIdOf } from '../workflows/messages.ts';

/** Whether a call failed because the server has no such workflow, or none that is open. */
export const isNotFound = (error: unknown): boolean => (error as Error).name === 'WorkflowNotFoundError';

/** Whether the server has the workflow and it has not ended. Throws where the server does not say. */
export async function isOpenWorkflow(client: Client, run: string): Promise<boolean> {
  return await client.workflow
    .getHandle(workflowIdOf(run))
    .describe()
    .then(
      ({ status }) => status.name === 'RUNNING',
      (error: unknown) => {
        if (isNotFound(error)) return false;
        throw error;
      },
    );
}

/** Ids of the runs of which the server has an open workflow. One that began in the last second may not be listed yet. */
export async function openRunsOf(client: Client): Promise<ReadonlySet<string>> {
  const runs = new Set<string>();
  // https://docs.temporal.io/list-filter; rounds, legs and groups are children of no interest here.
  for await (const { workflowId } of client.workflow.list({ query: 'ExecutionStatus = "Running"' })) {
    const run = runOfWorkflow(workflowId);
    if (run !== null) runs.add(run);
  }
  return runs;
}

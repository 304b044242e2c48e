/** What a Temporal server knows of a run's workflow. */

import type { Client } from '@temporalio/client';
import { workflowIdOf } from '../workflows/messages.ts';

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

/** What a store that is full or away does to a run: its record cannot tell, but the engine knows why activities fail. */

import type { Client, WorkflowHandle } from '@temporalio/client';

export interface StoreTrouble {
  /** What the activity does: a step kind, or a part of the record's keeping. */
  readonly activity: string;
  readonly message: string;
  readonly isFull: boolean;
}

/** Types of failures: as steps name them, and as the classes of artifacts/store.ts are called. */
const fullTypes = ['StoreFull', 'StoreFullError'];
const awayTypes = ['StoreUnavailable', 'StoreUnavailableError'];

/** Of the activities that are tried again because of the store, those of child workflows included. */
export async function storeTroubles(client: Client, handle: WorkflowHandle): Promise<StoreTrouble[]> {
  const { pendingActivities, pendingChildren } = (await handle.describe()).raw;
  const troubles: StoreTrouble[] = [];
  for (const { activityType, lastFailure } of pendingActivities ?? []) {
    const type = lastFailure?.applicationFailureInfo?.type ?? '';
    if (!fullTypes.includes(type) && !awayTypes.includes(type)) continue;
    troubles.push({
      activity: activityType?.name ?? 'an activity',
      message: lastFailure?.message ?? 'The store does not answer.',
      isFull: fullTypes.includes(type),
    });
  }
  for (const { workflowId } of pendingChildren ?? []) {
    if (!workflowId) continue;
    // One that ends at this moment has no troubles any more.
    troubles.push(...(await storeTroubles(client, client.workflow.getHandle(workflowId)).catch(() => [])));
  }
  return troubles;
}

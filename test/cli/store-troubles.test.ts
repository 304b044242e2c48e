import type { Client, WorkflowHandle } from '@temporalio/client';
import { expect, test } from 'vitest';
import { storeTroubles } from '../../cli/store-troubles.ts';

const failing = (name: string, type: string, message: string) => ({
  activityType: { name },
  lastFailure: { message, applicationFailureInfo: { type } },
});

const workflow = (pendingActivities: object[], pendingChildren: object[] = []) =>
  ({ describe: async () => ({ raw: { pendingActivities, pendingChildren } }) }) as unknown as WorkflowHandle;

const clientOf = (children: { [id: string]: WorkflowHandle }) =>
  ({
    workflow: {
      getHandle: (id: string) => children[id] ?? { describe: () => Promise.reject(new Error(`${id} is gone`)) },
    },
  }) as unknown as Client;

test('a store that is full or away is found in the run and in its rounds, other failures are not', async () => {
  const round = workflow([failing('record-step', 'StoreFullError', 'The disk is full.')]);
  const root = workflow(
    [
      { activityType: { name: 'detect' } },
      failing('mine', 'StepFailed', 'It broke.'),
      failing('train', 'StoreUnavailable', 'No S3 server answers.'),
    ],
    [{ workflowId: 'round' }, { workflowId: 'ended' }],
  );
  expect(await storeTroubles(clientOf({ round }), root)).toEqual([
    { activity: 'train', message: 'No S3 server answers.', isFull: false },
    { activity: 'record-step', message: 'The disk is full.', isFull: true },
  ]);
});

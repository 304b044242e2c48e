/** What the commands that change a run say of it. */

import { expect, test } from 'vitest';
import { runningSteps } from '../../cli/operate.ts';
import type { StepRecord, StepState } from '../../plan/types.ts';

test('a pause waits for steps that do something, and not for what only holds them', () => {
  const record = (path: string, kind: string, state: StepState = 'running'): StepRecord => ({
    path,
    kind,
    state,
    reused: false,
  });
  const records = [
    record('fit', 'pipeline'),
    record('rounds', 'repeat'),
    record('tune', 'matrix'),
    record('each', 'forEach'),
    record('tune[size=1].train', 'train'),
    record('rounds[1].ok', 'approve', 'waiting'),
  ];
  expect(runningSteps(records)).toEqual(['tune[size=1].train']);
});

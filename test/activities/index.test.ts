/** What a worker registers. */

import { expect, test } from 'vitest';
import { createActivities } from '../../activities/index.ts';
import type { Store } from '../../artifacts/store.ts';
import { stepKinds } from '../../plan/step-kinds.ts';
import { testEnvironment } from '../small-plans.ts';

test('every activity that a plan can name is registered', () => {
  const registered = createActivities({ store: {} as Store, describeEnvironment: async () => testEnvironment });
  const kinds = [...stepKinds.values()].filter(({ type }) => type === 'activity').map(({ kind }) => kind);
  const wanted = [
    ...kinds,
    'capacity-rung',
    'capacity-trial',
    'choose-capacity',
    'open-gate',
    'append-decisions',
    'apply-decisions',
  ];
  expect(wanted.filter((name) => registered[name] === undefined)).toEqual([]);
});

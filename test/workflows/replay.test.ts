/** Recorded histories still replay, so that open runs of an earlier build go on; and a change that breaks them is found. */

import { describe, expect, test } from 'vitest';
import { problemOfReplay } from '../../deploy/move-runs.ts';
import { presentAndNextBundle } from '../changed-bundle.ts';
import { readHistories, shippedPlans } from './recorded-histories.ts';

const bundles = presentAndNextBundle();

describe('recorded histories', () => {
  const recorded = readHistories();

  test('are there for every shipped pipeline', () => {
    const names = new Set(recorded.map(({ name }) => name.split('/').at(-1)));
    for (const { name } of shippedPlans()) expect(names, name).toContain(name);
  });

  // If the change of the workflows is meant, and no release has runs like these: record them anew, as recorded-histories.ts
  // says. If one has, the old way must stay beside the new one (`patched` of @temporalio/workflow).
  test.each(recorded)('of $name replay', async ({ histories }) => {
    expect(await problemOfReplay(bundles.bundlePath, histories)).toBeNull();
  });

  test('do not replay with workflows that call another activity', async () => {
    const { histories } = recorded.find(({ name }) => name.endsWith('repeat'))!;
    expect(await problemOfReplay(bundles.changedPath, histories)).toMatch(/^hardcase:repeat: .*begin-run/);
  });
});

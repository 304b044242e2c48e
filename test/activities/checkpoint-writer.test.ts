/** Checkpoints are saved beside the training, in order, and a store that fails ends it. */

import { expect, test } from 'vitest';
import { openCheckpointWriter } from '../../activities/checkpoint-writer.ts';

const link = { head: 'h', state: 's', headAt: () => undefined };
const bytes = new Uint8Array(1);

/** A store whose writes end when the test says so. */
function slowCheckpoints() {
  const begun: number[] = [];
  const ends: ((outcome: 'added' | 'late' | 'differs' | Error) => void)[] = [];
  return {
    begun,
    end: (outcome: 'added' | 'late' | 'differs' | Error) => ends.shift()!(outcome),
    add: (step: number) => {
      begun.push(step);
      return new Promise<'added' | 'late' | 'differs'>((resolve, reject) => {
        ends.push((outcome) => (outcome instanceof Error ? reject(outcome) : resolve(outcome)));
      });
    },
  };
}

test('a checkpoint is saved while the training goes on, and the next waits for it', async () => {
  const store = slowCheckpoints();
  const writer = openCheckpointWriter(store, async () => {});
  await writer.write(5, bytes, 1, link);
  await writer.advance();
  let second = false;
  const next = writer.write(10, bytes, 2, link).then(() => {
    second = true;
  });
  await writer.advance();
  expect([store.begun, second]).toEqual([[5], false]);
  store.end('added');
  await next;
  expect(store.begun).toEqual([5, 10]);
  store.end('added');
  await writer.finish();
});

test('what made a write fail ends the training at its next step', async () => {
  const store = slowCheckpoints();
  const writer = openCheckpointWriter(store, async () => {});
  await writer.write(5, bytes, 1, link);
  store.end(new Error('The store is away.'));
  await expect(writer.advance()).rejects.toThrow('The store is away.');
  await expect(writer.finish()).rejects.toThrow('The store is away.');
});

test('numbers that differ on the same arithmetic are told to people', async () => {
  const store = slowCheckpoints();
  const said: string[] = [];
  const writer = openCheckpointWriter(store, async (message) => void said.push(message));
  await writer.write(5, bytes, 1, link);
  store.end('differs');
  await writer.finish();
  expect(said).toEqual([expect.stringContaining('computed different numbers before step 5')]);
});

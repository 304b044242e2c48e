/** Loaded graphs are used again, and those that idle take no more memory than they may. */

import { expect, test } from 'vitest';
import { borrowSession, IDLE_MAX_BYTES, idleBytes, returnSession } from '../../../detection/model/sessions.ts';
import { tf } from '../../../detection/model/tf.ts';
import { traceGraph } from '../../../detection/model/traced-graph.ts';

const values = 2 ** 22;

function graph() {
  return traceGraph((tracer) => {
    const variable = tracer.variable('all', [values]);
    const added = tracer.input('added', [], 'float32');
    tracer.signature('sum', { sum: tf.add(tf.sum(variable), added) });
  });
}

test('a graph that was returned is the next one that is borrowed', () => {
  const first = borrowSession('a', graph);
  returnSession('a', first);
  expect(borrowSession('a', graph)).toBe(first);
  // While it is in use, another user gets one of its own.
  expect(borrowSession('a', graph)).not.toBe(first);
});

test('graphs that idle are bounded by the memory they take, and the oldest go first', () => {
  const sessions = Array.from({ length: 24 }, (_, i) => borrowSession(`many ${i}`, graph));
  for (const [i, session] of sessions.entries()) returnSession(`many ${i}`, session);
  expect(idleBytes()).toBeLessThanOrEqual(IDLE_MAX_BYTES);
  expect(idleBytes()).toBeGreaterThan(IDLE_MAX_BYTES / 2);
  expect(borrowSession('many 23', graph)).toBe(sessions[23]);
  expect(borrowSession('many 0', graph)).not.toBe(sessions[0]);
});

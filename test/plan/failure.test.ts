/** What the compiler makes of `onFailure`, `retry` by type, `queue` and `finally`. */

import { describe, expect, test } from 'vitest';
import { planOf, problemsOf, stepOf } from './compile-text.ts';

test('a step has its queue, its way to fail and the types that are tried again', () => {
  const plan = planOf(`
    name: ways
    steps:
      data:
        uses: synthesize
        queue: gpu
        onFailure: continue
        retry: { max: 4, on: [StepFailed, Timeout], except: [OutOfMemory] }
      rounds:
        repeat: { max: 1 }
        onFailure: continue
        steps:
          more: { uses: synthesize, with: { images: 12 }, onFailure: fail }
  `);
  expect(stepOf(plan, 'data')).toMatchObject({
    queue: 'gpu',
    onFailure: 'continue',
    retry: { max: 4, on: ['StepFailed', 'Timeout'], except: ['OutOfMemory'] },
  });
  expect(stepOf(plan, 'rounds')).toMatchObject({ onFailure: 'continue' });
  expect(stepOf(plan, 'rounds.more')).toMatchObject({ queue: 'cpu', onFailure: 'fail' });
});

describe('finally', () => {
  const pipeline = (steps: string) => `
name: ends
steps:
  data: { uses: synthesize }
  rounds: { repeat: { max: 1 }, steps: { more: { uses: synthesize } } }
finally:
${steps}`;

  test('has steps that fail the run, or say otherwise, in an order of their own', () => {
    const plan = planOf(
      pipeline(`
  more: { uses: synthesize, with: { images: 12 }, needs: [again] }
  again: { uses: synthesize, when: "run.state != 'done' && has(steps.data.dataset)", onFailure: continue }`),
    );
    expect(plan.root.steps.map(({ id }) => id)).toEqual(['data', 'rounds']);
    expect(plan.root.finally).toMatchObject([
      { id: 'again', when: "run.state != 'done' && has(steps.data.dataset)", onFailure: 'continue' },
      { id: 'more', onFailure: 'fail' },
    ]);
  });

  test('is no place for loops, gates, waiting for a retry, or a name that is taken', () => {
    expect(
      problemsOf(
        pipeline(`
  loop: { repeat: { max: 1 }, steps: { a: { uses: synthesize } } }
  gate: { uses: review-labels, with: { dataset: "\${{ steps.data.dataset }}", candidates: "\${{ steps.rounds.last }}" } }
  hold: { uses: synthesize, onFailure: hold }
  data: { uses: synthesize }`),
      ),
    ).toEqual([
      '7 INVALID_VALUE loop',
      '8 INVALID_VALUE gate',
      '8 WRONG_ARTIFACT steps.rounds.last',
      '9 INVALID_VALUE hold',
      '10 INVALID_NAME data',
    ]);
  });

  test('alone knows how the run ended', () => {
    expect(problemsOf('{ name: a, steps: { a: { uses: synthesize, when: run.state == "done" } } }')).toEqual([
      '1 UNKNOWN_NAME run',
    ]);
  });
});

test('a queue is a name, and not that of the workflows', () => {
  const queue = (name: string) => problemsOf(`{ name: a, steps: { a: { uses: synthesize, queue: ${name} } } }`);
  expect(queue('gpu')).toEqual([]);
  expect(queue('GPU 1')).toEqual(['1 INVALID_VALUE GPU 1']);
  expect(queue('workflows')).toEqual(['1 INVALID_VALUE workflows']);
});

/** What the compiler makes of `onFailure`, `retry` by type, `queue` and `finally`. */

import { describe, expect, test } from 'vitest';
import { planOf, problemsOf, stepOf, warningsOf } from './compile-text.ts';

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

  test('takes all that steps can be, and what gives up in them has failed unless the file says otherwise', () => {
    const plan = planOf(
      pipeline(`
  loop: { repeat: { max: 1 }, steps: { a: { uses: synthesize }, b: { uses: synthesize, onFailure: hold } } }
  legs: { matrix: { n: [12, 24] }, uses: synthesize, with: { images: "\${{ matrix.n }}" } }
  held: { matrix: { n: [12] }, uses: synthesize, onFailure: hold, with: { images: "\${{ matrix.n }}" } }
  each: { forEach: [1], steps: { told: { activity: tell, queue: mail, with: { state: "\${{ run.state }}" } } } }
  ok: { approve: { form: { properties: { yes: { type: boolean } } } } }
  later: { approve: { after: { expire: { in: 1d, then: hold } } } }`),
    );
    const [loop, legs, held, each, ok, later] = plan.root.finally!;
    expect(loop).toMatchObject({ onFailure: 'fail', scope: { steps: [{ onFailure: 'fail' }, { onFailure: 'hold' }] } });
    expect(legs).toMatchObject({ onFailure: 'fail', scope: { steps: [{ onFailure: 'fail' }] } });
    expect(held).toMatchObject({ onFailure: 'hold', scope: { steps: [{ onFailure: 'hold' }] } });
    expect(each).toMatchObject({ onFailure: 'fail', scope: { steps: [{ onFailure: 'fail', reuse: false }] } });
    expect([ok, later]).toMatchObject([{ onFailure: 'fail' }, { onFailure: 'hold' }]);
  });

  test('has no name that is one of the other steps', () => {
    expect(problemsOf(pipeline('  data: { uses: synthesize }'))).toEqual(['6 INVALID_NAME data']);
  });

  test('warns of what is probably wrong in it', () => {
    expect(
      warningsOf(
        pipeline(
          '  loop: { repeat: { max: 50 }, steps: { a: { uses: train, with: { dataset: "${{ steps.data.dataset }}" } } } }',
        ),
      ),
    ).toContain('6 UNBOUNDED_LOOP 50');
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

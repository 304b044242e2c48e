/** `-p NAME=VALUE` of `retry` and `reset` is checked as the file would be. */

import { expect, test } from 'vitest';
import { readChangedParameters } from '../../cli/changed-parameters.ts';
import { operationWords, pauseOf } from '../../cli/operations.ts';
import { activity, repeat } from '../small-plans.ts';

const read = (...words: string[]) => readChangedParameters(words, 'model1', activity('model1', 'train'));

test('reads values as the file would, also inside mappings', () => {
  expect(read('epochs=20', 'replay.share=0.5', 'checkpointEvery=10s', 'imageSize=320')).toEqual({
    epochs: 20,
    replay: { share: 0.5 },
    checkpointEvery: '10s',
    imageSize: 320,
  });
  expect(read()).toBeUndefined();
});

test('says what is wrong with them', () => {
  expect(() => read('epoch=20')).toThrow('-p epoch: train has no such parameter. Did you mean "epochs"?');
  expect(() => read('epochs')).toThrow('-p epochs: expected NAME=VALUE, such as -p epochs=20.');
  expect(() => read('epochs=many', 'imageSize=-3')).toThrow(/-p: epochs is "many"; expected .*\n-p: imageSize is -3;/);
  expect(() => read('dataset=x')).toThrow('-p dataset: that is what other steps give to it');
  expect(() => read('epochs=${{ params.n }}')).toThrow('is an expression; a changed parameter is a plain value.');
  expect(() => readChangedParameters(['max=3'], 'rounds', repeat('rounds', []))).toThrow(
    'rounds has no parameters of its own that could be changed.',
  );
});

test('operations are told in words, and the last pause holds until the run is resumed', () => {
  const at = '2026-01-02T03:04:05.000Z';
  const pause = { operation: 'pause', at, number: 1, by: 'ada', now: true } as const;
  const retry = {
    operation: 'retry',
    at,
    number: 2,
    by: 'bob',
    steps: ['a'],
    set: { replay: { share: 0.5 } },
  } as const;
  expect(operationWords(pause)).toMatch(/ ada paused the run and stopped its steps$/);
  expect(operationWords({ ...retry, reason: 'why not' })).toMatch(
    / bob had a tried again with replay.share 0.5: why not$/,
  );
  expect(pauseOf([pause, retry])).toBe(pause);
  expect(pauseOf([pause, { operation: 'resume', at, number: 3, by: 'ada' }])).toBeNull();
});

import { expect, test } from 'vitest';
import { changesBetween, describeChange, unknownValue } from '../../cli/step-changes.ts';
import type { ArtifactRef, Json } from '../../plan/types.ts';

const ref = (artifact: ArtifactRef['artifact'], letter: string): ArtifactRef => ({
  artifact,
  digest: letter.repeat(64),
  bytes: 1,
});
const train = (values: { readonly [name: string]: Json }, { version = 1, seed = 7 } = {}) => ({
  kind: 'train',
  version,
  with: values,
  seed,
});
const told = (...[was, is]: Parameters<typeof changesBetween>) => changesBetween(was, is).map(describeChange);

test('a parameter, an input, the code and the seed each say in words how they differ', () => {
  const was = train({ epochs: 25, dataset: ref('dataset', 'a'), replay: { share: 0.3 } });
  const is = train({ epochs: 30, dataset: ref('dataset', 'b'), replay: { share: 0.3 } }, { version: 2, seed: 8 });
  expect(told(was, is)).toEqual([
    "the step's code changed (version 1 -> 2)",
    'epochs 25 -> 30',
    'dataset is another artifact',
    'the seed is another one',
  ]);
});

test('inner parameters are told by their place, lists of values as a whole, lists of artifacts one by one', () => {
  const was = train({ replay: { share: 0.3 }, splits: ['val'], models: [ref('model', 'a'), ref('model', 'b')] });
  const is = train({ replay: { share: 0.5 }, splits: ['val', 'test'], models: [ref('model', 'a'), ref('model', 'c')] });
  expect(told(was, is)).toEqual([
    'replay.share 0.3 -> 0.5',
    'splits ["val"] -> ["val","test"]',
    'models.1 is another artifact',
  ]);
});

test('what was not there before or is gone is told as such', () => {
  const was = train({ init: ref('model', 'a'), learningRate: 0.006 });
  const is = train({ select: ref('selection', 'b'), epochs: 3 });
  expect(told(was, is)).toEqual([
    'init is no longer given',
    'learningRate no longer given, was 0.006',
    'select was not given before',
    'epochs 3, not given before',
  ]);
});

test('a folder of another content has changed files', () => {
  expect(told(train({ source: ref('tree', 'a') }), train({ source: ref('tree', 'b') }))).toEqual([
    'the files of source changed',
  ]);
});

test('waiting, saving and what is not known yet are no change', () => {
  const was = train({ checkpointEvery: '1s', after: { remind: '1h' }, dataset: ref('dataset', 'a'), models: [1] });
  const is = train({ checkpointEvery: '9s', after: { remind: '2h' }, dataset: unknownValue, models: unknownValue });
  expect(told(was, is)).toEqual([]);
});

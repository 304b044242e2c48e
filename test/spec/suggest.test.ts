import { expect, test } from 'vitest';
import { nameFix } from '../../spec/fixes.ts';
import { nearestName, suggestion } from '../../spec/suggest.ts';

test('a mistyped name is near to the one with the fewest slips', () => {
  expect(nearestName('trian', ['train', 'detect', 'brain'])).toBe('train');
  expect(nearestName('review', ['train', 'detect'])).toBeNull();
});

test('the beginning of a name means the shortest that begins so, where no name is nearer', () => {
  expect(suggestion('label', ['data', 'label_errors_again', 'label_errors'], 'Steps here')).toBe(
    'Did you mean "label_errors"? Steps here: data, label_errors_again, label_errors.',
  );
  expect(nearestName('check', ['checkpointEvery', 'epochs'])).toBe('checkpointEvery');
  expect(nearestName('batch_s', ['batchSize', 'steps'])).toBe('batchSize');
  expect(nearestName('epoch', ['epochsOfTheWarmup', 'epochs'])).toBe('epochs');
  expect(nearestName('model', ['model1', 'models_of_round'])).toBe('model1');
  expect(nearestName('tabel', ['tabelau_of_all', 'table'])).toBe('table');
});

test('one or two letters begin too much, and the end of a name is another word', () => {
  expect(nearestName('tr', ['train', 'detect'])).toBeNull();
  expect(nearestName('errors', ['label_errors'])).toBeNull();
});

test('a beginning is asked about, and not mended without asking', () => {
  const range = { start: 0, end: 5 };
  expect(nameFix('label', ['label_errors'], range)).toEqual({});
});

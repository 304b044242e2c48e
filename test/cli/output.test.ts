import { afterEach, beforeEach, expect, test } from 'vitest';
import { formatDuration, ownCommand, rememberPlace } from '../../cli/output.ts';

const script = process.argv[1];
beforeEach(() => {
  process.argv[1] = '/usr/bin/hardcase';
});
afterEach(() => {
  process.argv[1] = script!;
  rememberPlace({});
});

test('a command to paste names the store and the server that flags named, as far as it takes them', () => {
  rememberPlace({ store: 's3://lab/berries', address: 'temporal:7233' });
  const store = '--store s3://lab/berries';
  expect(ownCommand('run', 'a b.yaml', '--run', 'r1')).toBe(
    `hardcase run 'a b.yaml' --run r1 ${store} --address temporal:7233`,
  );
  expect(ownCommand('status', 'r1')).toBe(`hardcase status r1 ${store}`);
  expect(ownCommand('review', 'show', '3f2a')).toBe(`hardcase review show 3f2a ${store}`);
  expect(ownCommand('review', 'decide', 'r1', 'review', '3f2a=accept')).toMatch(/--address temporal:7233$/);
});

test('what no flag named is not repeated', () => {
  expect(ownCommand('run', 'a.yaml')).toBe('hardcase run a.yaml');
});

test('what ended before it began, by a clock that was set back, took no time', () => {
  expect(formatDuration(-30)).toBe('0.0 s');
  expect(formatDuration(61_000)).toBe('1 min 01 s');
});

import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { fullDisk } from '../../deploy/full-disk.ts';

test('a disk is full where less is free than asked for, and the remedy is named', () => {
  expect(fullDisk(tmpdir(), 0)).toBe(null);
  expect(fullDisk(tmpdir(), Number.MAX_VALUE)).toMatch(
    /^The disk of .* is full: [\d.]+ MB are free, .*Free some space there, then run the same command again\.$/,
  );
});

test('a folder that is not there is no full disk', () => {
  expect(fullDisk('/nowhere/at/all', Number.MAX_VALUE)).toBe(null);
});

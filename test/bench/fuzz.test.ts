/** Parser and compiler take any text: the first seeds of the fuzzer, and every case that once failed. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkCase } from '../../bench/fuzz/check-case.ts';
import { readCorpus } from '../../bench/fuzz/corpus.ts';
import { fuzzCase } from '../../bench/fuzz/mutate.ts';

const root = join(import.meta.dirname, '../..');
const corpus = readCorpus(root);
const kept = join(import.meta.dirname, '../fixtures/fuzz');

test('the corpus itself holds', () => {
  expect(corpus.length).toBeGreaterThan(60);
  for (const text of corpus) checkCase(text);
});

test('the first 300 seeds hold', () => {
  for (let seed = 1; seed <= 300; seed++) {
    try {
      checkCase(fuzzCase(seed, corpus));
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
});

test('a seed gives the same case again, and another one another', () => {
  expect(fuzzCase(7, corpus)).toBe(fuzzCase(7, corpus));
  expect(fuzzCase(7, corpus)).not.toBe(fuzzCase(8, corpus));
});

describe('what once failed', () => {
  test.each(readdirSync(kept).filter((name) => name.endsWith('.yaml')))('%s holds', (name) => {
    const before = process.cpuUsage();
    checkCase(readFileSync(join(kept, name), 'utf8'));
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(3_000);
  });
});

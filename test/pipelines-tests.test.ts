/** The tests that ship beside the pipelines pass. */

import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runTest } from '../cli/test.ts';
import { captureOutput } from './cli/capture.ts';

const root = join(import.meta.dirname, '..');

test('every shipped test passes', async () => {
  const output = captureOutput();
  const bundlePath = join(root, 'dist/workflow-bundle.js');
  const code = await runTest([join(root, 'pipelines')], { bundlePath, verbose: false });
  const { out, err } = output();
  expect(
    `${err}${out
      .split('\n')
      .filter((line) => line.includes('✗'))
      .join('\n')}`,
  ).toBe('');
  expect(out).toMatch(/hard-cases\.test\.yaml[\s\S]*quickstart\.test\.yaml/);
  expect(code).toBe(0);
  // Seconds, but for machines that have other things to do.
}, 240_000);

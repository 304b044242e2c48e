/** Which tests run side by side, and which alone. */

import { defineConfig } from 'vitest/config';

// These start servers, workers or long training: one file at a time, so that they do not starve each other.
const integration = [
  'test/chaos/**/*.test.ts',
  'test/e2e/**/*.test.ts',
  'test/workflows/**/*.test.ts',
  'test/artifacts/s3*.test.ts',
  'test/deploy/**/*.test.ts',
  'test/cli/run.test.ts',
  'test/cli/lost-engine.test.ts',
  'test/cli/upgrade.test.ts',
];

export default defineConfig({
  test: {
    // TensorFlow's addon is native and not made for worker threads.
    pool: 'forks',
    // Commands colour what they print where CI is set, and tests compare what they print.
    env: { NO_COLOR: '1' },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: integration,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'integration',
          include: integration,
          testTimeout: 600_000,
          hookTimeout: 120_000,
          fileParallelism: false,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});

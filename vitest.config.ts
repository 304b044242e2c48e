/** Which tests run side by side, and which alone. */

import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// These run workflows with steps that do nothing, or commands one after another, and mostly wait: three files at a time.
const workflows = [
  'test/workflows/**/*.test.ts',
  'test/artifacts/s3*.test.ts',
  'test/cli/lost-engine.test.ts',
  'test/cli/run.test.ts',
  'test/cli/upgrade.test.ts',
];
// These start servers and workers of their own, and browsers: two files at a time.
const servers = ['test/workflows/search-on-workers.test.ts', 'test/e2e/**/*.test.ts', 'test/deploy/**/*.test.ts'];
// These kill, stop and starve what they start, or train for long: one file at a time.
const alone = ['test/chaos/**/*.test.ts', 'test/e2e/crash.test.ts', 'test/e2e/quickstart.test.ts'];

/** Begun first, the longest in front: begun last, one of them would keep one core for a minute while the other idles. */
const longest = [
  'test/cli/lost-engine.test.ts',
  'test/cli/run.test.ts',
  'test/workflows/many-gates.test.ts',
  'test/workflows/renewed-finally.test.ts',
  'test/workflows/killed-worker.test.ts',
  'test/workflows/worn.test.ts',
  'test/workflows/late-children.test.ts',
  'test/workflows/upgrade.test.ts',
  'test/cli/upgrade.test.ts',
  'test/workflows/quick-rounds.test.ts',
  'test/workflows/review-gate.test.ts',
  'test/workflows/concurrency.test.ts',
  'test/detection/model/train.test.ts',
  'test/activities/train.test.ts',
  'test/cli/main.test.ts',
  'test/plan/compiled-pipelines.test.ts',
  'test/detection/model/train-graph.test.ts',
  'test/detection/model/train-exactness.test.ts',
  'test/bench/dynamics.test.ts',
  'test/detection/model/export-onnx.test.ts',
  'test/cli/review.test.ts',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rest = await super.sort(files);
    const first = longest.flatMap((name) => rest.filter(({ moduleId }) => moduleId.endsWith(`/${name}`)));
    const order = ({ project }: TestSpecification) => project.config.sequence.groupOrder;
    return [...first, ...rest.filter((file) => !first.includes(file))].sort((a, b) => order(a) - order(b));
  }
}

/** What goes for all files of a group. The groups run one after another. */
const group = (
  groupOrder: number,
  {
    timeoutMs = 600_000,
    ...test
  }: { name: string; include: string[]; exclude: string[]; maxWorkers: number; timeoutMs?: number },
) => ({
  extends: true as const,
  test: {
    ...test,
    testTimeout: timeoutMs,
    hookTimeout: Math.min(timeoutMs, 120_000),
    sequence: { groupOrder },
  },
});

export default defineConfig({
  test: {
    // TensorFlow's addon is native and not made for worker threads.
    pool: 'forks',
    // Commands colour what they print where CI is set, and tests compare what they print.
    env: { NO_COLOR: '1' },
    sequence: { sequencer: LongestFirst },
    // What servers and pages do later is waited for; a second, as it is without this, is little on a busy machine.
    expect: { poll: { timeout: 30_000 } },
    projects: [
      group(0, {
        name: 'unit',
        include: ['test/**/*.test.ts'],
        exclude: [...workflows, ...servers, ...alone],
        maxWorkers: 2,
        timeoutMs: 60_000,
      }),
      group(1, { name: 'workflows', include: workflows, exclude: servers, maxWorkers: 3 }),
      group(2, { name: 'servers', include: servers, exclude: alone, maxWorkers: 2 }),
      group(3, { name: 'alone', include: alone, exclude: [], maxWorkers: 1 }),
    ],
  },
});

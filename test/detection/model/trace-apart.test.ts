import { expect, test } from 'vitest';
import { savedModelBytes } from '../../../detection/model/graph-definition.ts';
import { eagerStepBytes } from '../../../detection/model/trace-apart.ts';
import { defaultTrainOptions } from '../../../detection/model/train.ts';
import { buildTrainGraph } from '../../../detection/model/train-graph.ts';
import { tiny } from './scenes.ts';

// Compiled by the set-up: a process of its own cannot run TypeScript.
const compiled: typeof import('../../../detection/model/trace-apart.ts') = await import(
  new URL('../../../dist/detection/model/trace-apart.js', import.meta.url).href
);

test('a large graph that another process has traced is the same to the byte', () => {
  const large = { ...tiny, imageSize: 384 };
  const options = { ...defaultTrainOptions, batchSize: 8 };
  expect(eagerStepBytes(large, options)).toBeGreaterThan(150 * 2 ** 20);
  const apart = savedModelBytes(compiled.trainGraphDefinition(large, options));
  expect(Buffer.compare(apart, savedModelBytes(buildTrainGraph(large, options)))).toBe(0);
});

test('a failure of that process says what it said', () => {
  const broken = { ...tiny, imageSize: 390 };
  const options = { ...defaultTrainOptions, batchSize: 8 };
  expect(() => compiled.trainGraphDefinition(broken, options)).toThrow(
    /The process that traces the training graph failed: it ended with status 1\. It said:\n.*390/s,
  );
});

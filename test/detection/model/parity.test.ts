import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { distances, type FixtureStep, gradientTolerance, summarise } from '../../../bench/torch/compare.ts';
import {
  FIXTURE_SAMPLES,
  fixedCases,
  graphStep,
  magnitudesOf,
  parityInputs,
} from '../../../bench/torch/parity-cases.ts';

// Computed by PyTorch in float64: bench/README.md says how to make them again.
const file = new URL('../../fixtures/parity/steps.json', import.meta.url);
const fixtures = JSON.parse(readFileSync(file, 'utf8')) as FixtureStep[];

test.each(fixedCases)('a training step equals PyTorch: $name', (one) => {
  const fixture = fixtures.find(({ name }) => name === one.name)!;
  const inputs = parityInputs(one);
  const ours = summarise(one, inputs, graphStep(one, inputs), FIXTURE_SAMPLES);
  expect(ours.targets, 'the targets of this step have changed: npm run bench -- parity --write').toBe(fixture.targets);
  const tolerance = gradientTolerance(fixture.single);
  expect(distances(ours, fixture, magnitudesOf(inputs), tolerance).problems).toEqual([]);
});

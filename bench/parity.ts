/**
 * One training step beside PyTorch's in float64, with every switch and from random seeds: `npm run bench -- parity`.
 * `--write` makes the fixtures anew that test/detection/model/parity.test.ts compares with; bench/README.md says more.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { TorchProcess, torchFolder } from './torch/client.ts';
import {
  distances,
  type FixtureStep,
  GRADIENT_TOLERANCE,
  gradientTolerance,
  OWN_ERROR,
  summarise,
  TERM_TOLERANCE,
} from './torch/compare.ts';
import {
  FIXTURE_SAMPLES,
  fixedCases,
  graphStep,
  magnitudesOf,
  parityInputs,
  randomCase,
} from './torch/parity-cases.ts';
import { torchPython } from './torch/python.ts';
import { referenceStep } from './torch/reference.ts';
import { trainingDistance } from './torch/short-training.ts';

const { values: words } = parseArgs({
  options: {
    cases: { type: 'string', default: '12' },
    write: { type: 'boolean', default: false },
    'install-torch': { type: 'boolean', default: false },
  },
});

const cases = [...fixedCases, ...Array.from({ length: Number(words.cases) }, (_, i) => randomCase(i + 1))];
const python = torchPython({ install: words['install-torch'] });
const torch = new TorchProcess(python, 1);
const fixtures: FixtureStep[] = [];
const failures: string[] = [];

console.log(
  `Largest relative distance of a step from PyTorch's in float64; allowed are ${TERM_TOLERANCE} for loss terms and ` +
    `${GRADIENT_TOLERANCE} for the gradient of a tensor, or ${OWN_ERROR} times what PyTorch's own gradient is off by in float32.`,
);
console.log("                  loss terms  gradient  update   PyTorch's float32: gradient  update");
for (const one of cases) {
  const inputs = parityInputs(one);
  const reference = await referenceStep(torch, one, inputs);
  const expected = summarise(one, inputs, reference);
  const magnitudes = magnitudesOf(inputs);
  const single = await referenceStep(torch, one, inputs, 'float32');
  const theirs = distances(summarise(one, inputs, single), expected, magnitudes);
  const tolerance = gradientTolerance(theirs.tensor);
  const ours = distances(summarise(one, inputs, graphStep(one, inputs)), expected, magnitudes, tolerance);
  const figures = [ours.term, ours.tensor, ours.change, theirs.tensor, theirs.change].map((x) => x.toExponential(1));
  console.log(`${one.name}\n${figures.map((figure, i) => figure.padStart([28, 10, 8, 29, 8][i]!)).join('')}`);
  if (ours.problems.length > 0) failures.push(`${one.name}: ${ours.problems.join('; ')}`);
  if (fixedCases.includes(one)) {
    fixtures.push({ ...summarise(one, inputs, reference, FIXTURE_SAMPLES), single: theirs.tensor });
  }
}
await torch.close();

// Adam divides by gradients that start near zero, so rounding shows sooner.
const TRAINING_TOLERANCE = { momentum: 1e-4, adam: 1e-2 };
for (const one of cases.slice(0, 4)) {
  const distance = await trainingDistance(one, python);
  const allowed = TRAINING_TOLERANCE[one.options.optimizer];
  console.log(
    `Three steps of training, ${one.name}: weights differ by ${distance.toExponential(1)}, allowed ${allowed}`,
  );
  if (!(distance <= allowed)) failures.push(`Three steps of training, ${one.name}: ${distance}, allowed ${allowed}`);
}

if (words.write) {
  const file = join(torchFolder(), '..', '..', 'test', 'fixtures', 'parity', 'steps.json');
  // Nine digits are more than float32 has.
  const short = (_key: string, value: unknown) => (typeof value === 'number' ? Number(value.toPrecision(9)) : value);
  writeFileSync(file, `[\n${fixtures.map((one) => JSON.stringify(one, short)).join(',\n')}\n]\n`);
  console.log(`Written: ${file}`);
}
for (const failure of failures) console.error(failure);
console.log(failures.length === 0 ? `All ${cases.length} steps agree.` : `${failures.length} steps do not agree.`);
process.exitCode = failures.length === 0 ? 0 : 1;

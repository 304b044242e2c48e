/**
 * How well training dynamics find what cannot be learnt, and tell it from what is labelled wrongly:
 * `npm run bench -- dynamics [--seeds N] [--images N] [--epochs N] [--tail SHARE]`, on synthetic scenes whose truth is known.
 */

import { parseArgs } from 'node:util';
import type { ExperimentResult, Judged, Score } from './dynamics/experiment.ts';

// As in every training process, before TensorFlow is loaded.
process.env.TF_ENABLE_ONEDNN_OPTS ??= '1';
process.env.TF_NUM_INTRAOP_THREADS ??= '1';
process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '3' },
    images: { type: 'string', default: '200' },
    epochs: { type: 'string', default: '40' },
    tail: { type: 'string', default: '0.15' },
  },
});
const seeds = Array.from({ length: Number(values.seeds) }, (_, i) => i + 1);

const { categoryNames, runExperiment, scoreOf, truths } = await import('./dynamics/experiment.ts');
const results: ExperimentResult[] = [];
for (const seed of seeds) {
  const result = await runExperiment({
    images: Number(values.images),
    imageSize: 128,
    epochs: Number(values.epochs),
    tail: Number(values.tail),
    errors: { missing: 0.05, spurious: 0.05, shifted: 0.05 },
    planted: 0.04,
    seed,
  });
  console.error(`seed ${seed}: AP50 ${percent(result.AP50)} on fresh scenes, ${Math.round(result.seconds)} s`);
  results.push(result);
}

const boxes = results.map(({ judged }) => judged.length).join(', ');
console.log(
  `${values.images} images of 128 px, ${values.epochs} epochs, tail ${values.tail}, errors 0.05 spurious, 0.05 shifted, 0.05 missing; ` +
    `seeds ${seeds.join(', ')} with ${boxes} boxes. Percent: mean (lowest to highest of the seeds).\n`,
);

console.log(
  '| Rule | Picked | Precision: rare or wrong | Recall of rare | Recall of spurious | Recall of shifted | Ordinary boxes picked |',
);
console.log('|---|---|---|---|---|---|---|');
for (const by of ['never-converging', 'aum', 'share'] as const) {
  const over = (wanted: (one: Judged) => boolean) => (result: ExperimentResult) =>
    scoreOf(result.judged, (one) => result.picked[by].has(one.annotationId), wanted);
  const recall = (truth: Judged['truth']) =>
    spread(
      over((one) => one.truth === truth),
      'recall',
    );
  const cells = [
    by,
    range(results.map(({ picked, judged }) => picked[by].size / judged.length)),
    spread(
      over((one) => one.truth !== 'ordinary'),
      'precision',
    ),
    recall('rare'),
    recall('spurious'),
    recall('shifted'),
    recall('ordinary'),
  ];
  console.log(`| ${cells.join(' | ')} |`);
}

console.log('\nOf what never converged, told apart by variability (lowest third: mislabelled, else unlearnable):\n');
console.log('| Called | Really | Precision | Recall among what never converged |');
console.log('|---|---|---|---|');
const isWrong = ({ truth }: Judged): boolean => truth === 'spurious' || truth === 'shifted';
for (const [name, wanted] of [
  ['unlearnable', (one: Judged) => one.truth === 'rare'],
  ['mislabelled', isWrong],
] as const) {
  const of = ({ judged }: ExperimentResult): Score =>
    scoreOf(
      judged.filter((one) => one.neverConverged),
      (one) => one.category === name,
      wanted,
    );
  console.log(
    `| ${name} | ${name === 'unlearnable' ? 'rare' : 'label error'} | ${spread(of, 'precision')} | ${spread(of, 'recall')} |`,
  );
}

console.log('\nWhat each kind of label is called, in percent of that kind:\n');
console.log(`| Really | Boxes | ${categoryNames.join(' | ')} |`);
console.log(`|---|---|${categoryNames.map(() => '---').join('|')}|`);
for (const truth of truths) {
  const own = results.map(({ judged }) => judged.filter((one) => one.truth === truth));
  const cells = categoryNames.map((name) =>
    range(own.map((list) => list.filter(({ category }) => category === name).length / Math.max(1, list.length))),
  );
  console.log(`| ${truth} | ${own.map((list) => list.length).join(', ')} | ${cells.join(' | ')} |`);
}

function spread(of: (result: ExperimentResult) => Score, name: keyof Score): string {
  return range(results.map((result) => of(result)[name]).filter((value) => value !== null));
}

function range(shares: readonly number[]): string {
  if (shares.length === 0) return '–';
  const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
  return `${percent(mean)} (${percent(Math.min(...shares))} to ${percent(Math.max(...shares))})`;
}

function percent(share: number): string {
  return (100 * share).toFixed(0);
}

/** Finding what cannot be learnt on scenes whose truth is known: a small run of the benchmark's experiment. */

import { expect, test } from 'vitest';
import { runExperiment, scoreOf } from '../../bench/dynamics/experiment.ts';

test('what never converges is mostly rare or labelled wrongly, and hardly ever an ordinary box', async () => {
  const { judged, picked } = await runExperiment({
    images: 70,
    imageSize: 96,
    epochs: 25,
    tail: 0.15,
    errors: { missing: 0.05, spurious: 0.08, shifted: 0.05 },
    planted: 0.05,
    seed: 1,
  });
  const isPicked = (by: keyof typeof picked) => (one: (typeof judged)[number]) => picked[by].has(one.annotationId);
  const held = scoreOf(judged, isPicked('never-converging'), (one) => one.truth !== 'ordinary');
  const spurious = scoreOf(judged, isPicked('never-converging'), (one) => one.truth === 'spurious');
  const ordinary = scoreOf(judged, isPicked('never-converging'), (one) => one.truth === 'ordinary');
  expect(held.precision).toBeGreaterThan(0.6);
  expect(spurious.recall).toBeGreaterThan(0.4);
  expect(ordinary.recall).toBeLessThan(0.1);
  // Threshold boxes are learnt no better than boxes where there is nothing.
  expect(scoreOf(judged, isPicked('aum'), (one) => one.truth === 'spurious').recall).toBeGreaterThan(0.5);
  // An ordinary box is learnt, in most cases.
  const easy = judged.filter(({ truth, category }) => truth === 'ordinary' && category === 'easy').length;
  expect(easy).toBeGreaterThan(0.5 * judged.filter(({ truth }) => truth === 'ordinary').length);
}, 180_000);

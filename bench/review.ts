/** How soon a reviewer meets the label errors, by the order in which candidates are shown: `npm run bench -- review`. */

import { join } from 'node:path';
import { readArguments, runCommand, wholeOption } from './proof/command-line.ts';

const usage = `Usage: npm run bench -- review [option]…

Plants errors into the labels of synthetic scenes, trains on them out of fold, and counts how many of the errors a reviewer has
met after so many looks: ranked by hardcase, by confidence, by cleanlab's ObjectLab and by FiftyOne's mistakenness.

  --images N            scenes (default 600)
  --epochs N            of each training (default 20)
  --folds N             models, each trained without the images that it is asked about (default 2; 1: asked about its own)
  --first-seed N        of the repetitions (default 21: 11 to 14 were tuned on)
  --seeds N             repetitions with other scenes and other trainings (default 2)
  --out FOLDER          where the store with scenes, checkpoints and models is (default .hardcase/bench/review)
  --install-cleanlab    makes an environment with cleanlab first, where there is none
  --append              writes the table into docs/review.md
`;

await runCommand(usage, async () => {
  const { values } = readArguments({
    options: {
      images: { type: 'string' },
      epochs: { type: 'string' },
      folds: { type: 'string' },
      'first-seed': { type: 'string' },
      seeds: { type: 'string' },
      out: { type: 'string' },
      'install-cleanlab': { type: 'boolean' },
      append: { type: 'boolean' },
    },
  });
  const request = {
    images: wholeOption('images', values.images, 600, 50),
    epochs: wholeOption('epochs', values.epochs, 20, 1),
    folds: wholeOption('folds', values.folds, 2, 1),
    firstSeed: wholeOption('first-seed', values['first-seed'], 21, 1),
    seeds: wholeOption('seeds', values.seeds, 2, 1),
    out: values.out ?? join('.hardcase', 'bench', 'review'),
    installCleanlab: values['install-cleanlab'] ?? false,
    append: values.append ?? false,
  };
  // After the arguments are read: what this loads takes seconds.
  const { runReviewBench } = await import('./review/run.ts');
  await runReviewBench(request);
});

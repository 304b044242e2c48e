/**
 * A real set from scratch, in a given time: `npm run bench -- real-data FOLDER`. Imports the folder and trains one model as the
 * pipeline's own steps do, and measures it on the test split.
 */

import { join, resolve } from 'node:path';
import { numberOption, readArguments, runCommand, settingsOf, UsageError, wholeOption } from './proof/command-line.ts';
import type { RealDataRequest } from './proof/real-training.ts';

const usage = `Usage: npm run bench -- real-data FOLDER [option]…

Trains a detector from scratch on a COCO, Pascal VOC or YOLO folder and measures it on the test split.

  --size N           side of the network's input in pixels (default 320)
  --minutes N        time for the training step (default 30): the epochs are chosen from a measured speed
  --epochs N         so many epochs, however long they take
  --set NAME=VALUE   a parameter of the step \`train\`, as in a pipeline (may be repeated): --set width=0.1875
  --seed N           default 1
  --group-by FIELD   what says which images belong together, as in import-dataset (default: each stands alone)
  --validations N    points of the learning curve (default 12)
  --out FOLDER       where the store with images, checkpoints and models is (default .hardcase/bench)
  --torch            trains an equal net by PyTorch too, on the same batches from the same first weights
  --install-torch    makes an environment for it first, where there is none (some gigabytes)
  --append           adds the table to docs/benchmarks.md
`;

function readRequest(): RealDataRequest {
  const { values, positionals } = readArguments({
    allowPositionals: true,
    options: {
      size: { type: 'string' },
      minutes: { type: 'string' },
      epochs: { type: 'string' },
      set: { type: 'string', multiple: true },
      seed: { type: 'string' },
      'group-by': { type: 'string' },
      validations: { type: 'string' },
      out: { type: 'string' },
      torch: { type: 'boolean' },
      'install-torch': { type: 'boolean' },
      append: { type: 'boolean' },
    },
  });
  if (positionals.length !== 1) {
    throw new UsageError(`Expected one folder, but ${positionals.length} were given.`);
  }
  return {
    folder: resolve(positionals[0]!),
    minutes: numberOption('minutes', values.minutes, 30, 0.1),
    epochs: values.epochs === undefined ? null : wholeOption('epochs', values.epochs, 1, 1),
    seed: wholeOption('seed', values.seed, 1, 0),
    groupBy: values['group-by'],
    validations: wholeOption('validations', values.validations, 12, 1),
    out: values.out ?? join('.hardcase', 'bench'),
    torch: values.torch ?? values['install-torch'] ?? false,
    installTorch: values['install-torch'] ?? false,
    append: values.append ?? false,
    settings: { imageSize: wholeOption('size', values.size, 320, 32), ...settingsOf(values.set ?? []) },
  };
}

await runCommand(usage, async () => {
  const request = readRequest();
  // After the arguments are read: what this loads takes seconds.
  const { runRealData } = await import('./proof/real-training.ts');
  await runRealData(request);
});

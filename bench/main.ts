/** `npm run bench -- NAME [ARGUMENT]…`: runs one benchmark, each a file of this folder; without a name, lists them. */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const benchmarks: Readonly<Record<string, string>> = {
  checkpoints: 'what saving checkpoints costs a training',
  check: 'CPU time and memory of `hardcase check`',
  claims: 'the published claims as experiments on synthetic scenes',
  engine: 'what the interpreter costs beside workflows written by hand',
  dynamics: 'what the rules of quarantine pick, against the truth',
  'engine-memory': 'memory of a worker over 10,000 workflows',
  fuzz: 'parser and compiler on mutated pipeline files',
  histories: 'how long the histories of the widest and the longest runs become',
  memory: 'memory of a training over thousands of steps',
  parity: 'a training step beside PyTorch in float64',
  'real-data': 'a detector from scratch on a folder of real images',
  recovery: 'what a crash and a pause cost a real training',
  review: 'how soon a reviewer meets planted label errors, beside other rankings',
  start: 'time from the command to the first activity of its run',
  train: 'speed and memory of training and inference beside PyTorch',
};

const [name, ...words] = process.argv.slice(2);
if (name === undefined || !Object.hasOwn(benchmarks, name)) {
  if (name !== undefined) console.error(`There is no benchmark "${name}".`);
  console.error('Run a benchmark with: npm run bench -- NAME');
  for (const [key, about] of Object.entries(benchmarks)) console.error(`  ${key.padEnd(12)} ${about}`);
  process.exitCode = 2;
} else {
  const child = spawnSync(process.execPath, [join(import.meta.dirname, `${name}.js`), ...words], { stdio: 'inherit' });
  process.exitCode = child.status ?? 1;
}

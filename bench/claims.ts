/**
 * The published claims as experiments on synthetic scenes: `npm run bench -- claims`. Results are kept, so that a run that was
 * stopped, or asked for more seeds, only does what is missing.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { appendToFile, conditions } from './proof/append-section.ts';
import { EXPERIMENTS, type Experiment } from './proof/claim-jobs.ts';
import type { ArmResults } from './proof/claim-report.ts';
import { ordersOf, readResult, runJobs } from './proof/claim-runner.ts';
import { readArguments, runCommand, UsageError, wholeOption } from './proof/command-line.ts';

const names = EXPERIMENTS.map(({ name }) => name).join(', ');

const usage = `Usage: npm run bench -- claims [option]…

Trains small nets on synthetic scenes and compares, with 95 % intervals over seeds, what the published strategy claims.

  --seeds N        trainings of each kind (default 3)
  --only NAME      one experiment (may be repeated): ${names}
  --processes N    trainings at a time (default: as many as cores)
  --out FOLDER     where results are kept (default .hardcase/bench/claims)
  --append         adds the tables to docs/benchmarks.md and draws docs/images/claims-gamma.svg
`;

const SECTION = 'The published claims';
const FIGURE = join('docs', 'images', 'claims-gamma.svg');

async function main(): Promise<void> {
  const { values } = readArguments({
    options: {
      seeds: { type: 'string' },
      only: { type: 'string', multiple: true },
      processes: { type: 'string' },
      out: { type: 'string' },
      append: { type: 'boolean' },
    },
  });
  const seeds = Array.from({ length: wholeOption('seeds', values.seeds, 3, 1) }, (_, i) => i + 1);
  const experiments = chosen(values.only);
  const processes = wholeOption('processes', values.processes, availableParallelism(), 1);
  const folder = values.out ?? join('.hardcase', 'bench', 'claims');

  const jobs = experiments.flatMap(({ arms }) => arms.flatMap((arm) => seeds.map((seed) => arm.job(seed))));
  const startedAt = Date.now();
  await runJobs(jobs, folder, processes, (done, of) => {
    console.error(`${done} of ${of} trainings, ${Math.round((Date.now() - startedAt) / 1000)} s`);
  });

  const { armResults, experimentTables, gammaFigure } = await import('./proof/claim-report.ts');
  const figureOf = (all: readonly ArmResults[]): string => {
    mkdirSync(dirname(FIGURE), { recursive: true });
    writeFileSync(FIGURE, gammaFigure(all));
    return '\n\n![Loss over the epochs at gamma 2 and 8](images/claims-gamma.svg)';
  };
  const sections = experiments.map((experiment): { readonly experiment: Experiment; readonly all: ArmResults[] } => ({
    experiment,
    all: armResults(experiment, seeds, (job) => readResult(folder, job)),
  }));
  const trained = ordersOf(jobs, folder).map(({ job }) => readResult(folder, job));
  const minutes = trained.reduce((sum, { seconds }) => sum + seconds, 0) / 60;
  const parts = sections.map(
    ({ experiment, all }) =>
      `#### ${experiment.name}\n\n${experiment.claim}\n\n${experimentTables(experiment, all)}${values.append && experiment.name === 'gamma' ? figureOf(all) : ''}`,
  );
  const text = `${parts.join('\n\n')}\n\n${trained.length} trainings, ${minutes.toFixed(0)} minutes if done one after another.`;
  console.log(text);
  if (!values.append) return;
  const words = process.argv.slice(2).filter((word) => word !== '--append');
  appendToFile(
    join('docs', 'benchmarks.md'),
    SECTION,
    `### ${seeds.length} seeds, ${conditions()}\n\n    ${['npm run bench -- claims', ...words].join(' ')}\n\n${text}`,
  );
}

function chosen(only: readonly string[] | undefined): readonly Experiment[] {
  if (only === undefined) return EXPERIMENTS;
  return only.map((name) => {
    const found = EXPERIMENTS.find((experiment) => experiment.name === name);
    if (found === undefined) throw new UsageError(`There is no experiment "${name}"; there are ${names}.`);
    return found;
  });
}

await runCommand(usage, main);

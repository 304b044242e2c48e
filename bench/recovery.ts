/**
 * What a crash and a pause cost a real training: `npm run bench -- recovery [--quick] [--pauses] [--seed N]`. The training's process, its worker
 * and the command are killed at random moments; `pause --now` stops it, idle and under load. Ends with 1 where a digest differs from
 * that of the training that nothing disturbed.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRandom } from '../detection/random.ts';
import { conditions } from './proof/append-section.ts';
import { readArguments, runCommand, wholeOption } from './proof/command-line.ts';
import { decimal, markdownTable } from './proof/tables.ts';
import { endOf, type Kill, killInCommand, killInWorkers, type Recovery } from './recovery/kills.ts';
import { type Pause, pauseTraining } from './recovery/pauses.ts';
import { type Digests, openTraining } from './recovery/training.ts';

const usage = `Usage: npm run bench -- recovery [--quick] [--pauses] [--seed N]

  --quick    shorter trainings and fewer kills: three to four minutes in place of twice that and more
  --pauses   without the kills
  --seed N   of the random moments (1)
`;

interface Scale {
  /** Seconds that a training takes here: with the embedded engine, and the others. */
  readonly seconds: { readonly command: number; readonly others: number };
  /** Without `checkpointEvery` the default is used. */
  readonly command: { readonly checkpointEvery?: string; readonly kills: readonly Kill[] };
  readonly workers: { readonly checkpointEvery: string; readonly kills: readonly Kill[] };
  readonly pauses: number;
}

const whole: Scale = {
  seconds: { command: 75, others: 45 },
  command: {
    kills: [
      { victim: 'hardcase run', between: [31, 40] },
      { victim: 'TensorFlow process', between: [3, 25] },
      { victim: 'hardcase run', between: [3, 25] },
    ],
  },
  workers: {
    checkpointEvery: '5s',
    kills: [
      { victim: 'worker', between: [1, 11] },
      { victim: 'TensorFlow process', between: [1, 11] },
      { victim: 'worker', between: [1, 11] },
      { victim: 'TensorFlow process', between: [1, 11] },
      { victim: 'worker', between: [1, 11] },
    ],
  },
  pauses: 3,
};

const quick: Scale = {
  seconds: { command: 40, others: 20 },
  command: {
    checkpointEvery: '2s',
    kills: [
      { victim: 'hardcase run', between: [1, 4] },
      { victim: 'TensorFlow process', between: [1, 4] },
    ],
  },
  workers: { checkpointEvery: '2s', kills: [{ victim: 'worker', between: [1, 4] }] },
  pauses: 1,
};

const recoveryHead = [
  'killed',
  'checkpoint every',
  'after its first step',
  'steps done again',
  'training done again',
  'until the next process',
  'until the next step',
  'exact',
];

const pauseHead = [
  'beside it',
  'stopped after',
  'command ended after',
  'steps done again',
  '`resume` to the next step',
];

await runCommand(usage, async () => {
  const { values } = readArguments({
    options: { quick: { type: 'boolean' }, pauses: { type: 'boolean' }, seed: { type: 'string' } },
  });
  const seed = wholeOption('seed', values.seed as string | undefined, 1, 0);
  const scale = values.quick === true ? quick : whole;
  const random = createRandom(`recovery ${seed}`);
  const load = (): string => `load ${loadavg()[0]!.toFixed(1)}`;
  const begins = (what: string): void => console.log(`\n${what} (${load()})`);

  console.log(`${conditions()}; S at 160 px, batches of 16, one thread; seed ${seed}`);
  begins('How fast it trains');
  const stepsPerSecond = await measureSpeed();
  const steps = {
    command: Math.round(scale.seconds.command * stepsPerSecond),
    others: Math.round(scale.seconds.others * stepsPerSecond),
  };
  console.log(`${stepsPerSecond.toFixed(1)} steps a second: trainings of ${steps.command} and ${steps.others} steps`);

  begins('Undisturbed');
  const calm = await undisturbed(values.pauses === true ? [steps.command] : [steps.command, steps.others]);
  const differing: string[] = [];
  const compare = (what: string, { model, chain }: Digests, with_: Digests): void => {
    const same = model === with_.model && chain === with_.chain;
    console.log(
      `${what}: digests of model and chain ${same ? 'equal' : 'DIFFER FROM'} those of the undisturbed training`,
    );
    if (!same) differing.push(what);
  };

  const ended = '  the training ended before all was done to it: the machine got faster. Run it again.';
  const say = (one: Recovery | null): void => console.log(one === null ? ended : `  ${rowOf(one).join(', ')}`);
  const { command, workers } = scale;
  const recoveries: Recovery[] = [];
  if (values.pauses !== true) await kill();

  async function kill(): Promise<void> {
    begins('Killed, with the embedded engine');
    const inCommand = await killInCommand({ steps: steps.command, ...command, random, say });
    compare('Embedded engine', inCommand.digests, calm[0]!);

    begins('Killed, with workers of a shared server');
    const folder = mkdtempSync(join(tmpdir(), 'hardcase-recovery-server-'));
    const logFile = join(folder, 'temporal.log');
    const inWorkers = await killInWorkers({ steps: steps.others, ...workers, random, say, logFile }).finally(() =>
      rmSync(folder, { recursive: true, force: true }),
    );
    compare('Shared server', inWorkers.digests, calm[1]!);
    recoveries.push(...inCommand.recoveries, ...inWorkers.recoveries);
  }

  begins('Paused at once');
  const loadProcesses = 2 * cpus().length;
  const tellPause = (one: Pause | null): void =>
    console.log(one === null ? ended : `  ${pauseRow(one, loadProcesses).join(', ')}`);
  const settings = { steps: steps.command, times: scale.pauses, loadProcesses, random, say: tellPause };
  const paused = await pauseTraining(settings);
  compare('Paused', paused.digests, calm[0]!);

  console.log(`\n${conditions()}, ${load()} at the end\n`);
  if (recoveries.length > 0) console.log(`${markdownTable(recoveryHead, recoveries.map(rowOf))}\n`);
  console.log(
    markdownTable(
      pauseHead,
      paused.pauses.map((one) => pauseRow(one, loadProcesses)),
    ),
  );
  console.log('\nWhat writing checkpoints costs: npm run bench -- checkpoints');
  if (differing.length > 0) {
    console.error(`\nOther digests than undisturbed: ${differing.join(', ')}.`);
    process.exitCode = 1;
  }
});

/** Steps a second, of a training of some seconds. */
async function measureSpeed(): Promise<number> {
  const training = openTraining({ steps: 120 });
  try {
    await endOf(training, training.run());
    const { steps } = training.probe.attempts()[0]!;
    const [first, last] = [steps[0]!, steps.at(-1)!];
    return (last.step - first.step) / ((last.at - first.at) / 1000);
  } finally {
    await training.close();
  }
}

/** Side by side: nothing is measured here. */
async function undisturbed(lengths: readonly number[]): Promise<Digests[]> {
  const trainings = lengths.map((steps) => openTraining({ steps }));
  try {
    return await Promise.all(trainings.map((training) => endOf(training, training.run())));
  } finally {
    await Promise.all(trainings.map((training) => training.close()));
  }
}

function rowOf(one: Recovery): string[] {
  const seconds = (value: number): string => `${decimal(value, 1)} s`;
  return [
    one.victim,
    one.checkpointEvery,
    seconds(one.afterS),
    String(one.lostSteps),
    seconds(one.lostS),
    seconds(one.detectedS),
    seconds(one.untilStepS),
    one.exact ? 'yes' : 'no',
  ];
}

function pauseRow(one: Pause, loadProcesses: number): string[] {
  const seconds = (value: number): string => `${decimal(value, 1)} s`;
  return [
    one.loaded ? `${loadProcesses} busy processes` : 'nothing',
    seconds(one.stoppedS),
    seconds(one.toldS),
    String(one.lostSteps),
    seconds(one.resumedS),
  ];
}

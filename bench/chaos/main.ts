/** `npm run chaos -- --seeds A-B [--lanes N] [--log FILE]`: runs a pipeline under each seed's mishaps, and appends what came of it. */

import { execFileSync } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { readArguments, runCommand, UsageError, wholeOption } from '../proof/command-line.ts';
import { calmSchedule, type Lane, type Outcome, openLane } from './lane.ts';
import { mishapText, type Schedule, scheduleOf } from './schedule.ts';
import { findFaketime } from './wrong-clock.ts';

const usage = `Usage: npm run chaos -- --seeds A-B [--lanes N] [--log FILE]

  --seeds A-B   seeds of the schedules, such as 1-200 (1-20)
  --lanes N     so many at a time, each with its own Temporal server, MinIO and workers (2)
  --log FILE    a line a schedule is appended here

Ends with status 1 where a schedule failed.
`;

await runCommand(usage, async () => {
  const { values } = readArguments({
    options: { seeds: { type: 'string' }, lanes: { type: 'string' }, log: { type: 'string' } },
  });
  const seeds = seedsOf((values.seeds as string | undefined) ?? '1-20');
  const laneCount = Math.min(seeds.length, wholeOption('lanes', values.lanes as string | undefined, 2, 1));
  const say = (line: string): void => {
    console.log(line);
    if (values.log !== undefined) appendFileSync(values.log as string, `${line}\n`);
  };

  const lanes: Lane[] = [];
  const outcomes: Outcome[] = [];
  try {
    // One after another, because each starts two servers.
    while (lanes.length < laneCount) lanes.push(await openLane());
    const calm = await lanes[0]!.run(calmSchedule, null);
    if (calm.problems.length > 0 || calm.left === null) {
      throw new Error(`The run that nothing disturbs fails:\n${calm.problems.join('\n')}`);
    }
    say(
      `${new Date().toISOString()} revision ${revision()}; calm: ${calm.seconds.toFixed(1)} s; seeds ${seeds[0]} to ${seeds.at(-1)}, ${laneCount} at a time; clocks by ${findFaketime() === null ? 'JavaScript' : 'libfaketime'}; load ${loadavg()[0]!.toFixed(1)}`,
    );
    const queue = [...seeds];
    await Promise.all(
      lanes.map(async (lane) => {
        for (let seed = queue.shift(); seed !== undefined; seed = queue.shift()) {
          const schedule = scheduleOf(seed);
          const outcome = await lane.run(schedule, calm.left);
          outcomes.push(outcome);
          say(lineOf(schedule, outcome));
        }
      }),
    );
  } finally {
    await Promise.all(lanes.map((lane) => lane.close()));
  }
  const failed = outcomes.filter(({ problems }) => problems.length > 0);
  say(
    `${new Date().toISOString()} ${outcomes.length} schedules, ${failed.length} failed${failed.length === 0 ? '' : `: ${failed.map(({ seed }) => seed).join(', ')}`}`,
  );
  if (failed.length > 0) process.exitCode = 1;
});

/** Of the code, as far as git is there to say. */
function revision(): string {
  try {
    const words = ['describe', '--always', '--dirty=-changed', '--abbrev=10', '--exclude=*'];
    return execFileSync('git', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return 'unknown';
  }
}

function seedsOf(text: string): number[] {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (match === null || last < first) throw new UsageError(`--seeds is "${text}", expected A-B, such as 1-200.`);
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

function lineOf(schedule: Schedule, { seed, seconds, problems }: Outcome): string {
  const { store, early, repeats, startedTwice, mishaps } = schedule;
  const ways = [
    early.includes(true) && 'early',
    repeats > 1 && `sent ${repeats} times`,
    startedTwice && 'started twice',
  ];
  const what = [store, ...ways.filter(Boolean), ...mishaps.map(mishapText)].join('; ');
  const verdict = problems.length === 0 ? 'ok' : 'FAILED';
  const lines = problems.map((problem) => `    ${problem.replaceAll('\n', '\n    ')}`);
  return [`seed ${seed} ${verdict} ${seconds.toFixed(0)} s: ${what}`, ...lines].join('\n');
}

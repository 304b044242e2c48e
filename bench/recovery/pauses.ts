/** `hardcase pause --now` while a training runs, and `hardcase resume` after it: how long both take, idle and under load. */

import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning } from '../../deploy/servers.ts';
import type { Random } from '../../detection/random.ts';
import { type Disturbed, endOf, type KillSettings } from './kills.ts';
import { type Command, openTraining, runName, type Training } from './training.ts';

export interface Pause {
  readonly loaded: boolean;
  /** From the start of the command to the end of the TensorFlow process, whose checkpoint is kept by then. */
  readonly stoppedS: number;
  /** To the end of the command. */
  readonly toldS: number;
  /** Steps that are done again: the checkpoint is of the last step where there is none. */
  readonly lostSteps: number;
  /** From the start of `hardcase resume` to the first step. */
  readonly resumedS: number;
}

export interface PauseSettings extends Pick<KillSettings, 'steps' | 'random'> {
  /** So often idle, and so often under load. */
  readonly times: number;
  /** Processes that compute beside it, then. */
  readonly loadProcesses: number;
  /** Null: the training ended before. */
  say(pause: Pause | null): void;
}

export async function pauseTraining(
  settings: PauseSettings,
): Promise<Pick<Disturbed, 'digests'> & { pauses: Pause[] }> {
  const training = openTraining({ steps: settings.steps });
  const load: ChildProcess[] = [];
  try {
    const command = training.run();
    const pauses: Pause[] = [];
    for (const loaded of [false, true]) {
      if (loaded) load.push(...Array.from({ length: settings.loadProcesses }, computeForEver));
      for (let i = 0; i < settings.times; i++) {
        const pause = await pauseOnce(training, command, settings.random, loaded);
        settings.say(pause);
        if (pause === null) break;
        pauses.push(pause);
      }
    }
    for (const child of load.splice(0)) child.kill('SIGKILL');
    return { pauses, digests: await endOf(training, command) };
  } finally {
    for (const child of load) child.kill('SIGKILL');
    await training.close();
  }
}

async function pauseOnce(
  { probe, hardcase }: Training,
  command: Command,
  random: Random,
  loaded: boolean,
): Promise<Pause | null> {
  await probe.until('The training begins', () => true);
  const { pid, steps } = probe.attempts().at(-1)!;
  await sleep(steps[0]!.at + 1000 + random.next() * 1500 - Date.now());
  if (!isRunning(pid)) return null;
  const askedAt = Date.now();
  let stoppedAt = 0;
  const stopped = (async () => {
    while (isRunning(pid)) await sleep(10);
    stoppedAt = Date.now();
  })();
  await hardcase(0, 'pause', runName, '--now', '--by', 'bench');
  const toldAt = Date.now();
  await stopped;
  const paused = probe.attempts().find((attempt) => attempt.pid === pid)!;
  const resumedAt = Date.now();
  await hardcase(0, 'resume', runName, '--by', 'bench');
  // It may have done its last step while it was told to stop: then it has nothing left to go on with.
  const next = await probe.untilOver(
    'The training goes on after "resume"',
    (attempt) => attempt.steps[0]!.at > resumedAt,
    () => command.child.exitCode !== null,
  );
  if (next === null) return null;
  return {
    loaded,
    stoppedS: (stoppedAt - askedAt) / 1000,
    toldS: (toldAt - askedAt) / 1000,
    // The last that it told, up to a second before it stopped.
    lostSteps: Math.max(0, (paused.steps.at(-1)?.step ?? 0) - next.resumedFrom),
    resumedS: (next.steps[0]!.at - resumedAt) / 1000,
  };
}

/** Until it is killed, or this process is. */
function computeForEver(): ChildProcess {
  return spawn(process.execPath, ['-e', `while (process.ppid === ${process.pid});`], { stdio: 'ignore' });
}

/** Kills what a training consists of, at random moments, and measures what of the training is done again and when it goes on. */

import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning, startTemporalDevServer } from '../../deploy/servers.ts';
import type { Random } from '../../detection/random.ts';
import { type Attempt, lossOf } from './attempts.ts';
import { type Command, type Digests, openTraining, type Training, type TrainingSettings } from './training.ts';

export type Victim = 'TensorFlow process' | 'hardcase run' | 'worker';

export interface Kill {
  readonly victim: Victim;
  /** Seconds after the first step of the attempt, at random between these. */
  readonly between: readonly [number, number];
}

export interface Recovery {
  readonly victim: Victim;
  readonly checkpointEvery: string;
  /** Between the first step of the attempt and the kill. */
  readonly afterS: number;
  readonly lostSteps: number;
  /** Of training that is done again. */
  readonly lostS: number;
  /** From the kill to the start of the next TensorFlow process. */
  readonly detectedS: number;
  /** From the kill to the first step of the next attempt. */
  readonly untilStepS: number;
  readonly exact: boolean;
}

export interface Disturbed {
  readonly recoveries: readonly Recovery[];
  readonly digests: Digests;
}

export interface KillSettings extends TrainingSettings {
  readonly kills: readonly Kill[];
  readonly random: Random;
  /** Null: the training ended before it was to be killed, because the machine got faster. */
  say(recovery: Recovery | null): void;
}

/** With the embedded engine: the command is the worker, and is typed again at once. */
export async function killInCommand(settings: KillSettings): Promise<Disturbed> {
  const training = openTraining(settings);
  try {
    let command = training.run();
    const recoveries = await killEach(training, settings, async (victim, { pid }) => {
      if (victim === 'TensorFlow process') return void process.kill(pid, 'SIGKILL');
      command.child.kill('SIGKILL');
      await command.ended;
      command = training.run();
    });
    return { recoveries, digests: await endOf(training, command) };
  } finally {
    await training.close();
  }
}

/** With a server that others share: two workers train, one does the rest, and a killed one is started again. */
export async function killInWorkers(settings: KillSettings & { readonly logFile: string }): Promise<Disturbed> {
  const server = await startTemporalDevServer({ logFile: settings.logFile, dbFile: `${settings.logFile}.db` });
  const training = openTraining({ ...settings, address: server.address });
  try {
    const workers = new Map<number, Command>();
    const startWorker = async (queues: string): Promise<void> => {
      const worker = training.start('worker', '--queues', queues);
      workers.set(worker.child.pid!, worker);
      while (!worker.said().includes('Working for')) {
        if (worker.child.exitCode !== null) throw new Error(`A worker did not start:\n${worker.said()}`);
        await sleep(50);
      }
    };
    await startWorker('workflows,cpu');
    await Promise.all([startWorker('train'), startWorker('train')]);
    const command = training.run();
    const recoveries = await killEach(training, settings, async (victim, { pid, parent }) => {
      process.kill(victim === 'worker' ? parent : pid, 'SIGKILL');
      if (victim === 'worker') await startWorker('train');
    });
    return { recoveries, digests: await endOf(training, command) };
  } finally {
    await training.close();
    await server.stop();
  }
}

async function killEach(
  { probe }: Training,
  { kills, random, checkpointEvery = '30s', say }: KillSettings,
  kill: (victim: Victim, attempt: Attempt) => Promise<void>,
): Promise<Recovery[]> {
  const recoveries: Recovery[] = [];
  let current = await probe.until('The training begins', () => true);
  for (const { victim, between } of kills) {
    const [least, most] = between;
    const firstAt = current.steps[0]!.at;
    await sleep(firstAt + 1000 * (least + random.next() * (most - least)) - Date.now());
    const { pid } = current;
    if (!isRunning(pid)) {
      say(null);
      break;
    }
    const killedAt = Date.now();
    // What it takes to start again goes on beside the measurement.
    const again = kill(victim, current);
    again.catch(() => {});
    const next = await probe.until(`The training goes on after the kill of the ${victim}`, (attempt) => {
      return attempt.steps[0]!.at > killedAt && attempt.pid !== pid;
    });
    await again;
    // Read once more: what was said in its last moments.
    const killed = probe.attempts().find((attempt) => attempt.pid === pid)!;
    const loss = lossOf(killed, killedAt, next);
    const recovery: Recovery = {
      victim,
      checkpointEvery,
      afterS: (killedAt - firstAt) / 1000,
      lostSteps: loss.steps,
      lostS: loss.seconds,
      detectedS: (next.beganAt - killedAt) / 1000,
      untilStepS: (next.steps[0]!.at - killedAt) / 1000,
      exact: next.exact,
    };
    recoveries.push(recovery);
    say(recovery);
    current = next;
  }
  return recoveries;
}

export async function endOf(training: Training, command: Command): Promise<Digests> {
  const code = await command.ended;
  if (code !== 0) throw new Error(`hardcase run ended with ${code}:\n${command.said()}`);
  return training.digests();
}

/** The two workers of a lane: each a process with a network of its own, started again when it is killed. */

import { type ChildProcess, fork } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openTcpProxy, type TcpProxy } from './tcp-proxy.ts';
import { openWrongClock } from './wrong-clock.ts';

export interface ChaosWorkers {
  /** To the Temporal server, one a worker. */
  readonly networks: readonly TcpProxy[];
  kill(worker: number): void;
  pause(worker: number, paused: boolean): void;
  setFaults(worker: number, faults: { readonly full?: boolean; readonly clock?: number }): void;
  /** Starts those that are dead, and resolves when both work. */
  revive(): Promise<void>;
  /** Told to stop, as by Ctrl-C. Answers what did not end well. */
  stop(): Promise<string[]>;
  /** SIGKILL to all that are left. */
  abandon(): void;
}

export interface WorkerPlace {
  readonly folder: string;
  readonly temporalPort: number;
  /** Which run has its store where. */
  readonly storesFile: string;
  readonly queue: string;
  readonly environment: NodeJS.ProcessEnv;
}

/** A service manager has no end of patience; a server that is down may take a minute to come back on a busy machine. */
const startsMax = 60;
/** On an idle machine a second will do. */
const stopMaxMs = 60_000;

export async function startChaosWorkers(place: WorkerPlace): Promise<ChaosWorkers> {
  const networks = await Promise.all([0, 1].map(() => openTcpProxy(place.temporalPort)));
  const processes: (ChildProcess | null)[] = [null, null];
  const clocks = [0, 1].map((worker) => openWrongClock(join(place.folder, `clock-${worker}`)));
  const faultsFile = (worker: number): string => join(place.folder, `faults-${worker}.json`);
  const isAlive = (child: ChildProcess | null): child is ChildProcess =>
    child !== null && child.exitCode === null && child.signalCode === null;

  const start = async (worker: number): Promise<void> => {
    const words = [`127.0.0.1:${networks[worker]!.port}`, place.storesFile, place.queue, faultsFile(worker)];
    for (let attempt = 1; ; attempt++) {
      const child = fork(entryPath(), words, {
        execArgv: [],
        stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
        env: { ...place.environment, ...clocks[worker]?.environment },
      });
      processes[worker] = child;
      let said = '';
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        said = (said + text).slice(-1500);
      });
      const ready = await new Promise<boolean>((resolve) => {
        child.once('message', () => resolve(true));
        child.once('exit', () => resolve(false));
      });
      if (ready) return;
      // Killed before it was ready, or it came while a server was away: as a service manager, start it again.
      if (attempt === startsMax) throw new Error(`A worker does not start: ${said}`);
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  };

  return {
    networks,
    kill: (worker) => void processes[worker]?.kill('SIGKILL'),
    pause: (worker, paused) =>
      void (isAlive(processes[worker]!) && processes[worker].kill(paused ? 'SIGSTOP' : 'SIGCONT')),
    setFaults(worker, { clock = 0, ...faults }) {
      const real = clocks[worker] ?? null;
      real?.set(clock);
      writeFileSync(faultsFile(worker), JSON.stringify(real === null ? { ...faults, clock } : faults));
    },
    async revive() {
      await Promise.all([0, 1].map((worker) => (isAlive(processes[worker]!) ? undefined : start(worker))));
    },
    async stop() {
      const problems: string[] = [];
      await Promise.all(
        processes.map(async (child, worker) => {
          if (!isAlive(child)) return;
          const gone = new Promise<number | null>((resolve) => child.once('exit', resolve));
          child.kill('SIGTERM');
          const timer = setTimeout(() => {
            problems.push(`worker ${worker} did not end within ${stopMaxMs / 1000} s of SIGTERM`);
            child.kill('SIGKILL');
          }, stopMaxMs);
          await gone;
          clearTimeout(timer);
        }),
      );
      await Promise.all(networks.map((network) => network.close()));
      return problems;
    },
    abandon() {
      for (const child of processes) if (isAlive(child)) child.kill('SIGKILL');
    },
  };
}

/** The compiled entry, also when this file runs from its source (under the test runner). */
function entryPath(): string {
  const beside = import.meta.url.endsWith('.ts') ? '../../dist/bench/chaos/worker-process.js' : './worker-process.js';
  return fileURLToPath(new URL(beside, import.meta.url));
}

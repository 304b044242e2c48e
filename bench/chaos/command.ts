/** `hardcase run` of a chaos run, as a person has it in a terminal: killed, stopped, and typed again where it has failed. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export interface ChaosCommand {
  /** SIGKILL; it is typed again a moment later. */
  kill(): void;
  /** SIGSTOP and SIGCONT. */
  pause(paused: boolean): void;
  /** Once the run is done: waits for the command to say so. Answers what it did wrong. */
  end(): Promise<string[]>;
  /** SIGKILL, for good. */
  abandon(): void;
}

export interface CommandPlace {
  readonly folder: string;
  /** Of the Temporal server: then the command is its client. */
  readonly address: string;
  readonly store: string;
  readonly queue: string;
  readonly run: string;
  readonly environment: NodeJS.ProcessEnv;
}

/** A person notices, and presses the arrow key and Enter. */
const againMs = 300;
/** After the workflow has ended; it looks at an S3 store every three seconds. */
const endMaxMs = 60_000;
/** The engine or a service failed: the one way to end that is no fault while something is down. */
const engineFailed = 4;

export function followWithCommand({ folder, address, store, queue, run, environment }: CommandPlace): ChaosCommand {
  mkdirSync(folder, { recursive: true });
  const words = ['run', 'chaos.yaml', '--run', run, '--address', address, '--store', store, '--queue', queue];
  const problems: string[] = [];
  let child: ChildProcess | null = null;
  let abandoned = false;

  const once = async (): Promise<boolean> => {
    const own = spawn(process.execPath, [mainPath(), ...words], {
      cwd: folder,
      env: { ...environment, NO_COLOR: '1', TEMPORAL_CONFIG_FILE: '/nowhere/temporal.toml' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child = own;
    let said = '';
    for (const stream of [own.stdout!, own.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        said = (said + text).slice(-3000);
      });
    }
    const code = await new Promise<number | null>((resolve) => own.once('close', (value) => resolve(value)));
    if (code === 0) {
      if (!/^Done\. What it made: |is done already\.$/m.test(said))
        problems.push(`the command ended well, but said ${said}`);
      return true;
    }
    const killedByUs = code === null && own.signalCode === 'SIGKILL';
    if ((!killedByUs && code !== engineFailed) || said.includes('Internal error')) {
      problems.push(`the command ended with ${code ?? own.signalCode}: ${said}`);
    }
    return false;
  };

  const followed = (async () => {
    while (!abandoned && !(await once())) await sleep(againMs);
  })();

  const abandon = (): void => {
    abandoned = true;
    child?.kill('SIGKILL');
  };
  return {
    kill: () => void child?.kill('SIGKILL'),
    pause: (paused) => void child?.kill(paused ? 'SIGSTOP' : 'SIGCONT'),
    async end() {
      const timer = setTimeout(() => {
        problems.push(`the command did not end within ${endMaxMs / 1000} s of its run`);
        abandon();
      }, endMaxMs);
      await followed;
      clearTimeout(timer);
      return problems;
    },
    abandon,
  };
}

/** The compiled command, also when this file runs from its source (under the test runner). */
function mainPath(): string {
  const beside = import.meta.url.endsWith('.ts') ? '../../dist/cli/main.js' : '../../cli/main.js';
  return fileURLToPath(new URL(beside, import.meta.url));
}

/** Runs the compiled command as a user would, in a folder of its own. */

import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCommand {
  readonly child: ChildProcess;
  readonly outcome: Promise<Outcome>;
  /** Resolves with all output so far once it matches; rejects where the command ends before, or after three minutes. */
  until(pattern: RegExp): Promise<string>;
}

const main = join(import.meta.dirname, '../../dist/cli/main.js');

/** Settings of the machine that runs the tests must not reach them. */
function cleanEnvironment(extra: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = { NO_COLOR: '1', TEMPORAL_CONFIG_FILE: '/nowhere/temporal.toml' };
  for (const [name, value] of Object.entries(process.env)) {
    if (!/^(HARDCASE_(STORE|QUEUE|DEBUG)|TEMPORAL_|AWS_|FORCE_COLOR|VITEST)/.test(name)) environment[name] ??= value;
  }
  return { ...environment, ...extra };
}

export function startCommand(
  folder: string,
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): RunningCommand {
  const child = spawn(process.execPath, [main, ...words], {
    cwd: folder,
    env: cleanEnvironment(environment),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  const watchers = new Set<() => void>();
  const tell = () => {
    for (const watcher of watchers) watcher();
  };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    tell();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    tell();
  });
  const outcome = new Promise<Outcome>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  return {
    child,
    outcome,
    until: (pattern) =>
      new Promise((resolve, reject) => {
        const fail = (why: string) => reject(new Error(`${words.join(' ')} ${why}:\n${stdout}\n${stderr}`));
        const timer = setTimeout(() => fail(`did not print ${pattern} within three minutes`), 180_000);
        const look = () => {
          if (!pattern.test(stdout + stderr)) return;
          clearTimeout(timer);
          watchers.delete(look);
          resolve(stdout + stderr);
        };
        watchers.add(look);
        look();
        outcome.then(({ code }) => {
          clearTimeout(timer);
          fail(`ended with ${code} before it printed ${pattern}`);
        });
      }),
  };
}

export async function runCommand(
  folder: string,
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  return await startCommand(folder, words, environment).outcome;
}

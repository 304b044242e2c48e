/** A real training in a folder of its own: its pipeline, its commands with the probe in them, and what it leaves. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { readStepRecord } from '../../artifacts/run-record.ts';
import { isRunning, stopProcess } from '../../deploy/servers.ts';
import { isArtifactRef } from '../../plan/types.ts';
import { openProbeFile, type ProbeFile } from './attempts.ts';

export interface Command {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  /** All that it has said so far. */
  said(): string;
}

export interface Training {
  readonly probe: ProbeFile;
  readonly storeFolder: string;
  /** `hardcase WORDS…` in the folder. */
  start(...words: string[]): Command;
  /** As `start`, to its end; throws with what it said where its status is another one. */
  hardcase(status: number, ...words: string[]): Promise<void>;
  /** `hardcase run` of the training. */
  run(): Command;
  /** What must not hang on anything that happened to it. */
  digests(): Promise<Digests>;
  close(): Promise<void>;
}

export interface Digests {
  readonly model: string;
  /** Of every step, see docs/reliability.md. */
  readonly chain: string;
}

export interface TrainingSettings {
  readonly steps: number;
  /** A duration as in the pipeline; the default where it is not given. */
  readonly checkpointEvery?: string;
  /** Of a Temporal server; the embedded one where it is not given. */
  readonly address?: string;
}

export const runName = 'one';

const mainPath = fileURLToPath(new URL('../../cli/main.js', import.meta.url));
const probePath = pathToFileURL(fileURLToPath(new URL('./probe.js', import.meta.url))).href;

/** S at 160 px, as in the other benchmarks. */
const pipelineOf = ({ steps, checkpointEvery }: TrainingSettings): string => `name: recovery
seed: 5
steps:
  data: { uses: synthesize, with: { images: 60, imageSize: 160 } }
  model:
    uses: train
    with:
      dataset: "\${{ steps.data.dataset }}"
      imageSize: 160
      width: 0.25
      steps: ${steps}
      evaluateEvery: 100000
${checkpointEvery === undefined ? '' : `      checkpointEvery: ${checkpointEvery}\n`}`;

export function openTraining(settings: TrainingSettings): Training {
  const folder = mkdtempSync(join(tmpdir(), 'hardcase-recovery-'));
  const storeFolder = join(folder, 'store');
  mkdirSync(storeFolder);
  writeFileSync(join(folder, 'recovery.yaml'), pipelineOf(settings));
  const probe = openProbeFile(join(folder, 'probe.jsonl'), settings.steps);
  const environment: NodeJS.ProcessEnv = {
    NO_COLOR: '1',
    TEMPORAL_CONFIG_FILE: join(folder, 'none.toml'),
    HARDCASE_STORE: storeFolder,
    HARDCASE_PROBE: probe.path,
    // Which number is measured to be best may be another one on a busy machine, and decides the last bits.
    HARDCASE_THREADS: '1',
    NODE_OPTIONS: `--import=${probePath}`,
    ...(settings.address === undefined ? {} : { TEMPORAL_ADDRESS: settings.address }),
  };
  for (const [name, value] of Object.entries(process.env))
    if (!/^(HARDCASE_(STORE|QUEUE|PROBE)|TEMPORAL_|NODE_OPTIONS)/.test(name)) environment[name] ??= value;
  const commands: Command[] = [];

  const start = (...words: string[]): Command => {
    let said = '';
    const child = spawn(process.execPath, [mainPath, ...words], {
      cwd: folder,
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        said += text;
      });
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    const command = { child, ended, said: () => said };
    commands.push(command);
    return command;
  };
  return {
    probe,
    storeFolder,
    start,
    async hardcase(status, ...words) {
      const command = start(...words);
      const code = await command.ended;
      if (code !== status) throw new Error(`hardcase ${words.join(' ')} ended with ${code}:\n${command.said()}`);
    },
    run: () => start('run', 'recovery.yaml', '--run', runName),
    async digests() {
      const record = await readStepRecord(await openFolderStore(storeFolder), runName, 'model');
      const digestOf = (name: string): string => {
        const output = record?.outputs?.[name];
        if (!isArtifactRef(output)) throw new Error(`The training has no output "${name}".`);
        return output.digest;
      };
      return { model: digestOf('model'), chain: digestOf('chain') };
    },
    async close() {
      for (const { child, ended } of commands) {
        child.kill('SIGKILL');
        await ended;
      }
      const server = serverOf(folder);
      if (server !== null && isRunning(server)) await stopProcess(server);
      rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    },
  };
}

/** The embedded server, which a command that is killed leaves for a while. */
function serverOf(folder: string): number | null {
  try {
    const engine = JSON.parse(readFileSync(join(folder, '.hardcase', 'engine.json'), 'utf8')) as {
      readonly server: { readonly pid: number };
    };
    return engine.server.pid;
  } catch {
    return null;
  }
}

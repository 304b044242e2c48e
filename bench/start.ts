/**
 * Time from the command to the first activity of its run, where the embedded server is up and holds another run:
 * `npm run bench -- start [--times 5]`.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { openFolderStore } from '../artifacts/folder-store.ts';
import { readRun } from '../artifacts/run-record.ts';
import { conditions } from './proof/append-section.ts';

const { values } = parseArgs({ options: { times: { type: 'string', default: '5' } } });
const command = join(import.meta.dirname, '..', 'cli', 'main.js');
const folder = mkdtempSync(join(tmpdir(), 'hardcase-start-'));

const gate = 'name: gate\nsteps:\n  ok: { approve: { message: "Wait." } }\n';
writeFileSync(join(folder, 'gate.yaml'), gate);
writeFileSync(join(folder, 'other.yaml'), gate.replace('name: gate', 'name: other'));

const env: NodeJS.ProcessEnv = { ...process.env, HARDCASE_STORE: join(folder, 'store') };
for (const name of ['TEMPORAL_ADDRESS', 'HARDCASE_QUEUE']) delete env[name];

function start(file: string, run: string): ChildProcess {
  return spawn(process.execPath, [command, 'run', file, '--run', run], { cwd: folder, env, stdio: 'ignore' });
}

async function stop(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGINT');
  await ended;
}

/** When the run's first activity wrote that the run goes on. */
async function startedAt(run: string): Promise<number> {
  const store = await openFolderStore(join(folder, 'store'));
  for (let look = 0; look < 1_200; look++) {
    const at = (await readRun(store, run))?.state.startedAt;
    if (at !== undefined) return Date.parse(at);
    await sleep(50);
  }
  throw new Error(`The run ${run} did not begin within a minute.`);
}

const holder = start('gate.yaml', 'holder');
try {
  await startedAt('holder');
  const times: number[] = [];
  for (let i = 0; i < Number(values.times); i++) {
    const began = Date.now();
    const child = start('other.yaml', `run-${i}`);
    times.push((await startedAt(`run-${i}`)) - began);
    await stop(child);
  }
  times.sort((a, b) => a - b);
  console.log(conditions());
  console.log(
    `From "hardcase run" to its first activity: ${times.map((ms) => `${ms} ms`).join(', ')}; median ${times[Math.floor(times.length / 2)]} ms.`,
  );
} finally {
  await stop(holder);
  rmSync(folder, { recursive: true, force: true });
}

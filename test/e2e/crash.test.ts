/**
 * A run whose worker is killed during training, and whose Temporal server is killed during a review, ends with the
 * same weights and figures as a run that nothing disturbed.
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { loadJson } from '../../artifacts/codecs.ts';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { readStepRecord } from '../../artifacts/run-record.ts';
import { isArtifactRef, type Json, type StepRecord } from '../../plan/types.ts';
import { eventually } from '../rig.ts';

const command = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const pipeline = `
name: crash
seed: 3
steps:
  data:
    uses: synthesize
    with: { images: 40, imageSize: 96, targets: 3, targetSize: 0.25 }
  model0:
    uses: train
    with:
      dataset: "\${{ steps.data.dataset }}"
      imageSize: 96
      width: 0.125
      epochs: 60
      evaluateEvery: 60
      checkpointEvery: 500ms
  errors:
    uses: mine
    with: { model: "\${{ steps.model0.model }}", dataset: "\${{ steps.data.dataset }}", confidence: 0.2 }
  review:
    uses: review-labels
    with: { dataset: "\${{ steps.data.dataset }}", candidates: "\${{ steps.errors.candidates }}", limit: 4 }
  model1:
    uses: train
    with: { init: "\${{ steps.model0.model }}", dataset: "\${{ steps.review.dataset }}", epochs: 4, evaluateEvery: 4 }
  table:
    uses: evaluate
    with:
      baseline: "\${{ steps.model0.model }}"
      models: ["\${{ steps.model1.model }}"]
      dataset: "\${{ steps.review.dataset }}"
      replicates: 100
  report:
    uses: report
    with: { tables: ["\${{ steps.table.metrics }}"] }
`;

const folders: string[] = [];
const processes: ChildProcess[] = [];

afterAll(async () => {
  for (const child of processes) child.kill('SIGKILL');
  for (const folder of folders) {
    const server = await serverOf(folder).catch(() => null);
    if (server !== null) kill(server);
    await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
});

async function workplace(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'hardcase-crash-'));
  folders.push(folder);
  await writeFile(join(folder, 'crash.yaml'), pipeline);
  return folder;
}

/** Without the settings of the machine that the test runs on. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => name !== 'HARDCASE_STORE' && !name.startsWith('TEMPORAL_')),
);

interface RunningCommand {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  printed(): string;
}

/** A `hardcase run`, which goes on until the run is done or the command is killed. */
function startRun(folder: string): RunningCommand {
  let text = '';
  const args = [command, 'run', 'crash.yaml', '--run', 'one'];
  const child = spawn(process.execPath, args, { cwd: folder, env: environment });
  processes.push(child);
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes: Buffer) => {
      text += bytes;
    });
  }
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { child, ended, printed: () => text };
}

function hardcase(folder: string, ...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [command, ...args], { cwd: folder, env: environment }, (error, out, err) => {
      if (error) reject(new Error(`hardcase ${args.join(' ')}: ${out}${err}`));
      else resolve(out);
    });
  });
}

const storeOf = (folder: string) => openFolderStore(join(folder, '.hardcase', 'store'));

async function step(folder: string, path: string): Promise<StepRecord | null> {
  return readStepRecord(await storeOf(folder), 'one', path);
}

/** Until the review of the run waits; a command that ends before has failed, and says why. */
async function untilWaiting(folder: string, { child, printed }: RunningCommand): Promise<void> {
  await eventually(async () => {
    if (child.exitCode !== null) throw new Error(`The command ended early:\n${printed()}`);
    return (await step(folder, 'review'))?.state === 'waiting';
  }, 240_000);
}

/** Accepts the first two candidates and rejects the others, as a person at the command line would. */
async function decide(folder: string): Promise<void> {
  const [gate] = JSON.parse(await hardcase(folder, 'review', 'list', 'one', '--json')) as [
    { candidates: { id: string }[] },
  ];
  const answers = gate.candidates.map(({ id }, i) => `${id}=${i < 2 ? 'accept' : 'reject'}`);
  expect(answers).toHaveLength(4);
  await hardcase(folder, 'review', 'decide', 'one', 'review', ...answers);
}

async function serverOf(folder: string): Promise<number> {
  const engine = await readFile(join(folder, '.hardcase', 'engine.json'), 'utf8');
  return (JSON.parse(engine) as { server: { pid: number } }).server.pid;
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** What a run leaves that must not hang on what happened to it. */
async function figuresOf(folder: string): Promise<object> {
  const store = await storeOf(folder);
  const digest = async (path: string, output: string): Promise<string> => {
    const value: Json | undefined = (await step(folder, path))?.outputs?.[output];
    if (!isArtifactRef(value)) throw new Error(`${path} has no artifact "${output}".`);
    return value.digest;
  };
  const table = await step(folder, 'table');
  const metrics = await loadJson(store, 'metrics', table?.outputs?.metrics as never);
  return {
    model0: await digest('model0', 'model'),
    chain0: await digest('model0', 'chain'),
    model1: await digest('model1', 'model'),
    dataset: await digest('review', 'dataset'),
    metrics: await digest('table', 'metrics'),
    AP: metrics.rows.map(({ name, cells }) => [name, ...cells.map((cell) => cell.AP)]),
  };
}

test('a run killed in training and in a review ends like one that was left alone', async () => {
  const calm = await workplace();
  const undisturbed = startRun(calm);
  await untilWaiting(calm, undisturbed);
  await decide(calm);
  expect(await undisturbed.ended, undisturbed.printed()).toBe(0);

  const storm = await workplace();
  const store = await storeOf(storm);
  const first = startRun(storm);
  // Midway: some checkpoints are there, and the training has not ended.
  await eventually(async () => (await store.listRecords('checkpoints/')).length >= 2, 120_000);
  first.child.kill('SIGKILL');
  await first.ended;
  expect((await step(storm, 'model0'))?.state).toBe('running');

  const second = startRun(storm);
  await untilWaiting(storm, second);
  const model0 = await step(storm, 'model0');
  expect(model0?.attempts).toMatchObject([{ outcome: 'lost' }, { outcome: 'done', exact: true }]);
  expect(model0?.attempts?.[1]?.resumedFrom).toBeGreaterThan(0);
  kill(await serverOf(storm));
  // The command notices, says so, and ends by itself.
  expect(await second.ended, second.printed()).toBe(4);

  const third = startRun(storm);
  await eventually(async () => third.printed().includes('waiting'), 60_000);
  await decide(storm);
  expect(await third.ended, third.printed()).toBe(0);

  expect(await figuresOf(storm)).toEqual(await figuresOf(calm));

  // Nothing of what was killed is left that a collection would not find, and the run is whole before and after it.
  const verified = JSON.parse(await hardcase(storm, 'verify', 'one', '--recompute', 'model1', '--json'));
  expect(verified.checks.flatMap(({ problems }: { problems: object[] }) => problems)).toEqual([]);
  expect(verified.recomputed).toMatchObject({ outcome: 'equal', firstDifference: null });
  await hardcase(storm, 'gc', '--grace', '0s', '--delete');
  expect(JSON.parse(await hardcase(storm, 'verify', 'one', '--json'))).toMatchObject({ ok: true });
  expect(JSON.parse(await hardcase(storm, 'gc', '--grace', '0s', '--json'))).toMatchObject({ objects: 0, records: 0 });
});

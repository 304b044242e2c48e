import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { readStepRecord } from '../../artifacts/run-record.ts';
import { readEngine } from '../../deploy/embedded.ts';
import { startTemporalDevServer, stopProcess } from '../../deploy/servers.ts';
import { type RunningCommand, runCommand, startCommand } from './command.ts';

const pipeline = `
name: small
params:
  steps: { type: integer, default: 4 }
  images: { type: integer, default: 16 }
steps:
  data: { uses: synthesize, with: { images: "\${{ params.images }}", imageSize: 64, targets: 3, targetSize: 0.2 } }
  model:
    uses: train
    with: { dataset: "\${{ steps.data.dataset }}", imageSize: 64, width: 0.125, steps: "\${{ params.steps }}", batchSize: 4, checkpointEvery: 1s }
  errors: { uses: mine, with: { model: "\${{ steps.model.model }}", dataset: "\${{ steps.data.dataset }}", splits: [train, val, test] } }
  review: { uses: review-labels, with: { dataset: "\${{ steps.data.dataset }}", candidates: "\${{ steps.errors.candidates }}", limit: 3 } }
  table:
    uses: evaluate
    with: { models: ["\${{ steps.model.model }}"], dataset: "\${{ steps.review.dataset }}", splits: [test], replicates: 20 }
  report: { uses: report, with: { tables: ["\${{ steps.table.metrics }}"] } }
`;

// Servers, workers and training start in every test, on machines that may have other things to do.
vi.setConfig({ testTimeout: 300_000 });

let folder: string;
const started: RunningCommand[] = [];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-run-'));
  writeFileSync(join(folder, 'small.yaml'), pipeline);
});
afterEach(async () => {
  for (const { child, outcome } of started.splice(0)) {
    child.kill('SIGKILL');
    await outcome;
  }
});
afterAll(async () => {
  const left = readEngine(join(folder, '.hardcase'));
  if (left) await stopProcess(left.server.pid);
  rmSync(folder, { recursive: true, force: true });
});

const hardcase = (...words: string[]) => runCommand(folder, words);
const start = (...words: string[]): RunningCommand => {
  const command = startCommand(folder, words);
  started.push(command);
  return command;
};
const engine = () => readEngine(join(folder, '.hardcase'));

test('a run waits at its gate until the review is answered from another terminal, and ends with a report', async () => {
  const run = start('run', 'small.yaml', '--run', 'first');
  await run.until(/review {2}waiting\n/);

  const second = start('run', 'small.yaml', '--no-wait');
  expect((await second.outcome).code).toBe(3);
  expect((await second.outcome).stdout).toContain('Run first of the same plan is unfinished; joining it');

  const listed = JSON.parse((await hardcase('review', 'list', 'first', '--json')).stdout);
  const ids: string[] = listed[0].candidates.map(({ id }: { id: string }) => id);
  expect(ids).toHaveLength(3);
  const decided = await hardcase('review', 'decide', 'first', 'review', `${ids[0]!.slice(0, 8)}=accept`, '--by', 'ada');
  expect(decided).toMatchObject({ code: 0, stdout: '1 accepted, 0 repeated, 0 refused (first review, by ada).\n' });
  const again = await hardcase(
    'review',
    'decide',
    'first',
    'review',
    `${ids[0]}=ignore`,
    `${ids[1]}=reject`,
    '--by',
    'bob',
  );
  expect(again).toMatchObject({ code: 1, stderr: `${ids[0]} is decided already: accept by ada, not ignore\n` });
  expect(again.stdout).toContain('1 accepted, 0 repeated, 1 refused');
  const rest = await hardcase('review', 'decide', 'first', 'review', '--all', 'reject', '--json');
  expect(JSON.parse(rest.stdout)).toMatchObject({ accepted: 1, repeated: 0, conflicts: [] });

  const { code, stdout } = await run.outcome;
  expect(code).toBe(0);
  expect(stdout).toMatch(/\d\d:\d\d:\d\d {2}model {2}done in /);
  const report = /^Report: (.*)$/m.exec(stdout)![1]!;
  expect(readFileSync(report, 'utf8')).toContain('<html');
  expect(existsSync(report.replace('.html', '.md'))).toBe(true);
  expect(engine()).toBe(null);

  const status = JSON.parse((await hardcase('status', 'latest', '--json')).stdout);
  expect(status).toMatchObject({ run: 'first', pipeline: 'small', state: 'done' });
  expect(status.steps.map(({ path, state }: { path: string; state: string }) => `${path} ${state}`)).toEqual(
    ['data', 'model', 'errors', 'review', 'table', 'report'].map((path) => `${path} done`),
  );
});

test('the same id and plan again only shows the report; another plan under that id is an error with the difference', async () => {
  const began = Date.now();
  const same = await hardcase('run', 'small.yaml', '--run', 'first');
  expect(same).toMatchObject({ code: 0, stdout: expect.stringContaining('Run first is done already.') });
  expect(same.stdout).toMatch(/^Report: /m);
  expect(Date.now() - began).toBeLessThan(60_000);

  const other = await hardcase('run', 'small.yaml', '--run', 'first', '-p', 'steps=5');
  expect(other.code).toBe(1);
  expect(other.stderr).toContain('The run id "first" belongs to another plan (of small.yaml).');
  // What -p gives stands on no line of the file.
  expect(other.stderr).toContain('  params.steps: 4 -> 5\n  steps.model.with.steps: 4 -> 5 (line 10)\n');
  expect(engine()).toBe(null);
});

test('a new run of the same plan reuses every result, decisions included', async () => {
  const { code, stdout } = await hardcase('run', 'small.yaml', '--new', '--json');
  expect(code).toBe(0);
  const { run, state, steps } = JSON.parse(stdout);
  expect(run).toMatch(/^small-\d{8}-[a-z2-9]{4}$/);
  expect(state).toBe('done');
  const reused = steps.filter((step: { reused: boolean }) => step.reused).map(({ path }: { path: string }) => path);
  expect(reused).toEqual(['data', 'model', 'errors', 'review', 'table']);
});

test('a run goes on to its end where the reader of its output goes away', async () => {
  const run = start('run', 'small.yaml', '--new', '--run', 'unread');
  run.child.stdout!.destroy();
  const { code, stderr } = await run.outcome;
  expect(code).toBe(0);
  expect(stderr).toContain(
    'Nobody reads what this command prints any longer. It goes on with the run; Ctrl-C ends it.',
  );
  expect(JSON.parse((await hardcase('status', 'unread', '--json')).stdout).state).toBe('done');
});

test('Ctrl-C saves and leaves the run open; it goes on, also when the command that runs it is killed', async () => {
  const words = ['run', 'small.yaml', '-p', 'steps=500', '--run', 'long', '--no-wait'];
  const first = start(...words);
  await first.until(/model {2}train started/);
  await sleep(1_500);
  const interruptedAt = Date.now();
  first.child.kill('SIGINT');
  const { code, stdout } = await first.outcome;
  expect(code).toBe(130);
  expect(Date.now() - interruptedAt).toBeLessThan(30_000);
  expect(stdout).toMatch(/Run long stays open. It goes on with: .*run small.yaml --run long\n$/);
  expect(engine()).toBe(null);
  expect(JSON.parse((await hardcase('status', 'long', '--json')).stdout).state).toBe('running');
  expect((await hardcase('status', 'long')).stdout).toMatch(
    /Nothing runs here at the moment; long goes on with: .*--run long/,
  );

  // As it was printed: params need not be given again.
  const owner = start('run', 'small.yaml', '--run', 'long', '--no-wait');
  await owner.until(/Run long, continued/);
  await owner.until(/model {2}train started/);
  const server = engine()!.server;
  const helper = start(...words);
  await helper.until(/model {2}train started/);
  owner.child.kill('SIGKILL');
  await helper.until(/The command that ran the steps has ended; this one takes over./);
  expect(engine()!.server).toEqual(server);
  expect((await helper.outcome).code).toBe(3);
  expect(engine()).toBe(null);
  const store = await openFolderStore(join(folder, '.hardcase', 'store'));
  const record = (await readStepRecord(store, 'long', 'model'))!;
  expect(record.outputs?.steps).toBe(500);
  expect(record.attempts!.length).toBeGreaterThan(1);
});

test('a step that gave up is tried again after retry, and the run goes on', async () => {
  writeFileSync(
    join(folder, 'held.yaml'),
    `
name: held
steps:
  data: { uses: synthesize, with: { images: 8, imageSize: 64 } }
  labels: { uses: export, with: { dataset: "\${{ steps.data.dataset }}", to: out } }
`,
  );
  // A file where the folder should be.
  writeFileSync(join(folder, 'out'), '');
  const held = await hardcase('run', 'held.yaml', '--run', 'held-1');
  expect(held.code).toBe(4);
  expect(held.stdout).toMatch(
    /Run held-1 is held: labels gave up, and nothing else can go on\.\nMend the cause, then: .*retry held-1/,
  );
  expect((await hardcase('status', 'held-1')).stdout).toMatch(
    /labels gave up: .*\n {2}Mend the cause, then: .*retry held-1 labels/,
  );
  expect(await hardcase('retry', 'held-1', 'label')).toMatchObject({
    code: 2,
    stderr: 'Error: Step "label" of held-1 is not held. Did you mean "labels"? Held: labels.\n',
  });

  rmSync(join(folder, 'out'));
  const retried = await hardcase('retry', 'held-1', 'labels');
  expect(retried).toMatchObject({ code: 0, stdout: expect.stringContaining('Trying again: labels (held-1).') });
  expect((await hardcase('run', 'held.yaml', '--run', 'held-1')).code).toBe(0);
  expect(existsSync(join(folder, 'out', 'annotations'))).toBe(true);
});

test('a dataset with a fault holds the run as a fault of the data, and says how to go on with a mended one', async () => {
  writeFileSync(
    join(folder, 'import.yaml'),
    'name: import\nparams: { data: { type: path } }\nsteps:\n  data: { uses: import-dataset, with: { source: "${{ params.data }}" } }\n',
  );
  mkdirSync(join(folder, 'berries', 'annotations'), { recursive: true });
  const instances = {
    images: [{ id: 1, file_name: 'gone.jpg' }],
    annotations: [],
    categories: [{ id: 1, name: 'berry' }],
  };
  writeFileSync(join(folder, 'berries', 'annotations', 'instances.json'), JSON.stringify(instances));
  const { code, stdout } = await hardcase('run', 'import.yaml', '-p', 'data=berries', '--run', 'faulty');
  expect(code).toBe(1);
  expect(stdout).toContain('images[0].file_name: Image "gone.jpg" is not in the folder.');
  expect(stdout).toMatch(
    /start a new run, which reuses what is finished: .*run import.yaml -p data=berries\n.*cancel faulty\n$/,
  );
  expect((await hardcase('status', 'faulty')).stdout).toMatch(/start a new run, .*run import.yaml -p data=FOLDER\n/);
});

test('with an address the command is only a client of a server and its workers', async () => {
  const server = await startTemporalDevServer({ logFile: join(folder, 'server.log') });
  try {
    const place = ['--address', server.address, '--store', 'shared', '--queue', 'elsewhere'];
    rmSync(join(folder, 'out'), { recursive: true, force: true });
    const client = start('run', 'held.yaml', '--run', 'remote', ...place);
    await client.until(/No worker has taken up the run so far\. One for the queues elsewhere-\*/);
    const worker = start('worker', ...place);
    const { code, stdout } = await client.outcome;
    expect(code).toBe(0);
    expect(stdout).toMatch(/labels {2}done in/);
    worker.child.kill('SIGTERM');
    expect((await worker.outcome).code).toBe(130);
    expect(engine()).toBe(null);
  } finally {
    await server.stop();
  }
});

test('what is waiting can be cancelled while no engine runs', async () => {
  const { code, stdout } = await hardcase('cancel', 'long');
  expect(code).toBe(0);
  expect(stdout).toContain('Run long is cancelled.');
  expect(JSON.parse((await hardcase('status', 'long', '--json')).stdout).state).toBe('cancelled');
  expect(engine()).toBe(null);
});

test('a pipeline with a mistake starts nothing', async () => {
  writeFileSync(join(folder, 'wrong.yaml'), pipeline.replace('steps.data.dataset', 'steps.dat.dataset'));
  const before = (await hardcase('runs', '--json')).stdout;
  const { code, stderr } = await hardcase('run', 'wrong.yaml');
  expect(code).toBe(1);
  expect(stderr).toMatch(/^wrong.yaml:10:.* UNKNOWN_STEP /m);
  expect((await hardcase('runs', '--json')).stdout).toBe(before);
  expect(await hardcase('run', 'nowhere.yaml')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('nowhere.yaml cannot be read: there is no such file.'),
  });
});

async function sleep(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

/** What the embedded engine loses, and what a run keeps all the same: commands that are killed, and a database that is removed. */

import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { readEngine, workerOwner } from '../../deploy/embedded.ts';
import { stopProcess } from '../../deploy/servers.ts';
import { type RunningCommand, runCommand, startCommand } from './command.ts';

vi.setConfig({ testTimeout: 300_000 });

const form = 'form: { properties: { ok: { type: boolean } }, required: [ok] }';
const questions = `
name: questions
steps:
  data: { uses: synthesize, with: { images: 8, imageSize: 64 } }
  first: { needs: [data], approve: { ${form} } }
  second: { needs: [first], approve: { ${form} } }
  third: { needs: [second], approve: { ${form} } }
  last: { needs: [third], approve: { ${form} } }
`;
const pair = `
name: pair
steps:
  first: { approve: { ${form} } }
  second: { needs: [first], approve: { ${form} } }
`;
const wait = `
name: wait
steps:
  ask: { approve: { ${form} } }
`;
const elsewhere = `
name: elsewhere
steps:
  data: { uses: synthesize, queue: gpu, with: { images: 9, imageSize: 64 } }
  ask: { needs: [data], approve: { ${form} } }
`;

let folder: string;
let state: string;
const started: RunningCommand[] = [];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-lost-'));
  state = join(folder, '.hardcase');
  for (const [name, text] of Object.entries({ questions, wait, elsewhere }))
    writeFileSync(join(folder, `${name}.yaml`), text);
});
afterEach(async () => {
  for (const { child, outcome } of started.splice(0)) {
    child.kill('SIGKILL');
    await outcome;
  }
});
afterAll(async () => {
  const left = readEngine(state);
  if (left) await stopProcess(left.server.pid);
  rmSync(folder, { recursive: true, force: true });
});

const start = (...words: string[]): RunningCommand => {
  const command = startCommand(folder, words);
  started.push(command);
  return command;
};
const hardcase = async (...words: string[]): Promise<string> => {
  const { code, stdout, stderr } = await runCommand(folder, words);
  expect([code, stderr]).toEqual([0, '']);
  return stdout;
};
const answer = (run: string, gate: string, by: string) =>
  hardcase('review', 'decide', run, gate, 'ok=true', '--by', by);
const kill = async ({ child, outcome }: RunningCommand) => {
  child.kill('SIGKILL');
  await outcome;
};

test('a run whose command is killed goes on in the command that has the worker, also on a queue that came later', async () => {
  const owner = start('run', 'wait.yaml', '--run', 'owner');
  await owner.until(/ask {2}waiting/);
  const guest = start('run', 'elsewhere.yaml', '--run', 'guest');
  await guest.until(/data {2}done/);
  expect(workerOwner(state)?.pid).toBe(owner.child.pid);
  await guest.until(/ask {2}waiting/);
  await kill(guest);
  // Nobody follows it, and it goes on.
  await answer('guest', 'ask', 'ann');
  const again = start('run', 'elsewhere.yaml', '--run', 'guest');
  expect((await again.outcome).code).toBe(0);
  expect(workerOwner(state)?.pid).toBe(owner.child.pid);
  await answer('owner', 'ask', 'ann');
  expect((await owner.outcome).code).toBe(0);
  // The last to leave has stopped the server, although one command was killed.
  expect(readEngine(state)).toBe(null);
});

test('two commands that are given at once for the same file have one run', async () => {
  const both = [start('run', 'wait.yaml'), start('run', 'wait.yaml')];
  const said = await Promise.all(both.map((command) => command.until(/ask {2}waiting/)));
  const runs = said.map((text) => /^Run (wait-\S+)/m.exec(text)?.[1]);
  expect(runs[0]).toBe(runs[1]);
  await answer(runs[0]!, 'ask', 'ann');
  for (const { outcome } of both) expect((await outcome).code).toBe(0);
});

test('a run goes on from its record where the database of the engine was removed: answers, also early ones, and orders hold', async () => {
  const first = start('run', 'questions.yaml', '--run', 'lost');
  await first.until(/first {2}waiting/);
  expect(await answer('lost', 'third', 'ann')).toContain('The gate third is not open yet: the answer waits there.');
  await hardcase('skip', 'lost', 'last', '--reason', 'not now', '--by', 'bob');
  await answer('lost', 'first', 'cleo');
  await first.until(/second {2}waiting/);

  await kill(first);
  const { server } = readEngine(state)!;
  // A command that is killed leaves its server to the next one, which is told by its pid.
  await stopProcess(server.pid);
  for (const name of readdirSync(state)) if (name.startsWith('temporal.db')) rmSync(join(state, name));

  const status = await hardcase('status', 'lost');
  expect(status).toMatch(/first +approve +done[\s\S]*second +approve +waiting[\s\S]*bob had last skipped: not now/);
  expect(status).toContain('Nothing runs here at the moment');

  const second = start('run', 'questions.yaml', '--run', 'lost');
  await second.until(/second {2}waiting/);
  // What was answered stays so.
  const contradicting = await runCommand(folder, ['review', 'decide', 'lost', 'first', 'ok=false', '--by', 'eve']);
  expect(contradicting).toMatchObject({ code: 1, stderr: expect.stringContaining('first was answered by cleo') });
  await answer('lost', 'second', 'cleo');
  expect((await second.outcome).code).toBe(0);
  const { steps, notices } = JSON.parse(await hardcase('status', 'lost', '--json'));
  expect(
    steps
      .map(({ path, state, outputs }: { path: string; state: string; outputs?: { by?: string } }) => [
        path,
        state,
        outputs?.by,
      ])
      .sort(),
  ).toEqual([
    ['data', 'done', undefined],
    ['first', 'done', 'cleo'],
    ['last', 'skipped', undefined],
    ['second', 'done', 'cleo'],
    ['third', 'done', 'ann'],
  ]);
  expect(notices).toContainEqual(expect.stringContaining('knew nothing of this run any more'));
});

test('a store of two folders has one engine for each run: another is refused while that one lives, and then goes on where it was', async () => {
  const shared = { HARDCASE_STORE: join(folder, 'shared') };
  const [one, two] = ['one', 'two'].map((name) => join(folder, name)) as [string, string];
  for (const place of [one, two]) {
    mkdirSync(place);
    writeFileSync(join(place, 'pair.yaml'), pair);
  }
  const run = ['run', 'pair.yaml', '--run', 'pair'];
  const inOne = startCommand(one, run, shared);
  started.push(inOne);
  await inOne.until(/first {2}waiting/);
  for (const words of [run, ['review', 'decide', 'pair', 'first', 'ok=false', '--by', 'eve'], ['cancel', 'pair']]) {
    const { code, stderr } = await runCommand(two, words, shared);
    expect([words, code, stderr]).toEqual([
      words,
      4,
      expect.stringContaining(`Run pair is run by the embedded engine of ${join(one, '.hardcase')} (process `),
    ]);
  }
  inOne.child.kill('SIGINT');
  expect((await inOne.outcome).code).toBe(130);

  const inTwo = startCommand(two, run, shared);
  started.push(inTwo);
  await inTwo.until(/first {2}waiting/);
  expect((await runCommand(two, ['review', 'decide', 'pair', 'first', 'ok=true', '--by', 'ann'], shared)).code).toBe(0);
  await inTwo.until(/second {2}waiting/);
  // As something that wants memory does.
  process.kill(readEngine(join(two, '.hardcase'))!.server.pid, 'SIGKILL');
  expect(await inTwo.outcome).toMatchObject({
    code: 4,
    stderr: expect.stringMatching(
      /^Error: The embedded engine has ended, and not by this command: .*\nRun pair stays open\. It goes on with: .* run pair\.yaml --run pair\n$/,
    ),
  });

  // The first folder's engine still has the run as it was there: before the answer.
  const back = startCommand(one, run, shared);
  started.push(back);
  await back.until(/second {2}waiting/);
  expect((await runCommand(one, ['review', 'decide', 'pair', 'second', 'ok=true', '--by', 'bob'], shared)).code).toBe(
    0,
  );
  expect((await back.outcome).code).toBe(0);
  // And the second's as it was there, when the run has ended long since.
  const other = await runCommand(two, ['run', 'pair.yaml', '--run', 'another', '--no-wait'], shared);
  expect([other.code, other.stdout]).toEqual([3, expect.not.stringContaining('pair ')]);
  const {
    state: ended,
    steps,
    notices,
  } = JSON.parse((await runCommand(one, ['status', 'pair', '--json'], shared)).stdout);
  expect([ended, ...steps.map((step: { outputs?: { by?: string } }) => step.outputs?.by)]).toEqual([
    'done',
    'ann',
    'bob',
  ]);
  expect(notices).toContain(
    `The run was last run by the engine of ${join(two, '.hardcase')}, so what another engine still knew of it was ended, and it went on from its record.`,
  );
});

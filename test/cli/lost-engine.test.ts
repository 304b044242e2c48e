/** What the embedded engine loses, and what a run keeps all the same: commands that are killed, and a database that is removed. */

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
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

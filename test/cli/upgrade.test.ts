/** `run --upgrade` as a user meets it: an edit of the file while its run waits, refused or followed. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { readEngine } from '../../deploy/embedded.ts';
import { stopProcess } from '../../deploy/servers.ts';
import { type RunningCommand, runCommand, startCommand } from './command.ts';

vi.setConfig({ testTimeout: 300_000 });

const pipeline = (data: number, more: number, extra = '') => `name: small
params:
  count: { type: integer, default: ${more} }
steps:
  data: { uses: synthesize, with: { images: ${data}, imageSize: 64 } }
  ok:
    needs: [data]
    approve: { message: "Go on?", form: { properties: { go: { type: boolean } }, required: [go] } }
  more: { uses: synthesize, needs: [ok], with: { images: "\${{ params.count }}", imageSize: 64 } }
${extra}`;

const keeper = `name: keeper
steps:
  ask: { approve: { form: { properties: { ok: { type: boolean } }, required: [ok] } } }
`;

let folder: string;
let other: RunningCommand;
// Another run waits beside, so that server and worker are there for every command, not begun anew by each.
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-upgrade-'));
  writeFileSync(join(folder, 'keeper.yaml'), keeper);
  other = startCommand(folder, ['run', 'keeper.yaml']);
  await other.until(/ask {2}waiting/);
});
afterAll(async () => {
  other?.child.kill('SIGINT');
  await other?.outcome;
  const left = readEngine(join(folder, '.hardcase'));
  if (left) await stopProcess(left.server.pid);
  rmSync(folder, { recursive: true, force: true });
});
const hardcase = (...words: string[]) => runCommand(folder, words);
const write = (text: string) => writeFileSync(join(folder, 'small.yaml'), text);

test('a run that waits follows its edited file, where the edit lies ahead, and says so ever after', async () => {
  write(pipeline(12, 12));
  expect(await hardcase('run', 'small.yaml', '--run', 'first', '--no-wait')).toMatchObject({ code: 3 });

  write(pipeline(14, 16));
  const edited = await hardcase('run', 'small.yaml', '--run', 'first', '--no-wait');
  expect(edited.code).toBe(1);
  expect(edited.stderr).toMatch(
    /steps\.data\.with\.images: 12 -> 14 \(line 5\)\n[\s\S]*let the run follow it[\s\S]*--upgrade/,
  );
  const refused = await hardcase('run', 'small.yaml', '--upgrade', '--no-wait');
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain('small.yaml:5  data has ended, and its with.images changed');
  expect(refused.stderr).not.toContain('more has');

  write(pipeline(12, 16, '  last: { uses: synthesize, needs: [more], with: { images: 12, imageSize: 32 } }\n'));
  const followed = await hardcase('run', 'small.yaml', '--upgrade', '--no-wait', '--by', 'ada', '--reason', 'too few');
  expect(followed).toMatchObject({ code: 3, stdout: expect.stringContaining('Run first follows the changed file.') });
  const words = /ada let the run follow the changed file: params\.count: 12 -> 16; [\s\S]*: too few/;
  const status = await hardcase('status', 'first');
  expect(status.stdout).toMatch(words);
  expect(status.stdout).toMatch(/last {2}synthesize {2}pending/);
  const again = await hardcase('run', 'small.yaml', '--upgrade', '--no-wait');
  expect(again).toMatchObject({ code: 3, stderr: expect.stringContaining('there is nothing to upgrade') });

  expect(await hardcase('review', 'decide', 'first', 'ok', 'go=true')).toMatchObject({ code: 0 });
  expect(await hardcase('run', 'small.yaml', '--run', 'first')).toMatchObject({ code: 0 });
  expect((await hardcase('status', 'first')).stdout).toMatch(/last {2}synthesize {2}done/);
  expect((await hardcase('why', 'first', 'more')).stdout).toMatch(words);
  expect(await hardcase('verify', 'first')).toMatchObject({ code: 0, stdout: expect.stringMatching(/ok {2}plan +7 /) });
  const late = await hardcase('run', 'small.yaml', '--run', 'first', '--upgrade', '-p', 'count=20');
  expect(late).toMatchObject({ code: 1, stderr: expect.stringContaining('is done, and has no future to change') });
});

test('a fork follows its edited file too, with its own params, and what it runs anew stays anew', async () => {
  const last = (size: number) =>
    `  last: { uses: synthesize, needs: [more], with: { images: 12, imageSize: ${size} } }\n`;
  const fork = ['--from', 'ok', '-p', 'count=14', '--run', 'second', '--no-wait'];
  expect(await hardcase('fork', 'first', ...fork)).toMatchObject({ code: 3 });
  write(pipeline(12, 16, last(64)));
  const followed = await hardcase('run', 'small.yaml', '--upgrade', '--no-wait', '-p', 'count=15');
  expect(followed.stdout).toContain('Run second follows the changed file.');
  expect(followed.stdout).toContain('  steps.last.with.imageSize: 32 -> 64 (line 10)');
  expect(followed.stdout).toContain('  steps.more.with.images: 14 -> 15 (line 9)');
  await hardcase('review', 'decide', 'second', 'ok', 'go=true');
  expect(await hardcase('run', 'small.yaml', '--run', 'second')).toMatchObject({ code: 0 });

  const status = await hardcase('status', 'second', '--json');
  expect(JSON.parse(status.stdout)).toMatchObject({ fork: { run: 'first' }, operations: [{}], state: 'done' });
  const why = await hardcase('why', 'second', 'more');
  expect(why.stdout).toContain('because second was forked from first to run anew from ok on');
  expect(why.stdout).toContain('images 16 -> 15');
  const verified = expect.stringMatching(/ok {2}plan +\d+ /);
  expect(await hardcase('verify', 'second')).toMatchObject({ code: 0, stdout: verified });
});

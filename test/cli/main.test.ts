import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../../deploy/servers.ts';
import { runCommand } from './command.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-main-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const hardcase = (...words: string[]) => runCommand(folder, words);

test('help and version are no errors, and every command has an example', async () => {
  const { code, stdout } = await hardcase('--help');
  expect(code).toBe(0);
  const commands = [...stdout.matchAll(/^ {2}([a-z]+)(?: \[| {2})/gm)]
    .map(([, name]) => name!)
    .filter((name) => name !== 'help');
  expect(commands).toEqual(
    expect.arrayContaining(
      'check plan run runs status watch retry cancel report review worker doctor schema evaluate merge dataset'.split(
        ' ',
      ),
    ),
  );
  expect((await hardcase('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  for (const words of [['run'], ['review', 'decide'], ['evaluate'], ['dataset', 'convert']]) {
    expect((await hardcase(...words, '--help')).stdout).toContain('Example:\n  hardcase ');
  }
});

test('a command that does not exist is wrong usage, with the one that may be meant', async () => {
  expect(await hardcase('stauts')).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/unknown command 'stauts'\n\(Did you mean status\?\)/),
  });
});

test('wrong usage of any kind is status 2', async () => {
  expect(await hardcase('status')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("missing required argument 'run'"),
  });
  expect(await hardcase('runs', '--jsn')).toMatchObject({ code: 2, stderr: expect.stringContaining('--json') });
  expect(await hardcase('review', 'list', '--limit', 'many')).toMatchObject({ code: 2 });
  expect(await hardcase()).toMatchObject({ code: 2 });
  expect(await hardcase('worker')).toMatchObject({ code: 2, stderr: expect.stringContaining('TEMPORAL_ADDRESS') });
});

test('an address where no Temporal server listens is one clear error within seconds', async () => {
  const port = await freePort();
  const began = Date.now();
  const { code, stderr } = await hardcase('worker', '--address', `127.0.0.1:${port}`);
  expect(code).toBe(4);
  expect(stderr).toMatch(
    new RegExp(`^Error: No Temporal server answers at 127\\.0\\.0\\.1:${port}\\. .*embedded engine\\.\n$`),
  );
  expect(Date.now() - began).toBeLessThan(30_000);
});

test('a run for a server that does not answer, or with an id that cannot be one, leaves nothing behind', async () => {
  writeFileSync(join(folder, 'small.yaml'), 'name: small\nsteps:\n  data: { uses: synthesize, with: { images: 3 } }\n');
  const wrongId = await hardcase('run', 'small.yaml', '--run', 'a/b', '--store', 'fresh');
  expect(wrongId).toMatchObject({ code: 2, stderr: expect.stringContaining('--run: "a/b" cannot be a run id.') });
  expect(existsSync(join(folder, 'fresh'))).toBe(false);
  const address = `127.0.0.1:${await freePort()}`;
  const { code, stdout } = await hardcase('run', 'small.yaml', '--store', 'fresh', '--address', address);
  expect({ code, stdout }).toEqual({ code: 4, stdout: '' });
  expect((await hardcase('runs', '--store', 'fresh', '--json')).stdout).toBe('[]\n');
});

test('commands that only read make no store', async () => {
  for (const words of [['runs'], ['status', 'latest'], ['cancel', 'latest']]) {
    const { stdout, stderr } = await hardcase(...words, '--store', 'mistyped');
    expect(stdout + stderr).toMatch(/There are no runs in .*mistyped/);
  }
  expect(existsSync(join(folder, 'mistyped'))).toBe(false);
});

test('a port on which something else listens is that error too', async () => {
  const other = createServer((socket) => socket.on('error', () => {}).end('220 smtp\r\n')).listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  try {
    const { code, stderr } = await runCommand(folder, ['worker'], { TEMPORAL_ADDRESS: `127.0.0.1:${port}` });
    expect(code).toBe(4);
    expect(stderr).toContain(`No Temporal server answers at 127.0.0.1:${port}.`);
  } finally {
    other.close();
  }
});

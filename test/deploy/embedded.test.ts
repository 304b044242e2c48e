import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Connection } from '@temporalio/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { attachEngine, endAbandonedEngine, readEngine, workerOwner } from '../../deploy/embedded.ts';
import { identify, tryLock } from '../../deploy/lock.ts';
import { isRunning, stopProcess } from '../../deploy/servers.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-embedded-'));
});
afterEach(async () => {
  const left = readEngine(folder);
  if (left) await stopProcess(left.server.pid);
  rmSync(folder, { recursive: true, force: true });
});

/** Another command that attaches, says so, and then does nothing until it is killed. */
async function otherCommand(claim: boolean, lingerS = 60): Promise<{ pid: number; kill(): Promise<void> }> {
  const { child, ended } = spawnCommand(claim, lingerS);
  await Promise.race([
    new Promise((resolve) => child.stdout.once('data', resolve)),
    ended.then(() => Promise.reject(new Error('the other command ended before it was attached'))),
  ]);
  return {
    pid: child.pid!,
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

function spawnCommand(claim: boolean, lingerS = 60) {
  const module = pathToFileURL(join(import.meta.dirname, '../../dist/deploy/embedded.js')).href;
  const script = `
    const { attachEngine } = await import(${JSON.stringify(module)});
    const engine = await attachEngine(${JSON.stringify(folder)}, ${lingerS});
    ${claim ? 'engine.claimWorker();' : ''}
    console.log(engine.how);
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return { child, ended };
}

test('the first command starts the server, and the last to leave stops it', async () => {
  const engine = await attachEngine(folder);
  expect(engine.how).toBe('started');
  const { server } = readEngine(folder)!;
  const connection = await Connection.connect({ address: engine.address });
  await connection.close();
  await engine.leave();
  expect(isRunning(server.pid)).toBe(false);
  expect(readEngine(folder)).toBe(null);
  expect(existsSync(join(folder, 'engine.json'))).toBe(false);
});

test('a second command joins, and its leaving leaves the server to the first', async () => {
  const other = await otherCommand(true);
  try {
    const engine = await attachEngine(folder);
    expect(engine.how).toBe('joined');
    expect(engine.claimWorker()).toBe(null);
    expect(workerOwner(folder)?.pid).toBe(other.pid);
    const { server } = readEngine(folder)!;
    await engine.leave();
    expect(isRunning(server.pid)).toBe(true);
  } finally {
    await other.kill();
  }
});

test('a copy of the folder has a server of its own, beside that of a command that goes on, and a renamed one has not', async () => {
  const other = await otherCommand(true);
  const copy = `${folder}-copy`;
  const renamed = `${folder}-renamed`;
  try {
    const { server } = readEngine(folder)!;
    cpSync(folder, copy, { recursive: true });
    expect(readEngine(copy)).toBe(null);
    expect(workerOwner(copy)).toBe(null);
    const engine = await attachEngine(copy);
    expect(engine.how).toBe('started');
    const mine = readEngine(copy)!.server;
    expect(mine.pid).not.toBe(server.pid);
    engine.claimWorker()!();
    await engine.leave();
    expect([isRunning(mine.pid), isRunning(server.pid)]).toEqual([false, true]);
    renameSync(folder, renamed);
    expect(readEngine(renamed)?.server).toEqual(server);
    renameSync(renamed, folder);
  } finally {
    await other.kill();
    rmSync(copy, { recursive: true, force: true });
  }
});

test('a command whose folder was removed stops its server, and does not make the folder anew', async () => {
  const engine = await attachEngine(folder);
  const { server } = readEngine(folder)!;
  rmSync(folder, { recursive: true });
  await engine.leave();
  expect(isRunning(server.pid)).toBe(false);
  expect(existsSync(folder)).toBe(false);
});

test('a server whose command was killed is adopted, its worker taken over, and stopped in the end', async () => {
  const other = await otherCommand(true);
  const { server } = readEngine(folder)!;
  await other.kill();
  expect(isRunning(server.pid)).toBe(true);
  const engine = await attachEngine(folder);
  expect(engine.how).toBe('adopted');
  expect(readEngine(folder)!.server).toEqual(server);
  const release = engine.claimWorker();
  expect(workerOwner(folder)?.pid).toBe(process.pid);
  release?.();
  await engine.leave();
  expect(isRunning(server.pid)).toBe(false);
});

test('a server whose command was killed ends by itself after a while', async () => {
  const other = await otherCommand(true, 1);
  const { server } = readEngine(folder)!;
  await other.kill();
  await expect.poll(() => isRunning(server.pid), { timeout: 60_000, interval: 100 }).toBe(false);
  await expect.poll(() => existsSync(join(folder, 'engine.json')), { timeout: 60_000, interval: 100 }).toBe(false);
});

test('a command that comes in the very moment in which a server is ended has one that stays', async () => {
  const first = await otherCommand(false);
  const { server } = readEngine(folder)!;
  await first.kill();
  const ended = Promise.all([endAbandonedEngine(folder), endAbandonedEngine(folder)]);
  const engine = await attachEngine(folder);
  await ended;
  const mine = readEngine(folder)!.server;
  expect(isRunning(mine.pid)).toBe(true);
  // Ended before, or adopted: never in between.
  expect(isRunning(server.pid)).toBe(engine.how === 'adopted');
  const connection = await Connection.connect({ address: engine.address });
  await connection.close();
  await engine.leave();
  expect(isRunning(mine.pid)).toBe(false);
});

test('a dead server is replaced, and a living process that got its pid is left alone', async () => {
  const bystander = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  try {
    const server = { pid: bystander.pid!, started: 'another boot:1' };
    writeFileSync(join(folder, 'engine.json'), JSON.stringify({ server, port: 1, startedAt: '' }));
    const engine = await attachEngine(folder);
    expect(engine.how).toBe('started');
    await engine.leave();
    expect(isRunning(bystander.pid!)).toBe(true);
  } finally {
    bystander.kill('SIGKILL');
  }
});

test('a database that its first server never finished is made anew', async () => {
  // As a first start leaves it that a full disk or a power cut has ended.
  writeFileSync(join(folder, 'temporal.db'), 'half-written');
  writeFileSync(join(folder, 'temporal.db.new'), '');
  const engine = await attachEngine(folder);
  expect(engine.setAside).toBe(null);
  expect(existsSync(join(folder, 'temporal.db.new'))).toBe(false);
  await engine.leave();
  const again = await attachEngine(folder);
  expect(again.how).toBe('started');
  await again.leave();
});

test.each([
  ['overwritten', 'half-written'],
  ['emptied', ''],
])('a database that was %s is set aside, and the server starts on a new one', async (_, content) => {
  writeFileSync(join(folder, 'temporal.db'), content);
  const engine = await attachEngine(folder);
  try {
    expect(engine.setAside).toMatch(/temporal\.db\.damaged-[0-9TZ-]+$/);
    expect(readFileSync(engine.setAside!, 'utf8').startsWith(content)).toBe(true);
    const connection = await Connection.connect({ address: engine.address });
    await connection.close();
  } finally {
    await engine.leave();
  }
  const again = await attachEngine(folder);
  expect(again.setAside).toBe(null);
  await again.leave();
});

test('a command that is killed while its server starts leaves no server that nobody knows', async () => {
  const { child, ended } = spawnCommand(false);
  await expect.poll(() => readEngine(folder), { timeout: 60_000, interval: 5 }).not.toBe(null);
  child.kill('SIGKILL');
  await ended;
  const { server } = readEngine(folder)!;
  // Adopted where it listens already, else ended, so that a new one can have the database.
  const engine = await attachEngine(folder);
  expect(readEngine(folder)!.server.pid === server.pid || !isRunning(server.pid)).toBe(true);
  await engine.leave();
  expect(isRunning(server.pid)).toBe(false);
});

test('a lock has one owner, and that of a dead process is taken over', () => {
  const path = join(folder, 'some.lock');
  const release = tryLock(path)!;
  expect(tryLock(path)).toBe(null);
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ ...identify(process.pid) });
  release();
  expect(existsSync(path)).toBe(false);
  writeFileSync(path, JSON.stringify({ pid: 2 ** 22 + 1, started: 'never' }));
  const second = tryLock(path);
  expect(second).not.toBe(null);
  second?.();
  writeFileSync(path, 'not an owner');
  expect(tryLock(path)).not.toBe(null);
});

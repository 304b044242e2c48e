import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { createRun, writeRunState, writeStepRecord } from '../../artifacts/run-record.ts';
import { outliveReader, readerGone, writeFailure } from '../../cli/reader.ts';
import { type Outcome, startCommand } from './command.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-reader-'));
  writeFileSync(join(folder, 'wrong.yaml'), 'name: wrong\nsteps: {}\n');
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** The command, whose readers are gone before it says anything. */
async function unread(streams: readonly ('stdout' | 'stderr')[], ...words: string[]): Promise<Outcome> {
  const { child, outcome } = startCommand(folder, words);
  for (const stream of streams) child[stream]!.destroy();
  return await outcome;
}

test('a reader that goes away changes no exit code and is told of nowhere', async () => {
  expect(await unread(['stdout'], 'schema')).toMatchObject({ code: 0, stderr: '' });
  expect(await unread(['stdout'], 'check', 'wrong.yaml')).toMatchObject({ code: 1, stderr: '' });
  expect(await unread(['stdout', 'stderr'], 'no-such-command')).toMatchObject({ code: 2 });
});

test('watch, which only tells, ends with its reader', async () => {
  const store = await openFolderStore(join(folder, '.hardcase/store'));
  const planDigest = await store.putObject(Buffer.from('{"root":{"steps":[]}}'));
  const createdAt = new Date().toISOString();
  await createRun(store, { run: 'r1', pipeline: 'p', planDigest, source: '', file: 'p.yaml', params: {}, createdAt });
  await writeRunState(store, 'r1', { state: 'running' });
  await writeStepRecord(store, 'r1', { path: 'a', kind: 'train', state: 'running', reused: false });
  expect(await unread(['stdout'], 'watch', 'r1')).toMatchObject({ code: 0 });
  await writeRunState(store, 'r1', { state: 'failed' });
  expect(await unread(['stdout'], 'watch', 'r1')).toMatchObject({ code: 4 });
});

const failed = (code: string) => Object.assign(new Error(`${code}: write`), { code });

test('that nobody reads is no failure, and what cannot be written for another reason is one', () => {
  const [closed, full] = [new PassThrough(), new PassThrough()] as unknown as NodeJS.WriteStream[];
  outliveReader(closed!);
  outliveReader(full!);
  closed!.emit('error', failed('EPIPE'));
  full!.emit('error', failed('ENOSPC'));
  // What is written after a failure fails as well.
  full!.emit('error', failed('ERR_STREAM_DESTROYED'));
  expect([readerGone(closed!).aborted, writeFailure(closed!)]).toEqual([true, null]);
  expect([readerGone(full!).aborted, writeFailure(full!)?.code]).toEqual([false, 'ENOSPC']);
});

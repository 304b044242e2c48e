import { execFile, spawn } from 'node:child_process';
import { mkdtemp, open, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { openStore } from '../../artifacts/open-store.ts';
import { StoreUnavailableError } from '../../artifacts/store.ts';
import { collectBesideSteps } from './garbage-race.ts';
import { describeStore } from './store-contract.ts';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'folder-store-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

describeStore('A store in a folder', {
  open: () => openFolderStore(join(folder, 'shared')),
  damage: (digest, bytes) => writeFile(join(folder, 'shared', 'objects', digest.slice(0, 2), digest.slice(2)), bytes),
});

describe('A folder store', () => {
  it('loses nothing that steps count on to collections of garbage beside them', async () => {
    const place = join(folder, 'collected');
    const store = await openFolderStore(place);
    await collectBesideSteps(store, 20, async () => {
      for (const { digest } of await store.listObjects()) {
        await utimes(join(place, 'objects', digest.slice(0, 2), digest.slice(2)), 1, 1);
      }
      return 10_000;
    });
  });

  it('that is not there and not to be made reads as empty, and stays away', async () => {
    const place = join(folder, 'mistyped');
    const store = await openFolderStore(place, { create: false });
    expect(await store.listNames('runs/')).toEqual([]);
    expect(await store.readRecord('runs/a/run.json')).toBe(null);
    expect(await store.getObject('0'.repeat(64))).toBe(null);
    await expect(stat(place)).rejects.toThrow('ENOENT');
  });

  it('that was renamed or unmounted is away, not empty, and answers again once it is back', async () => {
    const place = join(folder, 'moved');
    const store = await openFolderStore(place);
    await store.writeRecord('runs/a/run.json', Buffer.from('{}'));
    await rename(place, `${place}-elsewhere`);
    const calls = [
      () => store.readRecord('runs/a/run.json'),
      () => store.listNames('runs/'),
      () => store.listObjects(),
      () => store.hasObject('0'.repeat(64)),
      () => store.writeRecord('runs/a/run.json', Buffer.from('{}')),
      () => store.putObject(Buffer.from('new')),
    ];
    for (const call of calls) {
      await expect(call()).rejects.toMatchObject({
        name: 'StoreUnavailableError',
        transient: true,
        message: `The store ${place} is gone: its folder was there before, and has been removed, renamed or unmounted. Put it back where it was.`,
      });
    }
    // Nothing was made where it used to be.
    await expect(stat(place)).rejects.toThrow('ENOENT');
    await rename(`${place}-elsewhere`, place);
    expect(`${await store.readRecord('runs/a/run.json')}`).toBe('{}');
    expect(await store.readRecord('runs/b/run.json')).toBe(null);
  });

  it('says the same of the same trouble each time, so that who is told of it is told once', async () => {
    const place = join(folder, 'troubled');
    const store = await openFolderStore(place);
    await rm(join(place, 'tmp'), { recursive: true });
    await writeFile(join(place, 'tmp'), 'in the way');
    const say = () => store.writeRecord('a', Buffer.from('b')).catch((error: Error) => error.message);
    expect(await say()).toContain('something other than a store is in the way (ENOTDIR: not a directory)');
    expect(await say()).toBe(await say());
  });

  it('makes an old object young again when it is put once more', async () => {
    const store = await openFolderStore(join(folder, 'young'));
    const content = Buffer.from('old');
    const digest = await store.putObject(content);
    const path = join(folder, 'young', 'objects', digest.slice(0, 2), digest.slice(2));
    await utimes(path, 1, 1);
    expect((await store.statObject(digest))!.modifiedAt).toBe(1000);
    await store.putObject(content);
    expect((await store.statObject(digest))!.modifiedAt).toBeGreaterThan(Date.now() - 60_000);
  });

  it('says what to do when the disk is full, and leaves nothing half-written', async () => {
    const place = join(folder, 'full');
    const store = await openFolderStore(place);
    const probe = await open(join(folder, 'probe'), 'w');
    const handles = Object.getPrototypeOf(probe) as { writeFile: (content: Uint8Array) => Promise<void> };
    await probe.close();
    const write = handles.writeFile;
    const full = vi.spyOn(handles, 'writeFile').mockImplementation(async function (this: unknown, content: Uint8Array) {
      // As a disk does: a part goes in, the rest does not.
      await write.call(this, content.subarray(0, 3));
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    });
    try {
      const writes = [
        () => store.putObject(Buffer.from('weights')),
        () => store.writeRecord('a/b', Buffer.from('state')),
        () => store.createRecord('a/c', Buffer.from('header')),
      ];
      for (const attempt of writes) {
        const error = await attempt().catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(StoreUnavailableError);
        expect((error as Error).message).toBe(
          `The disk of the store ${place} is full (ENOSPC: no space left on device, write). Nothing was left half-written. Free some space there, or set HARDCASE_STORE to a folder on another disk, and run again.`,
        );
      }
    } finally {
      full.mockRestore();
    }
    expect(await readdir(join(place, 'tmp'))).toEqual([]);
    expect(await store.listRecords('')).toEqual([]);
    // There is space again.
    expect(await store.createRecord('a/c', Buffer.from('header'))).toBeNull();
  });

  it('removes on opening what writers killed days ago left, and nothing of those at work', async () => {
    const place = join(folder, 'swept');
    await openFolderStore(place);
    await writeFile(join(place, 'tmp', 'old'), 'half');
    await writeFile(join(place, 'tmp', 'new'), 'half');
    const twoDaysAgo = new Date(Date.now() - 2 * 86_400_000);
    await utimes(join(place, 'tmp', 'old'), twoDaysAgo, twoDaysAgo);
    await openFolderStore(place);
    expect(await readdir(join(place, 'tmp'))).toEqual(['new']);
  });

  it('passes over files that other tools left among the records', async () => {
    const place = join(folder, 'littered');
    const store = await openFolderStore(place);
    await store.writeRecord('runs/a', Buffer.from('a'));
    for (const name of ['.DS_Store', '.nfs0001', '100%', 'a b'])
      await writeFile(join(place, 'records', 'runs', name), '');
    expect(await store.listRecords('')).toEqual(['runs/a']);
    expect(await store.listNames('runs/')).toEqual(['a']);
  });

  it('says that something is in the way where the place is a file', async () => {
    await writeFile(join(folder, 'file'), '');
    const error = await openFolderStore(join(folder, 'file')).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StoreUnavailableError);
    expect((error as Error).message).toContain('something other than a store is in the way');
  });

  it('keeps every record whole when its writer is killed', async () => {
    const place = join(folder, 'killed');
    await openFolderStore(place);
    // Compiled, because a child process of Node 20 runs no TypeScript.
    const root = fileURLToPath(new URL('../..', import.meta.url));
    const flags = '--module nodenext --target es2022 --rewriteRelativeImportExtensions --skipLibCheck --types node';
    const compiled = join(folder, 'compiled');
    await promisify(execFile)(
      join(root, 'node_modules/.bin/tsc'),
      [...flags.split(' '), '--ignoreConfig', '--rootDir', root, '--outDir', compiled, 'artifacts/folder-store.ts'],
      { cwd: root },
    );
    await writeFile(join(compiled, 'package.json'), '{"type":"module"}');
    const script = `
      import { openFolderStore } from ${JSON.stringify(pathToFileURL(join(compiled, 'artifacts/folder-store.js')).href)};
      const store = await openFolderStore(${JSON.stringify(place)});
      for (let i = 0; ; i++) {
        await store.writeRecord('state', Buffer.alloc(200_000, i % 2 ? 'a' : 'b'));
        if (i === 0) console.log('writing');
      }`;
    const writer = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => writer.stdout.once('data', resolve));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const gone = new Promise((resolve) => writer.once('exit', resolve));
    writer.kill('SIGKILL');
    await gone;
    const store = await openFolderStore(place);
    const content = (await store.readRecord('state'))!;
    expect(content.length).toBe(200_000);
    expect(new Set(content).size).toBe(1);
    expect((await stat(join(place, 'records', 'state'))).size).toBe(200_000);
  });
});

describe('openStore', () => {
  it('takes a folder, and refuses an address it does not know', async () => {
    expect((await openStore(join(folder, 'opened'))).url).toBe(join(folder, 'opened'));
    await expect(openStore('gs://bucket')).rejects.toThrow(
      '"gs://bucket" is no store. Expected a folder, or s3://bucket/prefix; change HARDCASE_STORE.',
    );
  });
});

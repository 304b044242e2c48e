import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestTree, ingestTree, openTree, writeTree } from '../../artifacts/tree.ts';
import { createMemoryStore } from './memory-store.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tree-'));
  await mkdir(join(folder, 'images'));
  await writeFile(join(folder, 'images', 'b.txt'), 'bbb');
  await writeFile(join(folder, 'a.txt'), 'a');
  await writeFile(join(folder, '.DS_Store'), 'not data');
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

describe('A folder as a tree', () => {
  it('has the same digest whether it is stored or only looked at', async () => {
    const store = createMemoryStore();
    const ref = await ingestTree(store, folder);
    expect(await digestTree(folder)).toEqual(ref);
    const { tree, read, digestOf } = await openTree(store, ref);
    expect(tree.files.map(({ name, bytes }) => [name, bytes])).toEqual([
      ['a.txt', 1],
      ['images/b.txt', 3],
    ]);
    expect((await read('images/b.txt')).toString()).toBe('bbb');
    expect(digestOf('.DS_Store')).toBeNull();
    await expect(read('c.txt')).rejects.toThrow('The folder has no file "c.txt".');
  });

  it('changes with a name and with a byte', async () => {
    const before = await digestTree(folder);
    await writeFile(join(folder, 'a.txt'), 'b');
    const changed = await digestTree(folder);
    await writeFile(join(folder, 'a.txt'), 'a');
    expect(await digestTree(folder)).toEqual(before);
    await rm(join(folder, 'a.txt'));
    await writeFile(join(folder, 'z.txt'), 'a');
    expect(new Set([before.digest, changed.digest, (await digestTree(folder)).digest]).size).toBe(3);
  });

  it('follows links inside the folder, and refuses those that leave it', async () => {
    await symlink('a.txt', join(folder, 'link.txt'));
    expect((await openTree(...(await stored()))).tree.files.map(({ name }) => name)).toContain('link.txt');
    await symlink(tmpdir(), join(folder, 'out'));
    await expect(digestTree(folder)).rejects.toThrow('"out" in the folder');
    await rm(join(folder, 'out'));
    await symlink('.', join(folder, 'images', 'loop'));
    await expect(digestTree(folder)).rejects.toThrow('a symbolic link to a folder around it');
    await rm(join(folder, 'images', 'loop'));
    await symlink('gone', join(folder, 'dangling'));
    await expect(digestTree(folder)).rejects.toThrow('a symbolic link to nothing');
  });

  it('says that a folder is missing, is a file, or is empty', async () => {
    await expect(digestTree(join(folder, 'none'))).rejects.toThrow(`There is no folder "${join(folder, 'none')}"`);
    await expect(digestTree(join(folder, 'a.txt'))).rejects.toThrow('is a file; expected a folder');
    await mkdir(join(folder, 'empty'));
    await expect(digestTree(join(folder, 'empty'))).rejects.toThrow('holds no files');
  });

  it('is written back, twice over, but never over other contents', async () => {
    const [store, ref] = await stored();
    const out = join(folder, 'out');
    await writeTree(store, ref, out);
    await writeTree(store, ref, out);
    expect(await readFile(join(out, 'images', 'b.txt'), 'utf8')).toBe('bbb');
    await writeFile(join(out, 'images', 'b.txt'), 'mine');
    await rm(join(out, 'a.txt'));
    await expect(writeTree(store, ref, out)).rejects.toThrow(`Would overwrite ${join(out, 'images', 'b.txt')}`);
    expect(await readFile(join(out, 'images', 'b.txt'), 'utf8')).toBe('mine');
    await expect(readFile(join(out, 'a.txt'))).rejects.toThrow('ENOENT');
  });

  async function stored() {
    const store = createMemoryStore();
    return [store, await ingestTree(store, folder)] as const;
  }
});

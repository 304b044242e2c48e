/** What every store must do: the suite that each driver's test runs. */

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256Hex } from '../../artifacts/digest.ts';
import { DamagedObjectError, type Store } from '../../artifacts/store.ts';

export interface StoreUnderTest {
  /** A store on the same place each time within a test file. */
  open(): Promise<Store>;
  /** Replaces the stored bytes of an object behind the store's back. */
  damage(digest: string, bytes: Buffer): Promise<void>;
}

const text = (value: string): Buffer => Buffer.from(value);
/** Keys of different tests share no prefix, so that they need no store each. */
const unique = (): string => randomBytes(6).toString('hex');

export function describeStore(name: string, driver: StoreUnderTest): void {
  describe(name, () => {
    it('gives back an object by the SHA-256 of its bytes', async () => {
      const store = await driver.open();
      const digest = await store.putObject(text('abc'));
      expect(digest).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
      expect(await store.getObject(digest)).toEqual(text('abc'));
      expect(await store.hasObject(digest)).toBe(true);
    });

    it('takes the same object twice, also at the same time', async () => {
      const store = await driver.open();
      const content = randomBytes(1000);
      const digests = await Promise.all(Array.from({ length: 8 }, () => store.putObject(content)));
      expect(new Set(digests)).toEqual(new Set([sha256Hex(content)]));
      expect(await store.getObject(sha256Hex(content))).toEqual(content);
    });

    it('answers null and false for an object that is not there, and removes it without complaint', async () => {
      const store = await driver.open();
      const digest = sha256Hex(unique());
      expect(await store.getObject(digest)).toBeNull();
      expect(await store.hasObject(digest)).toBe(false);
      await store.removeObject(digest);
    });

    it('refuses a digest that is none, since it would become part of a path', async () => {
      const store = await driver.open();
      await expect(store.getObject('../../etc/passwd')).rejects.toThrow('is no SHA-256 digest');
    });

    it('keeps an empty object and an empty record', async () => {
      const store = await driver.open();
      const digest = await store.putObject(Buffer.alloc(0));
      expect(await store.getObject(digest)).toEqual(Buffer.alloc(0));
      const key = `empty/${unique()}`;
      expect(await store.createRecord(key, Buffer.alloc(0))).toBeNull();
      expect(await store.readRecord(key)).toEqual(Buffer.alloc(0));
    });

    it('keeps an object of 20 MB', async () => {
      const store = await driver.open();
      const content = randomBytes(20_000_000);
      const digest = await store.putObject(content);
      expect((await store.getObject(digest))?.equals(content)).toBe(true);
    });

    it('takes a view into a larger buffer as just that view', async () => {
      const store = await driver.open();
      const digest = await store.putObject(new Uint8Array(text('xxabcyy').buffer.slice(0)).subarray(0, 0));
      expect(digest).toBe(sha256Hex(''));
      const view = Buffer.from('--abc--').subarray(2, 5);
      expect(await store.getObject(await store.putObject(view))).toEqual(text('abc'));
    });

    it('takes a file, once and again', async () => {
      const store = await driver.open();
      const folder = await mkdtemp(join(tmpdir(), 'store-file-'));
      try {
        const content = randomBytes(3_000_000);
        await writeFile(join(folder, 'weights.bin'), content);
        for (let i = 0; i < 2; i++) {
          expect(await store.putFile(join(folder, 'weights.bin'))).toEqual({
            digest: sha256Hex(content),
            bytes: 3_000_000,
          });
        }
        expect((await store.getObject(sha256Hex(content)))?.equals(content)).toBe(true);
      } finally {
        await rm(folder, { recursive: true });
      }
    });

    it('reports an object whose bytes have changed, and takes it anew once it is removed', async () => {
      const store = await driver.open();
      const content = text(`content ${unique()}`);
      const digest = await store.putObject(content);
      const other = Buffer.from(content);
      other[0]! ^= 1;
      await driver.damage(digest, other);
      const error = await store.getObject(digest).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(DamagedObjectError);
      expect(error).toMatchObject({ digest, message: expect.stringContaining(sha256Hex(other)) });
      await store.removeObject(digest);
      expect(await store.hasObject(digest)).toBe(false);
      await store.putObject(content);
      expect(await store.getObject(digest)).toEqual(content);
    });

    it('writes a truncated object anew when it is put again', async () => {
      const store = await driver.open();
      const content = text(`content ${unique()}`);
      const digest = await store.putObject(content);
      await driver.damage(digest, content.subarray(0, 5));
      await store.putObject(content);
      expect(await store.getObject(digest)).toEqual(content);
    });

    it('tells of its objects how large they are and when they were written', async () => {
      const store = await driver.open();
      const before = Date.now();
      const digest = await store.putObject(text(`content ${unique()}`));
      const info = (await store.statObject(digest))!;
      expect(info).toMatchObject({ digest, bytes: 20 });
      // S3 counts in seconds.
      expect(Math.abs(info.modifiedAt - before)).toBeLessThan(10_000);
      expect(await store.listObjects()).toContainEqual(expect.objectContaining({ digest, bytes: 20 }));
      await store.removeObject(digest);
      expect(await store.statObject(digest)).toBeNull();
      expect((await store.listObjects()).filter((one) => one.digest === digest)).toEqual([]);
    });

    it('removes a record, with what it leaves empty, and makes the key free again', async () => {
      const store = await driver.open();
      const folder = unique();
      await store.createRecord(`${folder}/a/b.json`, text('1'));
      await store.createRecord(`${folder}/c.json`, text('2'));
      await store.removeRecord(`${folder}/a/b.json`);
      await store.removeRecord(`${folder}/a/b.json`);
      expect(await store.listNames(`${folder}/`)).toEqual(['c.json']);
      expect(await store.createRecord(`${folder}/a/b.json`, text('3'))).toBeNull();
    });

    it('writes records into folders that are removed at the same time', async () => {
      const store = await driver.open();
      const folder = unique();
      const keys = Array.from({ length: 40 }, (_, i) => `${folder}/shared/${i}.json`);
      await Promise.all(
        keys.map(async (key, i) => {
          await store.createRecord(key, text('here'));
          if (i % 2 === 0) await store.removeRecord(key);
        }),
      );
      expect(await store.listRecords(`${folder}/`)).toHaveLength(20);
    });

    it('writes, replaces and reads a record', async () => {
      const store = await driver.open();
      const key = `records/${unique()}/state.json`;
      expect(await store.readRecord(key)).toBeNull();
      await store.writeRecord(key, text('1'));
      await store.writeRecord(key, text('22'));
      expect(await store.readRecord(key)).toEqual(text('22'));
    });

    it('creates a record only once, and shows the second writer what the first wrote', async () => {
      const store = await driver.open();
      const key = `runs/${unique()}/run.json`;
      expect(await store.createRecord(key, text('first'))).toBeNull();
      expect(await store.createRecord(key, text('second'))).toEqual(text('first'));
      // Also where both wrote the same: only one of them is the owner.
      expect(await store.createRecord(key, text('first'))).toEqual(text('first'));
      expect(await store.readRecord(key)).toEqual(text('first'));
    });

    it('lets one of 20 creators win, and shows the winner to the other 19', async () => {
      const stores = [await driver.open(), await driver.open()];
      for (let round = 0; round < 3; round++) {
        const key = `runs/${unique()}/run.json`;
        const answers = await Promise.all(
          Array.from({ length: 20 }, (_, i) => stores[i % 2]!.createRecord(key, text(`creator ${i}`))),
        );
        const winners = answers.flatMap((answer, i) => (answer === null ? [i] : []));
        expect(winners).toHaveLength(1);
        const winner = text(`creator ${winners[0]}`);
        expect(answers.filter((answer) => answer !== null)).toEqual(Array.from({ length: 19 }, () => winner));
        expect(await stores[0]!.readRecord(key)).toEqual(winner);
      }
    });

    it('never shows a half-written record to a reader', async () => {
      const store = await driver.open();
      const key = `state/${unique()}`;
      const whole = [Buffer.alloc(300_000, 'a'), Buffer.alloc(300_000, 'b')];
      await store.writeRecord(key, whole[0]!);
      const writing = (async () => {
        for (let i = 1; i < 15; i++) await store.writeRecord(key, whole[i % 2]!);
      })();
      for (let i = 0; i < 15; i++) {
        const read = await store.readRecord(key);
        expect(whole.some((one) => read?.equals(one))).toBe(true);
      }
      await writing;
    });

    it('lists the keys that begin with a prefix, in order', async () => {
      const store = await driver.open();
      const run = unique();
      for (const key of ['steps/b.json', 'steps/a.json', 'steps/a/deep.json', 'state.json', 'stepsibling']) {
        await store.writeRecord(`${run}/${key}`, text(key));
      }
      expect(await store.listRecords(`${run}/steps/`)).toEqual([
        `${run}/steps/a.json`,
        `${run}/steps/a/deep.json`,
        `${run}/steps/b.json`,
      ]);
      expect(await store.listRecords(`${run}/steps`)).toHaveLength(4);
      expect(await store.listRecords(`${run}/nothing/`)).toEqual([]);
      expect(await store.listRecords('')).toContain(`${run}/state.json`);
    });

    it('lists the immediate children of a prefix, each once', async () => {
      const store = await driver.open();
      const run = unique();
      for (const key of ['b/1.json', 'b/2.json', 'a.json', 'a/x/y.json']) {
        await store.writeRecord(`${run}/${key}`, text(key));
      }
      expect(await store.listNames(`${run}/`)).toEqual(['a', 'a.json', 'b']);
      expect(await store.listNames(`${run}/nothing/`)).toEqual([]);
    });

    it('keeps keys with brackets, dots, spaces, percent signs and letters of other scripts apart', async () => {
      const store = await driver.open();
      const run = unique();
      const segments = [
        'rounds[2].train.json',
        'rounds%5B2%5D.train.json',
        '..',
        '.hidden',
        'a b+c',
        "it's*",
        '图像',
        'é',
      ];
      for (const segment of segments) await store.createRecord(`${run}/${segment}`, text(segment));
      expect(await store.listNames(`${run}/`)).toEqual([...segments].sort());
      expect(await store.listRecords(`${run}/`)).toEqual(segments.map((segment) => `${run}/${segment}`).sort());
      expect(await store.listRecords(`${run}/rounds[`)).toEqual([`${run}/rounds[2].train.json`]);
      for (const segment of segments) expect(await store.readRecord(`${run}/${segment}`)).toEqual(text(segment));
    });

    it('lists more keys than one page of S3 holds', async () => {
      const store = await driver.open();
      const run = unique();
      const keys = Array.from({ length: 1100 }, (_, i) => `${run}/${String(i).padStart(4, '0')}`);
      for (let i = 0; i < keys.length; i += 50) {
        await Promise.all(keys.slice(i, i + 50).map((key) => store.writeRecord(key, text('x'))));
      }
      expect(await store.listRecords(`${run}/`)).toEqual(keys);
    });
  });
}

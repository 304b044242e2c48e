/** What `hardcase gc` says of a store. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { runGc } from '../../cli/gc.ts';
import { captureOutput } from './capture.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-gc-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('a store without garbage is said to have none, in as many words', async () => {
  const store = join(folder, 'store');
  const opened = await openFolderStore(store);
  const say = async (grace: string) => {
    const printed = captureOutput();
    await runGc({ folder, store, queue: 'test' }, { delete: false, keep: [], grace });
    return printed().out;
  };
  expect(await say('24h')).toBe('0 objects (0 B) stay.\nThere is nothing to remove.\n');
  await opened.putObject(Buffer.from('left behind'));
  expect(await say('0s')).toMatch(/^Nothing that stays needs 1 object \(11 B\) and 0 records\.\n/);
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { lingerS } from '../../cli/connect.ts';
import { loadSettings } from '../../cli/settings.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-settings-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const write = (yaml: string) => writeFileSync(join(folder, 'hardcase.config.yaml'), yaml);

test('without any setting the store is a folder below the working directory', () => {
  expect(loadSettings({}, {}, folder)).toEqual({
    folder: join(folder, '.hardcase'),
    store: join(folder, '.hardcase', 'store'),
    queue: 'hardcase',
  });
});

test('flags stand above the environment, and that above the file', () => {
  write('store: s3://file/prefix\nqueue: file\naddress: file:7233\n');
  const environment = { HARDCASE_STORE: 's3://environment', HARDCASE_QUEUE: 'environment' };
  expect(loadSettings({ store: 's3://flag', queue: 'flag' }, environment, folder)).toMatchObject({
    store: 's3://flag',
    queue: 'flag',
  });
  expect(loadSettings({}, environment, folder)).toMatchObject({ store: 's3://environment', queue: 'environment' });
  expect(loadSettings({}, {}, folder)).toMatchObject({
    store: 's3://file/prefix',
    queue: 'file',
    address: 'file:7233',
  });
  // The environment's own address is read by Temporal's loader; the file's must not hide it.
  expect(loadSettings({}, { TEMPORAL_ADDRESS: 'environment:7233' }, folder).address).toBe(undefined);
  expect(loadSettings({ address: 'flag:1' }, { TEMPORAL_ADDRESS: 'environment:7233' }, folder).address).toBe('flag:1');
});

test('a misspelled setting in the file is an error that names the right one', () => {
  write('stores: x\n');
  expect(() => loadSettings({}, {}, folder)).toThrow(
    `${join(folder, 'hardcase.config.yaml')}: unknown setting "stores". Did you mean "store"? Settings here: store, queue, address, namespace.`,
  );
  write('store: 3\n');
  expect(() => loadSettings({}, {}, folder)).toThrow('"store" should be text, and is 3.');
  write('- a\n');
  expect(() => loadSettings({}, {}, folder)).toThrow('should hold settings');
});

test('how long an engine outlives a killed command is whole seconds', () => {
  expect(lingerS({})).toBe(null);
  expect(lingerS({ HARDCASE_ENGINE_LINGER: '' })).toBe(null);
  expect(lingerS({ HARDCASE_ENGINE_LINGER: '0' })).toBe(0);
  expect(() => lingerS({ HARDCASE_ENGINE_LINGER: '2m' })).toThrow(
    'HARDCASE_ENGINE_LINGER is "2m". Expected whole seconds, as in HARDCASE_ENGINE_LINGER=120: so long the embedded engine outlives a command that was killed.',
  );
});

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openFolderStore } from '../../artifacts/folder-store.ts';
import { createRun } from '../../artifacts/run-record.ts';
import { StoreUnavailableError } from '../../artifacts/store.ts';
import { loadForRun } from '../../cli/load-for-run.ts';
import { loadSettings } from '../../cli/settings.ts';
import { captureOutput } from './capture.ts';

const pipeline = `name: given
params:
  data: { type: path }
  share: { type: number, default: 0.5 }
  epochs: { type: integer, default: 4 }
steps:
  data: { uses: import-dataset, with: { source: "\${{ params.data }}", split: { else: { train: "\${{ params.share }}", val: 0.2, test: 0.1 } } } }
  model: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", epochs: "\${{ params.epochs }}" } }
`;

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-load-'));
  mkdirSync(join(folder, 'berries'));
  writeFileSync(join(folder, 'berries', 'a.txt'), 'a');
  file = join(folder, 'given.yaml');
  writeFileSync(file, pipeline);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const load = (params: readonly string[], run?: string) =>
  loadForRun(loadSettings({ store: join(folder, 'store') }, {}, folder), file, params, run);

async function begin(run: string, params: readonly string[]) {
  const { plan, planDigest, source, given } = (await load(params, run))!;
  const store = await openFolderStore(join(folder, 'store'));
  const createdAt = '2026-01-02T03:04:05Z';
  await createRun(store, { run, pipeline: 'given', planDigest, source, file, params: plan.params, given, createdAt });
  return planDigest;
}

test('what -p gave when a run began need not be given again, nor need its folder be there still', async () => {
  const planDigest = await begin('first', [`data=${join(folder, 'berries')}`, 'share=0.7']);
  rmSync(join(folder, 'berries'), { recursive: true });
  expect((await load([], 'first'))!.planDigest).toBe(planDigest);
});

test('what -p gives now stands above what it gave then', async () => {
  const planDigest = await begin('first', [`data=${join(folder, 'berries')}`, 'share=0.7']);
  const { plan, planDigest: other } = (await load(['epochs=5'], 'first'))!;
  expect(other).not.toBe(planDigest);
  expect(plan.params).toMatchObject({ share: 0.7, epochs: 5 });
});

test('a default that was edited since counts: the plan is another one', async () => {
  await begin('first', [`data=${join(folder, 'berries')}`]);
  writeFileSync(file, pipeline.replace('default: 4', 'default: 6'));
  expect((await load([], 'first'))!.plan.params.epochs).toBe(6);
});

test('a param that the file no longer has is left out', async () => {
  await begin('first', [`data=${join(folder, 'berries')}`, 'epochs=5']);
  writeFileSync(file, pipeline.replace(/ {2}epochs: .*\n/, '').replace(/"\$\{\{ params.epochs \}\}"/, '3'));
  expect(Object.keys((await load([], 'first'))!.plan.params).sort()).toEqual(['data', 'share']);
});

test('a store that is away is told where it may hold the run as a fork, whose file alone says little', async () => {
  // Seed 130 of the chaos suite: the command said that there was no pipeline file, and ended as if it had been mistyped.
  const place = { store: 's3://bucket/prefix' };
  const away = { AWS_ENDPOINT_URL: 'http://127.0.0.1:9', AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' };
  for (const [name, value] of Object.entries(away)) vi.stubEnv(name, value);
  await expect(loadForRun(loadSettings(place, {}, folder), join(folder, 'gone.yaml'), [], 'fork-1')).rejects.toThrow(
    StoreUnavailableError,
  );
});

test('a new id, and no id, have nothing to fall back on', async () => {
  await begin('first', [`data=${join(folder, 'berries')}`]);
  for (const run of ['second', undefined]) {
    const output = captureOutput();
    expect(await load([], run)).toBe(null);
    expect(output().err).toContain('MISSING_PARAM The param "data" has no value and no default.');
  }
});

test('a folder without files is a fault of the param, told like one that is not there', async () => {
  mkdirSync(join(folder, 'empty'));
  for (const name of ['empty', 'nowhere']) {
    const output = captureOutput();
    expect(await load([`data=${join(folder, name)}`])).toBe(null);
    expect(output().err).toMatch(/given.yaml:3:3 INVALID_PARAM The param "data" names a folder that cannot be read: /);
  }
});

test('a file of bytes that are no text is not shown', async () => {
  writeFileSync(file, Buffer.from([0x50, 0x4b, 0x03, 0x04, 0xff, 0x00]));
  await expect(load([])).rejects.toThrow('given.yaml is no text in UTF-8. Expected a pipeline file (YAML).');
});

test('a file with a mistake leaves no store behind', async () => {
  writeFileSync(file, pipeline.replace('uses: train', 'uses: trian'));
  const output = captureOutput();
  expect(await load([], 'first')).toBe(null);
  expect(output().err).toContain('Did you mean "train"?');
  expect(existsSync(join(folder, 'store'))).toBe(false);
});

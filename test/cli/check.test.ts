/** `hardcase check` and `hardcase schema`: formats and exit codes. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { runCheck } from '../../cli/check.ts';
import { runSchema } from '../../cli/schema.ts';

let folder: string;
let printed: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hardcase-check-'));
  printed = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text);
    return true;
  });
});

afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

async function file(text: string, name = 'a.yaml'): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

const good =
  'name: good\nparams: { data: { type: path } }\nsteps: { data: { uses: import-dataset, with: { source: "${{ params.data }}" } } }\n';
const bad = 'name: bad\nsteps: { data: { uses: synthesise } }\n';

describe('check', () => {
  test('a sound file needs no values for its params', async () => {
    const path = await file(good);
    expect(await runCheck([path], { format: 'text' })).toBe(0);
    expect(printed).toBe(`${path}: no problems.\n`);
  });

  test('the problems of several files, with frames', async () => {
    const paths = [await file(good, 'good.yaml'), await file(bad, 'bad.yaml')];
    expect(await runCheck(paths, { format: 'text' })).toBe(1);
    expect(printed).toContain(`${paths[1]}:2:24 UNKNOWN_KIND There is no step kind "synthesise".`);
    expect(printed).toContain('                      ^^^^^^^^^^');
  });

  test('JSON has the shape that others build on', async () => {
    const path = await file(bad);
    expect(await runCheck([path], { format: 'json' })).toBe(1);
    expect(JSON.parse(printed)).toEqual([
      {
        file: path,
        line: 2,
        column: 24,
        endLine: 2,
        endColumn: 34,
        severity: 'error',
        code: 'UNKNOWN_KIND',
        message: 'There is no step kind "synthesise".',
        hint: expect.stringContaining('Did you mean "synthesize"?'),
      },
    ]);
  });

  test('SARIF of a sound file has no results', async () => {
    expect(await runCheck([await file(good)], { format: 'sarif' })).toBe(0);
    expect(JSON.parse(printed)).toMatchObject({ version: '2.1.0', runs: [{ results: [] }] });
  });

  test('a folder that a param names must be there', async () => {
    const path = await file(good);
    expect(await runCheck([path], { format: 'json', params: [`data=${folder}`] })).toBe(0);
    printed = '';
    expect(await runCheck([path], { format: 'json', params: ['data=/nowhere/at/all'] })).toBe(1);
    expect(JSON.parse(printed)).toMatchObject([{ code: 'INVALID_PARAM', line: 2 }]);
  });

  test.each([
    ['a file that is not there', ['/nowhere/a.yaml'], {}, 'there is no such file'],
    ['a format that is none', [], { format: 'xml' }, 'expected text, json or sarif'],
  ])('%s is wrong usage', async (_, files, options, message) => {
    await expect(runCheck(files, { format: 'text', ...options })).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining(message),
    });
  });
});

describe('schema', () => {
  test('of pipelines, and of a kind with the shared recipe in place', async () => {
    expect(await runSchema()).toBe(0);
    expect(JSON.parse(printed)).toMatchObject({ title: 'A hardcase pipeline' });
    printed = '';
    expect(await runSchema('train')).toBe(0);
    expect(JSON.parse(printed)).toMatchObject({ properties: { epochs: { default: 30 } } });
  });

  test('of no kind is wrong usage', async () => {
    await expect(runSchema('trian')).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining('Did you mean "train"?'),
    });
  });
});

/** `hardcase check`, `explain` and `schema`: formats, fixes and exit codes. */

import { chmod, lstat, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { runCheck } from '../../cli/check.ts';
import { runExplain } from '../../cli/explain.ts';
import { runSchema } from '../../cli/schema.ts';
import { diagnosticCodes } from '../../spec/diagnostic.ts';

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

  test('GitHub has a command for each problem, with its special characters escaped', async () => {
    const path = await file(bad);
    expect(await runCheck([path], { format: 'github' })).toBe(1);
    expect(printed).toMatch(
      `::error file=${path},line=2,col=24,endLine=2,endColumn=34,title=UNKNOWN_KIND::There is no step kind "synthesise". Did you mean`,
    );
    expect(printed.trim().split('\n')).toHaveLength(1);
  });

  test('warnings fail only a strict check', async () => {
    const path = await file(good.replace('data: { type: path }', 'data: { type: path }, more: { type: path }'));
    expect(await runCheck([path], { format: 'text' })).toBe(0);
    expect(printed).toMatch(/UNUSED_PARAM \(warning\) [\s\S]*\n\n1 warning\.\n$/);
    expect(await runCheck([path], { format: 'text', strict: true })).toBe(1);
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
    ['a format that is none', [], { format: 'xml' }, 'expected text, json, sarif or github'],
    ['a dry run of nothing', [], { dryRun: true }, 'give both'],
  ])('%s is wrong usage', async (_, files, options, message) => {
    await expect(runCheck(files, { format: 'text', ...options })).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining(message),
    });
  });
});

describe('check --fix', () => {
  const wrong = `# hard cases\r
name: fix\r
steps:\r
  scenes: { uses: synthesise, with: { images: "20" } }   # twenty\r
  model:\r
    uses: train\r
    with: { dataset: \${{ steps.scene.dataset }}, batch_size: 8, loss: 1 }\r
`;
  const mended = wrong
    .replace('synthesise', 'synthesize')
    .replace('"20"', '20')
    .replace('${{ steps.scene.dataset }}', '"${{ steps.scenes.dataset }}"')
    .replace('batch_size', 'batchSize');

  test('changes the words that leave no choice, in as many turns as it takes, and nothing else', async () => {
    const path = await file(wrong);
    await chmod(path, 0o640);
    expect(await runCheck([path], { format: 'text', fix: true })).toBe(1);
    expect(await readFile(path, 'utf8')).toBe(mended);
    expect((await stat(path)).mode & 0o777).toBe(0o640);
    expect(await readdir(folder)).toEqual(['a.yaml']);
    expect(printed).toContain('5 problems mended.');
    expect(printed).toContain(`    4 - ${wrong.split('\r\n')[3]}`);
    expect(printed).toContain(`    4 + ${mended.split('\r\n')[3]}`);
    // What may mean several things is left, and told.
    expect(printed).toContain(':7:67 UNKNOWN_KEY Unknown key "loss"');
  });

  test('a dry run writes nothing, and of --json only the problems reach standard output', async () => {
    const path = await file(wrong);
    expect(await runCheck([path], { format: 'json', fix: true, dryRun: true })).toBe(1);
    expect(await readFile(path, 'utf8')).toBe(wrong);
    expect(JSON.parse(printed)).toMatchObject([{ code: 'UNKNOWN_KEY' }]);
  });

  test('a link stays one: the file behind it is written', async () => {
    const path = await file(wrong, 'real.yaml');
    const link = join(folder, 'link.yaml');
    await symlink(path, link);
    await runCheck([link], { format: 'text', fix: true });
    expect((await lstat(link)).isSymbolicLink()).toBe(true);
    expect(await readFile(path, 'utf8')).toBe(mended);
  });

  test('a sound file is not touched', async () => {
    const path = await file(good);
    const { mtimeMs } = await stat(path);
    expect(await runCheck([path], { format: 'text', fix: true })).toBe(0);
    expect((await stat(path)).mtimeMs).toBe(mtimeMs);
    expect(printed).toBe(`${path}: no problems.\n`);
  });
});

describe('explain', () => {
  test('prints the page of a code, in any spelling', async () => {
    expect(await runExplain('unguarded-last', { json: false })).toBe(0);
    expect(printed).toContain('With `max` 0 a loop has no last round');
    expect(printed).toMatch(/Wrong:[\s\S]*Printed:[\s\S]*Mended:\S*\n\n {4}name: example/);
    expect(printed).not.toContain('```');
  });

  test('lists all codes, as JSON too', async () => {
    expect(await runExplain(undefined, { json: false })).toBe(0);
    for (const code of Object.keys(diagnosticCodes)) expect(printed).toMatch(new RegExp(`^${code} `, 'm'));
    printed = '';
    await runExplain('CYCLE', { json: true });
    expect(JSON.parse(printed)).toMatchObject({ code: 'CYCLE', page: expect.stringContaining('```yaml') });
  });

  test('an unknown code is wrong usage, with the nearest one', async () => {
    await expect(runExplain('CYCEL', { json: false })).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining('Did you mean CYCLE?'),
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

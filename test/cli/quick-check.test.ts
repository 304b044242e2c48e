/** The bundle that `hardcase check` runs finds what the sources find: for every example of docs/diagnostics.md. */

import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadPipeline } from '../../cli/load-pipeline.ts';
import { toJson } from '../../spec/diagnostic-formats.ts';
import { runCommand } from './command.ts';

const root = join(import.meta.dirname, '../..');

test('the bundle and the sources agree on every example', async () => {
  expect(existsSync(join(root, 'dist/check-command.cjs'))).toBe(true);
  const folder = await mkdtemp(join(tmpdir(), 'hardcase-quick-'));
  try {
    const page = readFileSync(join(root, 'docs/diagnostics.md'), 'utf8');
    const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map((block) => block[1]!);
    const names = examples.map((_, i) => `${i}.yaml`);
    for (const [i, name] of names.entries()) await writeFile(join(folder, name), examples[i]!);
    const { code, stdout, stderr } = await runCommand(folder, ['check', '--format', 'json', ...names]);
    expect([code, stderr]).toEqual([1, '']);
    const expected = [];
    for (const name of names) {
      const options = { params: [], paramsRequired: false, digestFolders: false };
      const { compilation } = await loadPipeline(join(folder, name), options);
      // The command is run in the folder, so that it names files as they are called there.
      const message = (text: string) => text.replaceAll(`${folder}/`, '');
      for (const found of toJson(compilation.diagnostics)) {
        expected.push({ ...found, file: message(found.file), message: message(found.message) });
      }
    }
    expect(JSON.parse(stdout)).toEqual(expected);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('wrong usage ends the bundled command as it ends the others', async () => {
  const { code, stderr } = await runCommand(tmpdir(), ['check', '/nowhere/a.yaml']);
  expect(code).toBe(2);
  expect(stderr).toContain('there is no such file');
});

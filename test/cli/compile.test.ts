/** `hardcase compile`: the file, and what is refused. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { runCompile } from '../../cli/compile.ts';
import { CommandError } from '../../cli/output.ts';
import { captureOutput } from './capture.ts';

const folder = mkdtempSync(join(tmpdir(), 'hardcase-compile-'));
const pipeline = join(folder, 'loop.yaml');
writeFileSync(
  pipeline,
  `name: my-loop
params: { rounds: { type: integer, default: 2 } }
steps:
  data: { uses: synthesize, with: { images: 12 } }
  rounds:
    repeat: { max: "\${{ params.rounds }}", carry: { n: 1 } }
    steps:
      train: { uses: train, with: { dataset: "\${{ steps.data.dataset }}" } }
    next: { n: "\${{ carry.n + 1 }}" }
`,
);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('the workflow is written with the params that are given, and imports the library from where it stands', async () => {
  const output = captureOutput();
  const out = join(folder, 'loop.ts');
  expect(await runCompile(pipeline, { params: ['rounds=3'], out })).toBe(0);
  expect(output().err).toContain(`Wrote ${out}.`);
  const text = readFileSync(out, 'utf8');
  expect(text).toMatch(/ with\n \* rounds=3\.\n/);
  expect(text).toContain('for (let n = 1; n <= 3; n++) {');
  expect(text).toMatch(/ from '(\.\.\/)+.*\/workflows\/compiled\/index\.ts';/);
  expect(text).toContain("export { myLoop as 'my-loop' };");
});

test('what one history cannot hold is refused at its place', async () => {
  const refused = runCompile(pipeline, { params: ['rounds=5000'] });
  await expect(refused).rejects.toThrow(CommandError);
  await expect(refused).rejects.toThrow(
    /loop\.yaml:5:3 A run of "my-loop" may have 60,0\d\d events, 60,012 of them for "rounds"\. A compiled workflow has one history, which holds 40,000 safely\./,
  );
});

test('a pipeline with problems is not compiled', async () => {
  const output = captureOutput();
  expect(await runCompile(pipeline, { params: ['rounds=many'] })).toBe(1);
  expect(output().err).toContain('INVALID_PARAM');
});

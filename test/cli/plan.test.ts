import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runPlan } from '../../cli/plan.ts';
import { loadSettings } from '../../cli/settings.ts';
import { captureOutput } from './capture.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hardcase-plan-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('a flowchart gives steps named like its own words another id', async () => {
  const file = join(folder, 'words.yaml');
  writeFileSync(
    file,
    `name: words
steps:
  end: { uses: synthesize, with: { images: 3 } }
  model: { uses: train, with: { dataset: "\${{ steps.end.dataset }}" } }
`,
  );
  const output = captureOutput();
  const settings = loadSettings({}, {}, folder);
  expect(await runPlan(file, { params: [], format: 'mermaid', settings })).toBe(0);
  expect(output().out).toBe(`flowchart TD
  end_["end<br/>synthesize"]
  model["model<br/>train"]
  end_ --> model
`);
});

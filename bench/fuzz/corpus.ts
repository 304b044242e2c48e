/** The files that are mutated: every pipeline that ships, and the wrong and the mended examples of docs/diagnostics.md. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** `root`: of the checkout. In the order of their names, so that a seed means the same everywhere. */
export function readCorpus(root: string): string[] {
  const shipped = readdirSync(join(root, 'pipelines'), { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.yaml') && !name.endsWith('.test.yaml'))
    .sort()
    .map((name) => readFileSync(join(root, 'pipelines', name), 'utf8'));
  const page = readFileSync(join(root, 'docs', 'diagnostics.md'), 'utf8');
  return [...shipped, ...[...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map((block) => block[1]!)];
}

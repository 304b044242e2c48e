/** Every pipeline that ships plans, and names its schema for editors. */

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compilePipeline, parsePipeline, textsOf } from '../plan/compile.ts';
import { printDiagnostics } from '../spec/diagnostic.ts';
import { artifactParamTypes } from '../spec/types.ts';
import { folder } from './plan/compile-text.ts';

const root = join(import.meta.dirname, '..');
const files = readdirSync(join(root, 'pipelines'), { recursive: true })
  .map((name) => join('pipelines', String(name)))
  .filter((name) => name.endsWith('.yaml') && !name.endsWith('.test.yaml'))
  .sort();

test('the shipped pipelines are found', () => {
  expect(files).toContain(join('pipelines', 'quickstart.yaml'));
  expect(files).toContain(join('pipelines', 'hard-cases.yaml'));
  expect(files.length).toBeGreaterThan(7);
});

describe.each(files)('%s', (file) => {
  const text = readFileSync(join(root, file), 'utf8');

  test('plans', () => {
    const pipeline = parsePipeline({ file, text }, (other) => ({ text: readFileSync(join(root, other), 'utf8') }));
    const folders = Object.entries(pipeline.params).filter(([, param]) => param.type === 'path');
    const params = Object.fromEntries(folders.map(([name]) => [name, folder]));
    // A part takes what only the files that import it can give.
    const isPart = Object.values(pipeline.params).some(({ type }) => artifactParamTypes.some((each) => each === type));
    const { plan, diagnostics } = compilePipeline(pipeline, { params, paramsRequired: !isPart });
    expect(printDiagnostics(diagnostics, textsOf(pipeline))).toBe('');
    if (isPart) return;
    expect(plan?.root.steps.length).toBeGreaterThan(0);
  });

  test('names the schema in its first line', () => {
    const schema = /^# yaml-language-server: \$schema=(\S+)/.exec(text)?.[1] ?? '';
    expect(relative(root, resolve(root, dirname(file), schema))).toBe(join('schemas', 'pipeline.schema.json'));
  });
});

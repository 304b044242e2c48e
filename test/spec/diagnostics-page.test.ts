/** docs/diagnostics.md tells the truth: each code's example gives what is printed there, and the mended one nothing. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compilePipeline, parsePipeline } from '../../plan/compile.ts';
import { diagnosticCodes, printDiagnostics } from '../../spec/diagnostic.ts';
import { applyFixes } from '../../spec/fixes.ts';
import { folder } from '../plan/compile-text.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/diagnostics.md'), 'utf8');
/** What examples import. */
const part = readFileSync(join(import.meta.dirname, '../../pipelines/examples/parts/fit.yaml'), 'utf8');
const sections = page.split(/^## /m).slice(1);

test('every code has its section, in the order of the code', () => {
  expect(sections.map((section) => section.split('\n')[0])).toEqual(Object.keys(diagnosticCodes));
});

describe.each(sections.map((section) => [section.split('\n')[0]!, section] as const))('%s', (code, section) => {
  const [wrong, printed, mended] = [...section.matchAll(/```\w+\n([\s\S]*?)```/g)].map((block) => block[1]!);

  test('the wrong example gives this code alone, as printed', () => {
    const diagnostics = diagnose(wrong!);
    expect(diagnostics.map((diagnostic) => diagnostic.code)).toEqual([code]);
    expect(`${printDiagnostics(diagnostics, wrong!)}\n`).toBe(printed);
  });

  test('the section begins with what the code stands for', () => {
    const description: string = diagnosticCodes[code as keyof typeof diagnosticCodes];
    expect(section.slice(code.length).trim().startsWith(description.replace(/\.$/, ''))).toBe(true);
  });

  test('where the wrong example has a fix, the fix removes the problem', () => {
    const { text } = applyFixes(wrong!, diagnose(wrong!));
    if (text !== wrong) expect(diagnose(text)).toEqual([]);
    else expect(diagnose(wrong!)[0]!.fix).toBeUndefined();
  });

  test('the mended example has no problem', () => {
    expect(printDiagnostics(diagnose(mended!), mended!)).toBe('');
  });
});

/** A comment in the example may show a command with params. */
function diagnose(text: string) {
  const pipeline = parsePipeline({ file: 'example.yaml', text }, (file) =>
    file === 'parts/fit.yaml' ? { text: part } : { why: 'there is no such file' },
  );
  const folders = Object.entries(pipeline.params).filter(([, param]) => param.type === 'path');
  const given = [...text.matchAll(/-p (\w+)=(\S+)/g)].map(([, name, value]) => [name!, value!]);
  const params = { ...Object.fromEntries(folders.map(([name]) => [name, folder])), ...Object.fromEntries(given) };
  return compilePipeline(pipeline, { params }).diagnostics;
}

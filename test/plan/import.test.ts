/** `pipeline`: a step from another file, its params and outputs, and problems in either file. */

import { describe, expect, test } from 'vitest';
import { compilePipeline, parsePipeline, textsOf } from '../../plan/compile.ts';
import { resolveImport } from '../../plan/imports.ts';
import { findStep } from '../../plan/paths.ts';
import type { ActivityStep, PipelineStep } from '../../plan/types.ts';
import { printDiagnostics } from '../../spec/diagnostic.ts';
import { dedent } from './compile-text.ts';

type Files = { readonly [file: string]: string };

const fit = `
  name: fit
  params:
    dataset: { type: dataset }
    width: { type: number, default: 0.125, maximum: 1 }
    time: { type: duration, default: 1h }
  steps:
    train: { uses: train, timeout: "\${{ params.time }}", with: { dataset: "\${{ params.dataset }}", width: "\${{ params.width }}" } }
  outputs: { model: "\${{ steps.train.model }}", AP: "\${{ steps.train.AP }}" }`;

const main = (step: string, more = '') => `
  name: main
  params: { images: { type: integer, default: 24 } }
  steps:
    data: { uses: synthesize, with: { images: "\${{ params.images }}", imageSize: 64 } }
    fit: ${step}
    ${more}`;

function compile(files: Files, params = {}) {
  const texts = new Map(Object.entries(files).map(([file, text]) => [file, dedent(text)]));
  const read = (file: string) => {
    const text = texts.get(file);
    return text === undefined ? { why: 'there is no such file' } : { text };
  };
  const pipeline = parsePipeline({ file: 'p/main.yaml', text: texts.get('p/main.yaml')! }, read);
  return { pipeline, ...compilePipeline(pipeline, { params }) };
}

/** `fit.yaml:3 CODE`, in the order in which they are shown. */
const problemsOf = (files: Files) =>
  compile(files).diagnostics.map(({ file, line, code }) => `${file}:${line} ${code}`);
const given = 'dataset: "${{ steps.data.dataset }}"';
const both = (step: string, more = ''): Files => ({ 'p/main.yaml': main(step, more), 'p/parts/fit.yaml': fit });

test('the other file is a scope of its own, in which params have their values or come from the run', () => {
  const { plan } = compile(both(`{ pipeline: parts/fit.yaml, with: { ${given}, width: 0.25 } }`));
  const step = findStep(plan!.root, 'fit') as PipelineStep;
  expect(step).toMatchObject({
    type: 'pipeline',
    pipeline: 'fit',
    needs: ['data'],
    params: { dataset: { $: 'steps.data.dataset' } },
    outputs: { model: { $: 'steps.train.model' } },
  });
  expect((findStep(plan!.root, 'fit.train') as ActivityStep).with).toMatchObject({
    dataset: { $: 'params.dataset' },
    width: 0.25,
  });
});

test('what it gives is typed', () => {
  const more =
    'table: { uses: evaluate, with: { models: ["${{ steps.fit.model }}"], dataset: "${{ steps.fit.AP }}" } }';
  expect(problemsOf(both(`{ pipeline: parts/fit.yaml, with: { ${given} } }`, more))).toEqual([
    'p/main.yaml:6 WRONG_ARTIFACT',
  ]);
  const unknown = 'table: { uses: export, with: { model: "${{ steps.fit.modle }}" } }';
  expect(problemsOf(both(`{ pipeline: parts/fit.yaml, with: { ${given} } }`, unknown))).toEqual([
    'p/main.yaml:6 UNKNOWN_OUTPUT',
  ]);
});

describe('params', () => {
  test.each([
    ['that are missing', '{ pipeline: parts/fit.yaml }', 'MISSING_PARAM'],
    ['that there are not', `{ pipeline: parts/fit.yaml, with: { ${given}, widht: 1 } }`, 'UNKNOWN_PARAM'],
    ['out of their range', `{ pipeline: parts/fit.yaml, with: { ${given}, width: 2 } }`, 'INVALID_PARAM'],
    ['of another type', `{ pipeline: parts/fit.yaml, with: { dataset: 3 } }`, 'INVALID_PARAM'],
    [
      'of another artifact',
      '{ pipeline: parts/fit.yaml, with: { dataset: "${{ steps.data.truth }}" } }',
      'INVALID_PARAM',
    ],
  ])('%s are problems of the file that gives them', (_, step, code) => {
    expect(problemsOf(both(step))).toEqual([`p/main.yaml:5 ${code}`]);
  });

  test('that must be known before the run cannot come from a step', () => {
    const other = fit.replace('type: duration, default: 1h', 'type: string, default: 1h');
    const files = {
      'p/main.yaml': main(`{ pipeline: fit.yaml, with: { ${given}, time: "\${{ string(steps.data.images) }}" } }`),
      'p/fit.yaml': other,
    };
    expect(problemsOf(files)).toContain('p/main.yaml:5 UNKNOWN_OUTPUT');
    const legs = {
      ...files,
      'p/main.yaml': main(`{ forEach: [1h], pipeline: fit.yaml, with: { ${given}, time: "\${{ item }}" } }`),
    };
    expect(problemsOf(legs)).toEqual(['p/fit.yaml:7 EXPRESSION_TYPE']);
  });
});

test('problems of the other file are shown in it, once however often it is imported', () => {
  const broken = fit.replace('params.dataset', 'params.datset');
  const files = {
    'p/main.yaml': main(
      `{ matrix: { width: [0.1, 0.2] }, pipeline: ../fit.yaml, with: { ${given} } }`,
      `more: { pipeline: ../fit.yaml, with: { ${given} } }`,
    ),
    'fit.yaml': broken,
  };
  const { pipeline, diagnostics } = compile(files);
  expect(printDiagnostics(diagnostics, textsOf(pipeline))).toBe(
    [
      'fit.yaml:7:85 UNKNOWN_PARAM "train" reads params.datset, but no param is named "datset".',
      '    train: { uses: train, timeout: "${{ params.time }}", with: { dataset: "${{ params.datset }}", width: "${{ params.width }}" } }',
      '                                                                                      ^^^^^^',
      '    Did you mean "dataset"? Params: dataset, width, time.',
    ].join('\n'),
  );
});

test('files that are not there or that import each other are told', () => {
  expect(problemsOf({ 'p/main.yaml': main('{ pipeline: no.yaml }') })).toEqual(['p/main.yaml:5 UNREADABLE_IMPORT']);
  const circle = {
    'p/main.yaml': main('{ pipeline: a.yaml }'),
    'p/a.yaml': main('{ pipeline: b.yaml }'),
    'p/b.yaml': main('{ pipeline: a.yaml }'),
  };
  expect(problemsOf(circle)).toEqual(['p/b.yaml:5 IMPORT_CYCLE']);
  expect(problemsOf({ 'p/main.yaml': main('{ pipeline: main.yaml }') })).toEqual(['p/main.yaml:5 IMPORT_CYCLE']);
});

test('what stands around it is not seen in it', () => {
  const nosy = fit.replace('params.dataset', 'steps.data.dataset');
  const files = { 'p/main.yaml': main(`{ pipeline: fit.yaml, with: { ${given} } }`), 'p/fit.yaml': nosy };
  expect(problemsOf(files)).toEqual(['p/fit.yaml:7 UNKNOWN_STEP']);
});

test('the same plan comes of it wherever the command stands', () => {
  const files = both(`{ pipeline: parts/fit.yaml, with: { ${given} } }`);
  expect(compile(files).planDigest).toMatch(/^[0-9a-f]{64}$/);
  expect(JSON.stringify(compile(files).plan)).not.toContain('.yaml');
});

test('paths are relative to the file that names them', () => {
  expect(resolveImport('p/main.yaml', 'fit.yaml')).toBe('p/fit.yaml');
  expect(resolveImport('p/main.yaml', './a/../fit.yaml')).toBe('p/fit.yaml');
  expect(resolveImport('main.yaml', '../fit.yaml')).toBe('../fit.yaml');
  expect(resolveImport('/p/main.yaml', '../../fit.yaml')).toBe('/../fit.yaml');
  expect(resolveImport('main.yaml', '/x/fit.yaml')).toBe('/x/fit.yaml');
});

describe('finally of the other file', () => {
  const kept = (last: string, outputs = '{ model: "${{ steps.model.model }}" }') => `
  name: kept
  params: { dataset: { type: dataset } }
  steps:
    model: { uses: train, onFailure: fail, with: { dataset: "\${{ params.dataset }}" } }
  finally:
    ${last}
  outputs: ${outputs}`;
  const files = (last: string, outputs?: string): Files => ({
    'p/main.yaml': main(`{ pipeline: parts/kept.yaml, with: { ${given} } }`),
    'p/parts/kept.yaml': kept(last, outputs),
    'p/parts/fit.yaml': fit,
  });

  test('is part of the step, and sees the params, the steps and how these ended', () => {
    const last = 'files: { uses: export, when: "run.state == \'done\'", with: { model: "${{ steps.model.model }}" } }';
    const { plan } = compile(files(last));
    expect(findStep(plan!.root, 'fit')).toMatchObject({
      scope: { steps: [{ id: 'model', onFailure: 'fail' }], finally: [{ id: 'files', onFailure: 'fail', needs: [] }] },
    });
    expect(findStep(plan!.root, 'fit.files')).toMatchObject({ kind: 'export', when: "run.state == 'done'" });
  });

  test('may import files itself, whose steps do not hold either, and see what they are given of the end', () => {
    const last = 'more: { pipeline: fit.yaml, with: { dataset: "${{ params.dataset }}" } }';
    const { plan } = compile(files(last));
    expect(findStep(plan!.root, 'fit.more')).toMatchObject({ type: 'pipeline', onFailure: 'fail' });
    expect(findStep(plan!.root, 'fit.more.train')).toMatchObject({ onFailure: 'fail' });
  });

  test('gives nothing to the outputs, and has its problems in its own file', () => {
    const last = 'files: { uses: export, with: { model: "${{ steps.modle.model }}" } }';
    expect(problemsOf(files(last, '{ files: "${{ steps.files.files }}" }'))).toEqual([
      'p/parts/kept.yaml:6 UNKNOWN_STEP',
      'p/parts/kept.yaml:7 UNKNOWN_STEP',
    ]);
    expect(problemsOf(files('model: { uses: synthesize }'))).toEqual(['p/parts/kept.yaml:6 INVALID_NAME']);
  });
});

/** Which problems are mended mechanically, and which are left because two things can be meant. */

import { describe, expect, test } from 'vitest';
import { applyFixes } from '../../spec/fixes.ts';
import { clearName } from '../../spec/suggest.ts';
import { compileText, dedent } from '../plan/compile-text.ts';

/** The text after one turn of fixes. */
const fixed = (yaml: string) => applyFixes(dedent(yaml), compileText(yaml).diagnostics).text;

const step = (line: string) => `
  name: a
  params: { epochs: { type: integer, default: 3 } }
  steps:
    data: { uses: synthesize }
    model: { uses: train, with: { dataset: "\${{ steps.data.dataset }}", epochs: "\${{ params.epochs }}" } }
    ${line}
`;

describe.each([
  ['a key', 'more: { uses: synthesize, with: { imagse: 20 } }', 'imagse: 20', 'images: 20'],
  ['a key in another spelling', 'more: { uses: synthesize, with: { image_size: 64 } }', 'image_size', 'imageSize'],
  ['a key in quotes', 'more: { uses: synthesize, with: { "Images": 20 } }', '"Images"', 'images'],
  ['a kind', 'more: { uses: synthesise }', 'synthesise', 'synthesize'],
  [
    'a choice',
    'more: { uses: train, with: { dataset: "${{ steps.data.dataset }}", optimizer: Adam } }',
    'Adam',
    'adam',
  ],
  ['a step', 'more: { uses: train, with: { dataset: "${{ steps.dta.dataset }}" } }', 'dta', 'data'],
  [
    'a step in brackets',
    'more: { uses: train, with: { dataset: "${{ steps[\'dta\'].dataset }}" } }',
    "'dta'",
    "'data'",
  ],
  ['a step of needs', 'more: { uses: synthesize, needs: [modle] }', 'modle', 'model'],
  ['an output', 'more: { uses: train, with: { dataset: "${{ steps.data.Dataset }}" } }', 'Dataset', 'dataset'],
  ['a param', 'more: { uses: synthesize, with: { images: "${{ params.epoch }}" } }', 'epoch }', 'epochs }'],
  ['a function', 'more: { uses: synthesize, with: { images: "${{ maks(3, 20) }}" } }', 'maks', null],
  ['a method', 'more: { uses: synthesize, when: "[1].filtre(x, x > 0).size() > 0" }', 'filtre', 'filter'],
  ['one sign for equal', 'more: { uses: synthesize, when: "params.epochs = 3" }', 's = 3', 's == 3'],
  ['three signs for equal', 'more: { uses: synthesize, when: "params.epochs === 3" }', '===', '=='],
  ['three signs for unequal', 'more: { uses: synthesize, when: "params.epochs !== 3" }', '!==', '!='],
  ['a word for an operator', 'more: { uses: synthesize, when: "params.epochs > 3 and true" }', 'and', '&&'],
  ['a number in quotes', 'more: { uses: synthesize, with: { images: "20" } }', '"20"', '20'],
  [
    'a truth value as a word',
    'more: { uses: import-dataset, with: { source: "${{ steps.data.dataset }}", split: { keep: yes } } }',
    'yes',
    'true',
  ],
  ['text without quotes', 'more: { uses: report, with: { tables: [], title: 2024 } }', '2024', '"2024"'],
  ['a name that nothing reads', 'my-data: { uses: synthesize }', 'my-data', 'myData'],
  [
    'a step without its output',
    'more: { uses: train, with: { dataset: "${{ steps.data }}" } }',
    'steps.data ',
    'steps.data.dataset ',
  ],
  [
    'an expression without quotes',
    'more: { uses: train, with: { dataset: ${{ steps.data.dataset }} } }',
    '${{ steps.data.dataset }} }',
    null,
  ],
])('%s', (_, line, from, to) => {
  test('is mended', () => {
    const before = dedent(step(line));
    if (to === null) expect(fixed(step(line))).not.toBe(from === 'maks' ? '' : before);
    else expect(fixed(step(line))).toBe(before.replace(line, line.replace(from, to)));
  });
});

test.each([
  ['a key whose right form is there', 'more: { uses: synthesize, with: { imagse: 20, images: 20 } }'],
  ['an output of another kind', 'more: { uses: train, with: { dataset: "${{ steps.data.truth }}" } }'],
  ['an arrow', 'more: { uses: synthesize, when: "params.epochs => 3" }'],
  ['an argument by name', 'more: { uses: synthesize, when: "size(x = 3) > 1" }'],
  ['an equal without its other side', 'more: { uses: synthesize, when: "params.epochs =" }'],
  ['a number with a unit', 'more: { uses: synthesize, with: { images: "20 images" } }'],
  ['a number that quotes would change', 'more: { uses: synthesize, with: { images: "007" } }'],
  ['a duration without a unit', 'more: { uses: synthesize, timeout: 30 }'],
  ['a name that something reads', 'my-data: { uses: synthesize }\n    more: { uses: synthesize, needs: [my-data] }'],
  ['text around an expression', 'more: { uses: report, with: { tables: [], title: a ${{ params.epochs }} } }'],
])('%s is left', (_, line) => {
  const before = step(line);
  expect(compileText(before).diagnostics.length).toBeGreaterThan(0);
  const text = fixed(before);
  expect(text).toBe(dedent(before));
});

test.each([
  ['batch_size', ['batchSize', 'batch'], 'batchSize'],
  ['trian', ['train', 'trial'], null],
  ['trai', ['train', 'trail'], null],
  ['Model', ['model', 'models'], 'model'],
  ['zzz', ['model'], null],
])('of %s among %s, %s is meant', (word, names, name) => {
  expect(clearName(word, names)).toBe(name);
});

test('a default with quotes that it should not have is mended', () => {
  const yaml =
    'name: a\nparams: { n: { type: integer, default: "20" } }\nsteps: { data: { uses: synthesize, with: { images: "${{ params.n }}" } } }';
  expect(fixed(yaml)).toContain('default: 20 }');
});

test.each([
  ['params.epochs = 3', 'Unexpected "=".', 'Equal is written ==, unequal !=.'],
  ['params.epochs => 3', 'Unexpected "=".', 'At least is written >=; a condition ? one value : another.'],
  ['not has(steps.data.dataset)', 'Unexpected "has".', '"not" is written !, as in !has(steps.review.dataset).'],
  ['params.epochs <> 3', 'Unexpected token: gt.', 'Unequal is written !=.'],
  ['true or false', 'Unexpected "or".', '"or" is written ||.'],
])('%s is told with what CEL has in its place', (source, message, hint) => {
  const { diagnostics } = compileText(step(`more: { uses: synthesize, when: "${source}" }`));
  const found = diagnostics.find(({ code }) => code === 'EXPRESSION_SYNTAX');
  expect([found?.message, found?.hint]).toEqual([message, hint]);
});

/** YAML of every kind of wrong, and the places of what is right. */

import { describe, expect, test } from 'vitest';
import { parseYaml } from '../../spec/parse.ts';
import { placeInScalar } from '../../spec/scalar-place.ts';

const parse = (text: string) => parseYaml({ file: 'test.yaml', text });

/** Code and underlined text. */
const problemsIn = (text: string) =>
  parse(text).problems.map(({ code, range }) => `${code} ${text.slice(range.start, range.end)}`);

describe('sound text', () => {
  test.each([
    ['BOM and CRLF', '\uFEFFa: 1\r\nb: "x"\r\n', { a: 1, b: 'x' }],
    ['anchors and aliases', 'a: &x { b: 1 }\nc: *x\nd: [*x]\n', { a: { b: 1 }, c: { b: 1 }, d: [{ b: 1 }] }],
    ['an anchor that is named anew', 'a: &x 1\nb: *x\nc: &x 2\nd: *x\n', { a: 1, b: 1, c: 2, d: 2 }],
    [
      'a merge key, under which what is written wins',
      'a: &x { b: 1, c: 2 }\nd: { c: 3, <<: *x }\n',
      { a: { b: 1, c: 2 }, d: { c: 3, b: 1 } },
    ],
    [
      'merge keys of several and of merged ones',
      'a: &x { b: 1 }\nc: &y { <<: *x, d: 2 }\ne: { <<: [*y, { b: 5, f: 6 }] }\n',
      { a: { b: 1 }, c: { d: 2, b: 1 }, e: { d: 2, b: 1, f: 6 } },
    ],
    ['a merge key in quotes is a key', 'a: { "<<": 1 }\n', { a: { '<<': 1 } }],
    [
      'a key that JavaScript treats in its own way',
      '__proto__: { a: 1 }',
      Object.fromEntries([['__proto__', { a: 1 }]]),
    ],
    ['YAML 1.2 words', 'a: yes\nb: true\nc: ~\nd: 0o17\n', { a: 'yes', b: true, c: null, d: 15 }],
  ])('%s', (_, text, value) => {
    const { spec, problems } = parse(text);
    expect(problems).toEqual([]);
    expect(JSON.stringify(spec?.value)).toBe(JSON.stringify(value));
  });

  test('places are found by pointer, for keys and values', () => {
    const text = 'steps:\n  a/b: { "x": [1, two] }\n';
    const { places } = parse(text).spec!;
    const at = (pointer: string) => {
      const { key, value } = places.get(pointer)!;
      return [key && text.slice(key.start, key.end), text.slice(value.start, value.end)];
    };
    expect(at('/steps/a~1b')).toEqual(['a/b', '{ "x": [1, two] }']);
    expect(at('/steps/a~1b/x/1')).toEqual([undefined, 'two']);
  });
});

test('a merged value has its place where it was written', () => {
  const text = 'a: &x { b: 1 }\nc: { <<: *x }\n';
  const { key, value } = parse(text).spec!.places.get('/c/b')!;
  expect([key?.start, value.start]).toEqual([text.indexOf('b: 1'), text.indexOf('1')]);
});

describe('bad text', () => {
  test.each([
    ['', ['YAML_SYNTAX ']],
    ['# only a comment\n', ['YAML_SYNTAX ']],
    ['a: 1\nb: [1, 2\nc: 3\n', ['YAML_SYNTAX c']],
    ['a:\n\tb: 1\n', ['YAML_SYNTAX \t']],
    ['a: 1\n---\nb: 2\n', ['YAML_SYNTAX ']],
    ['a: !secret x\n', ['YAML_SYNTAX !secret']],
    ['a: *nowhere\n', ['YAML_SYNTAX *nowhere']],
    ['a: &x [*x]\n', ['YAML_SYNTAX *x']],
    ['a: { <<: *nowhere }\n', ['YAML_SYNTAX *nowhere']],
    ['a: &x { b: 1, <<: *x }\n', ['YAML_SYNTAX *x']],
    ['a: &x [1]\nb: { <<: *x }\nc: { <<: 3 }\n', ['YAML_SYNTAX *x', 'YAML_SYNTAX 3']],
    ['? [a]\n: 1\n', ['YAML_SYNTAX [a]']],
    ['a: 1\nb: 2\na: 3\n', ['DUPLICATE_KEY a']],
    [
      'a: .nan\nb: 1e999\nc: 12345678901234567890\n',
      ['INVALID_VALUE .nan', 'INVALID_VALUE 1e999', 'INVALID_VALUE 12345678901234567890'],
    ],
  ])('%j', (text, expected) => {
    expect(problemsIn(text)).toEqual(expected);
  });

  test('an expression without quotes inside braces comes with the remedy', () => {
    const { problems } = parse('with: { model: ${{ steps.a.model }} }\n');
    expect(problems[0]?.hint).toBe('Inside { } and [ ], put an expression in quotes: "${{ ... }}".');
  });

  test.each([
    ['a: "x" y\n', 'The value has ended before "y"', 'Put the whole value in quotes'],
    ['when: "a" == b\n', 'The value has ended before "="', 'Put the whole value in quotes'],
    ['title: Cats: a tale\n', 'This value holds ": "', 'Put text that holds ": " in quotes'],
    ['a: { b: 1 c: 2 }\n', 'An entry inside { } or [ ] is followed by another without a comma', 'Separate entries'],
    ['a: { uses: x\nb: { uses: y }\n', 'is not closed here, where "b" is', 'Close { with }'],
    ["a: 'x\nb: 2\n", 'A quote is not closed.', 'Close it with the same sign'],
    ['a: {b: 1}}\n', '"}" closes nothing that is open.', 'open its bracket before'],
    ['a: [,1]\n', 'There is no entry before this comma.', 'Remove the comma'],
    ['a: - b\n', 'A list with "-" begins on the line of its key.', 'Begin it on the next line'],
    ['a:\n  b: 1\n c: 2\n', 'This line is indented otherwise', 'in the same column'],
    ['a:\n  b: 1\n  - 2\n', 'Entries of a list and keys of a mapping are mixed', 'Begin every entry of a list'],
    ['a: 1\nb\n', 'This is neither a key nor a value.', 'Write a key with ": " behind it'],
    ['a: @x\n', 'A value cannot begin with "@" unless', 'Put the value in quotes.'],
    ['a: | x\n  y\n', 'Text stands behind | or >', 'Begin the text on the next line'],
    ['a: "\\q"\n', 'After this \\ comes no letter', 'use single quotes'],
    ['a: &x *y\n', 'An anchor (&name) or an alias (*name)', 'put text that begins with & or * in quotes'],
    ['a: {b: 1}#c\n', 'A comment begins right behind a value.', 'Put a space before the "#".'],
    [`${'k'.repeat(1100)}: 1\n`, 'A key is longer than 1024 characters.', 'Shorten it.'],
    ['a:\n\tb: 1\n', 'Tabs are not allowed as indentation.', 'Indent with spaces'],
    ['when: !has(x)\n', 'is a tag of YAML', 'Put a condition or text that begins with "!" in quotes'],
  ])('%j is told in words for people, with a hint', (text, message, hint) => {
    const [problem] = parse(text).problems;
    expect(problem?.message).toContain(message);
    expect(problem?.message).not.toMatch(/\b(flow|node|token|scalar|implicit|indicator)\b/i);
    expect(problem?.hint).toContain(hint);
  });

  test.each([
    ['nested a little too deep', `${'['.repeat(103)}${']'.repeat(103)}`],
    ['nested beyond the stack', '['.repeat(20_000)],
    ['nested beyond the stack in blocks', '- '.repeat(20_000)],
    ['nested beyond the stack in keys', `a: ${'{ ? '.repeat(20_000)}`],
    ['aliases of aliases of aliases', bomb()],
    ['merges of merges of merges', mergeBomb()],
    ['too long', `a: ${'x'.repeat(8_000_000)}`],
  ])('%s', (_, text) => {
    const started = Date.now();
    expect(parse(text).problems.map(({ code }) => code)).toEqual(['YAML_LIMIT']);
    expect(Date.now() - started).toBeLessThan(20_000);
  });
});

/** Ten lines that stand for 10^12 values. */
function bomb(): string {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let i = 1; i < 12; i++)
    lines.push(
      `a${i}: &a${i} [${Array(10)
        .fill(`*a${i - 1}`)
        .join(', ')}]`,
    );
  return `${lines.join('\n')}\n`;
}

describe('a part of a scalar in the text', () => {
  test.each([
    ['plain', 'a: ${{ steps.x }}\n'],
    ['double quotes', 'a: "${{ steps.x }}"\n'],
    ['escapes before it', 'a: "\\u00e9\\n\\"${{ steps.x }}"\n'],
    ['single quotes', "a: 'it''s ${{ steps.x }}'\n"],
    ['a block', 'a: |\n    text\n    ${{ steps.x }}\n'],
    ['a folded block', 'a: >-\n  some\n  ${{\n  steps.x\n  }}\n'],
    ['a plain scalar of two lines', 'a: ${{ 1 +\n    steps.x }}\n'],
  ])('%s', (_, text) => {
    const { spec } = parse(text);
    const value = (spec!.value as { a: string }).a;
    const start = value.indexOf('steps.x');
    const range = placeInScalar(text, spec!.places.get('/a')!.value, value, { start, end: start + 7 });
    expect(text.slice(range.start, range.end)).toBe('steps.x');
  });
});

/** Each line merges the one before ten times, under names that are there already. */
function mergeBomb(): string {
  const lines = ['a0: &a0 { x: 1 }'];
  for (let i = 1; i <= 12; i++)
    lines.push(
      `a${i}: &a${i} { <<: [${Array(10)
        .fill(`*a${i - 1}`)
        .join(', ')}] }`,
    );
  return lines.join('\n');
}

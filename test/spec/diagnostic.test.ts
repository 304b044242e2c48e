/** Printed forms of diagnostics: frames, order, SARIF. */

import { describe, expect, test } from 'vitest';
import { locateProblems, printDiagnostic } from '../../spec/diagnostic.ts';
import { toSarif } from '../../spec/diagnostic-formats.ts';
import { parseDurationMs } from '../../spec/duration.ts';
import { nearestName } from '../../spec/suggest.ts';

const locate = (text: string, ...ranges: [number, number][]) =>
  locateProblems(
    ranges.map(([start, end]) => ({ code: 'UNKNOWN_STEP' as const, range: { start, end }, message: `At ${start}.` })),
    { file: 'a.yaml', text },
  );

describe('places', () => {
  test('count from 1, in the order of the file, with any line ends', () => {
    const found = locate('ab\r\ncd\ref\n', [8, 9], [4, 6]);
    expect(found.map(({ line, column, endColumn }) => [line, column, endColumn])).toEqual([
      [2, 1, 3],
      [3, 2, 3],
    ]);
  });

  test('the same problem is told once', () => {
    expect(locate('abc', [0, 1], [0, 1])).toHaveLength(1);
  });
});

describe('the code frame', () => {
  test('underlines the place', () => {
    const text = 'steps:\n    model: ${{ steps.trian.model }}\n';
    const [diagnostic] = locate(text, [28, 33]);
    expect(printDiagnostic({ ...diagnostic!, hint: 'Did you mean "train"?' }, text)).toBe(
      [
        'a.yaml:2:22 UNKNOWN_STEP At 28.',
        '    model: ${{ steps.trian.model }}',
        '                     ^^^^^',
        '    Did you mean "train"?',
      ].join('\n'),
    );
  });

  test('shows a part of a long line, tabs as one column, and of a long place its first line', () => {
    const text = `a:\t${'x'.repeat(300)}HERE${'y'.repeat(300)}\nb`;
    const [diagnostic] = locate(text, [303, 307]);
    const [, frame, carets] = printDiagnostic(diagnostic!, text).split('\n');
    expect(frame!.length).toBeLessThan(170);
    expect(frame!.slice(carets!.indexOf('^'), carets!.length)).toBe('HERE');
    const [long] = locate('abc\ndef', [1, 6]);
    expect(printDiagnostic(long!, 'abc\ndef')).toContain('    abc\n     ^^');
  });
});

test('SARIF has a rule for each code and a region for each place', () => {
  const sarif = JSON.parse(JSON.stringify(toSarif(locate('a b', [2, 3]))));
  expect(sarif).toMatchObject({
    version: '2.1.0',
    runs: [
      {
        tool: { driver: { name: 'hardcase', rules: [{ id: 'UNKNOWN_STEP' }] } },
        results: [
          {
            ruleId: 'UNKNOWN_STEP',
            level: 'error',
            locations: [
              {
                physicalLocation: {
                  artifactLocation: { uri: 'a.yaml' },
                  region: { startLine: 1, startColumn: 3, endColumn: 4 },
                },
              },
            ],
          },
        ],
      },
    ],
  });
});

test.each([
  ['trian', 'train'],
  ['Train', 'train'],
  ['confidense', 'confidence'],
  ['zzz', null],
])('%s: %s', (word, name) => {
  expect(nearestName(word, ['data', 'train', 'confidence'])).toBe(name);
});

test.each([
  ['30s', 30_000],
  ['1h30m', 5_400_000],
  ['7d', 604_800_000],
  ['0.5h', 1_800_000],
  ['250ms', 250],
  ['5 days', null],
  ['10', null],
  ['', null],
])('the duration %j has %s ms', (text, ms) => {
  expect(parseDurationMs(text)).toBe(ms);
});

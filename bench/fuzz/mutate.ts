/** Pipeline files as no person would write them: valid ones, mutated by a seed. */

import { createRandom, type Random } from '../../detection/random.ts';

/** The case of a seed: one of the corpus, changed one to eight times. */
export function fuzzCase(seed: number, corpus: readonly string[]): string {
  const random = createRandom(`fuzz ${seed}`);
  // Short files are mutated to more effect in less time, so each second case takes the shorter of two.
  const first = pick(random, corpus);
  const second = pick(random, corpus);
  let text = random.next() < 0.5 || first.length < second.length ? first : second;
  const times = 1 + random.int(8);
  for (let i = 0; i < times; i++) text = pick(random, mutations)(text, random, corpus);
  // Repetition must not make every later case a slow one.
  return text.slice(0, 200_000);
}

type Mutation = (text: string, random: Random, corpus: readonly string[]) => string;

function pick<T>(random: Random, list: readonly T[]): T {
  return list[random.int(list.length)]!;
}

/** Two offsets in order, at most `most` apart. */
function span(text: string, random: Random, most: number): [number, number] {
  const start = random.int(text.length + 1);
  return [start, Math.min(text.length, start + random.int(most + 1))];
}

function replaceSpan(text: string, [start, end]: [number, number], by: string): string {
  return text.slice(0, start) + by + text.slice(end);
}

/** The lines with their ends. */
const linesOf = (text: string): string[] => text.split(/(?<=\n)/);

/** A place of the text that matches, or null. */
function place(text: string, random: Random, pattern: RegExp): [number, number] | null {
  const all = [...text.matchAll(pattern)];
  const match = all.length === 0 ? undefined : pick(random, all);
  return match === undefined ? null : [match.index, match.index + match[0].length];
}

const mutations: readonly Mutation[] = [
  // Characters and spans.
  (text, random) => replaceSpan(text, span(text, random, 1), pick(random, oddities)),
  (text, random) => replaceSpan(text, span(text, random, 40), ''),
  (text, random) => {
    const [start, end] = span(text, random, 80);
    return replaceSpan(text, [end, end], text.slice(start, end));
  },
  (text, random, corpus) => {
    const other = pick(random, corpus);
    const [start, end] = span(other, random, 200);
    return replaceSpan(text, span(text, random, 20), other.slice(start, end));
  },
  // Lines.
  (text, random) => {
    const lines = linesOf(text);
    lines.splice(random.int(lines.length), 1);
    return lines.join('');
  },
  (text, random) => {
    // Also how keys come twice.
    const lines = linesOf(text);
    lines.splice(random.int(lines.length), 0, pick(random, lines));
    return lines.join('');
  },
  (text, random) => {
    const lines = linesOf(text);
    const at = random.int(lines.length);
    lines[at] = pick(random, [' ', '  ', '\t', '    ']) + lines[at];
    return lines.join('');
  },
  (text, random) => {
    const lines = linesOf(text);
    const at = random.int(lines.length);
    lines[at] = lines[at]!.replace(/^ {1,2}/, '');
    return lines.join('');
  },
  // Words: keys, numbers, expressions.
  (text, random) => {
    const at = place(text, random, /[\w-]+(?=:)/g);
    return at === null ? text : replaceSpan(text, at, pick(random, words));
  },
  (text, random) => {
    const at = place(text, random, /[\w.-]+/g);
    return at === null ? text : replaceSpan(text, at, pick(random, [...words, ...values]));
  },
  (text, random) => {
    const at = place(text, random, /[\w.-]+/g);
    return at === null ? text : replaceSpan(text, at, misspelt(text.slice(...at), random));
  },
  (text, random) => {
    const at = place(text, random, /(?<=: )[^\n{[]+/g);
    return at === null ? text : replaceSpan(text, at, pick(random, values));
  },
  (text, random) => {
    const at = place(text, random, /\$\{\{[^}]*\}\}/g) ?? place(text, random, /(?<=: )[\w.]+/g);
    return at === null ? text : replaceSpan(text, at, `\${{ ${expression(random, 4)} }}`);
  },
  (text, random) => {
    const at = place(text, random, /steps\.\w+\.\w+/g);
    return at === null ? text : replaceSpan(text, at, expression(random, 3));
  },
  // The whole file.
  (text) => `\ufeff${text}`,
  (text) => text.replaceAll('\n', '\r\n'),
  (text) => text.replaceAll('\n', '\r'),
  (text, random) => text.replaceAll('  ', pick(random, ['\t', ' ', '   '])),
  (text, random) => replaceSpan(text, span(text, random, 0), bomb(random)),
  (text, random) => replaceSpan(text, span(text, random, 0), deep(random)),
  (text, random) =>
    `${text}\n${pick(random, ['---\n', '...\n', '%YAML 1.1\n---\n', '? ', '- ', 'steps: {}\n'])}${text.slice(0, random.int(300))}`,
];

function misspelt(word: string, random: Random): string {
  const at = random.int(word.length);
  const letter = String.fromCharCode(97 + random.int(26));
  return pick(random, [
    word.slice(0, at) + word.slice(at + 1),
    word.slice(0, at) + letter + word.slice(at),
    word.slice(0, at) + letter + word.slice(at + 1),
    word.toUpperCase(),
    `${word}_${letter}`,
  ]);
}

/** Aliases of aliases, alone or in what they name. */
function bomb(random: Random): string {
  const width = 2 + random.int(12);
  const levels = 1 + random.int(12);
  const lines = ['\nb0: &b0 [x]\n'];
  for (let i = 1; i <= levels; i++) {
    const aliases = Array.from({ length: width }, () => `*b${i - 1}`).join(', ');
    lines.push(random.next() < 0.8 ? `b${i}: &b${i} [${aliases}]\n` : `b${i}: &b${i} { a: *b${i}, <<: *b${i - 1} }\n`);
  }
  return lines.join('');
}

function deep(random: Random): string {
  const levels = 1 + random.int(3000);
  const [open, close] = pick(random, [
    ['[', ']'],
    ['{a: ', '}'],
    ['- ', ''],
    ['? ', ''],
    ['a: &a [', ']'],
    ['${{ (', ') }}'],
    ['"', '"'],
    ['!!map ', ''],
  ]);
  return `${pick(random, ['', 'x: ', '\n'])}${open.repeat(levels)}1${random.next() < 0.7 ? close.repeat(levels) : ''}`;
}

const oddities: readonly string[] = [
  ...[
    '\u0000',
    '\u0007',
    '\u0085',
    '\u2028',
    '\u2029',
    '\ufeff',
    '\u200d',
    '\u202e',
    '\ud800',
    '\udc00',
    '\u00a0',
    '\uffff',
  ],
  ...[
    '\u{1f600}',
    'e\u0301',
    '\u0130',
    '\u017f',
    '\u212a',
    '\t',
    '\r',
    '\r\n',
    '\n\n',
    '\\',
    '\\u',
    '\\x',
    '\\"',
    '%',
    '@',
    '`',
  ],
  ...[
    '"',
    "'",
    '|',
    '>',
    '|+2',
    '>-',
    '#',
    ' #',
    ': ',
    '- ',
    '? ',
    '&a ',
    '*a',
    '*a ',
    '<<: ',
    '!!',
    '!!binary ',
    '!<x> ',
    '---',
    '...',
  ],
  ...['{', '}', '[', ']', ',', '${{', '}}', '${{ }}', '${{ "', "${{ '}}' }}", '$', '\u{1d7d9}'],
];

const words: readonly string[] = [
  ...[
    'steps',
    'with',
    'uses',
    'repeat',
    'next',
    'carry',
    'max',
    'until',
    'when',
    'needs',
    'params',
    'name',
    'retry',
    'timeout',
    'seed',
  ],
  ...[
    'matrix',
    'forEach',
    'approve',
    'activity',
    'pipeline',
    'defaults',
    'finally',
    'onFailure',
    'concurrency',
    'plateau',
    'budget',
    'include',
    'exclude',
  ],
  ...[
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'prototype',
    'length',
    'then',
    '0',
    '1',
    '-1',
    'true',
    'null',
    'in',
    '',
  ],
  ...[
    'data',
    'model',
    'train',
    'mine',
    'review-labels',
    'evaluate',
    'report',
    'synthesize',
    'dataset',
    'select',
    'replay',
    'type',
    'default',
  ],
];

const values: readonly string[] = [
  ...[
    '0',
    '-0',
    '1',
    '-1',
    '1e999',
    '-1e999',
    '1e-999',
    '.inf',
    '-.inf',
    '.nan',
    '0x7fffffff',
    '0o777',
    '1_000',
    '1__0',
    '007',
  ],
  ...[
    '9007199254740991',
    '9007199254740993',
    `1${'0'.repeat(400)}`,
    `0.${'0'.repeat(400)}1`,
    '1.',
    '.5',
    '5e',
    '+',
    '2024-01-01',
    '12:30:45',
  ],
  ...[
    'true',
    'yes',
    'no',
    'on',
    'null',
    '~',
    '""',
    "''",
    '[]',
    '{}',
    '[[]]',
    '{ : }',
    '{ a }',
    '[a, b, a]',
    '- a',
    '!!set {a}',
    '!!float 1',
    '!x y',
  ],
  ...[
    '1d',
    '30s',
    '-1s',
    '1h30',
    `${'9'.repeat(30)}w`,
    '99999999999999d',
    '0s',
    '1e3s',
    '*a',
    '&a 1',
    '"\\ud83d"',
    '"\\x41"',
    "'it''s'",
    '"${{ 1 }}"',
    '${{ 1',
    '}}',
  ],
  ...[
    '"${{ params.x }}"',
    '"${{ steps.data.dataset }}"',
    '"a ${{ 1 + 1 }} b ${{ \'}}\' }}"',
    '|\n    a\n    b',
    '>-\n    ${{ 1 }}\n',
    'a'.repeat(3000),
  ],
];

/** An expression of the language, or nearly. */
function expression(random: Random, depth: number): string {
  const inner = () => expression(random, depth - 1);
  if (depth <= 0 || random.next() < 0.15) return pick(random, atoms);
  return pick(random, [
    () =>
      `${inner()} ${pick(random, ['+', '-', '*', '/', '%', '==', '!=', '<', '<=', '>', '>=', '&&', '||', 'in'])} ${inner()}`,
    () => `(${inner()})`,
    () => `${inner()} ? ${inner()} : ${inner()}`,
    () => `[${inner()}, ${inner()}]`,
    () => `{"a": ${inner()}, "b": ${inner()}}`,
    () =>
      `${pick(random, ['has', 'size', 'int', 'double', 'string', 'min', 'max', 'now', 'random', 'type', 'dyn'])}(${inner()})`,
    () => `${inner()}.${pick(random, ['map', 'filter', 'all', 'exists', 'exists_one'])}(x, ${inner()})`,
    () => `${inner()}.${pick(random, ['contains', 'startsWith', 'endsWith', 'join', 'size', 'matches'])}(${inner()})`,
    () => `${inner()}[${inner()}]`,
    () => `${inner()}.${pick(random, ['model', 'dataset', 'all', 'last', 'AP', 'gain', 'x', 'toString'])}`,
    () => `${pick(random, ['!', '-', '!!', '--'])}${inner()}`,
    () => `${inner()}${'.map(x, [x, x])'.repeat(random.int(40))}`,
    () => `${pick(random, ['(', '[', '-', '!', '1 + '])}`.repeat(random.int(200)) + inner(),
  ])();
}

const atoms: readonly string[] = [
  ...[
    '1',
    '0',
    '-1',
    '0.5',
    '1e308',
    '1e309',
    '9007199254740993',
    '5u',
    '0xff',
    '"a"',
    "'b'",
    '"\\u00e9"',
    '"\\ud800"',
    'b"x"',
    'r"\\"',
    '"""a\nb"""',
    'true',
    'null',
  ],
  ...[
    'steps.data.dataset',
    'steps.data',
    'steps',
    'steps.model.AP',
    'steps.rounds.all',
    'steps.rounds.last.model',
    'steps["data"]',
    'params.rounds',
    'params',
    'carry.model',
  ],
  ...[
    'carry',
    'round.index',
    'round.gain.high',
    'x',
    'in',
    'steps.__proto__',
    'steps.data.constructor',
    '[]',
    '{}',
    '',
    '}}',
    '"}}"',
    'has(steps.data.dataset)',
    'timestamp("2020-01-01T00:00:00Z")',
  ],
];

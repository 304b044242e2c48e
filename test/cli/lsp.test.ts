/** `hardcase lsp`, asked by a real client over standard input and output. */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  CodeActionRequest,
  CompletionRequest,
  DefinitionRequest,
  type Diagnostic,
  DidChangeTextDocumentNotification,
  DidCloseTextDocumentNotification,
  DidOpenTextDocumentNotification,
  DocumentSymbolRequest,
  HoverRequest,
  PrepareRenameRequest,
  type ProtocolConnection,
  PublishDiagnosticsNotification,
  RenameRequest,
  type TextEdit,
} from 'vscode-languageserver/node';
import { loadPipeline } from '../../cli/load-pipeline.ts';
import { dedent } from '../plan/compile-text.ts';
import { type LspClient, openLspClient } from './lsp-client.ts';

const root = join(import.meta.dirname, '../..');
let client: LspClient;
let connection: ProtocolConnection;
const published = new Map<string, { diagnostics: Diagnostic[]; version?: number; times: number }>();
let files = 0;

beforeAll(async () => {
  client = await openLspClient([join(root, 'dist/cli/main.js'), 'lsp', '--stdio'], {}, (opened) =>
    opened.onNotification(PublishDiagnosticsNotification.type, ({ uri, diagnostics, version }) => {
      published.set(uri, { diagnostics, version, times: (published.get(uri)?.times ?? 0) + 1 });
    }),
  );
  connection = client.connection;
  expect(client.server.serverInfo?.name).toBe('hardcase');
});

afterAll(async () => {
  expect(await client.close()).toBe(0);
});

interface Opened {
  readonly uri: string;
  /** Of the cursor, where the text has a `^`. */
  readonly position: { line: number; character: number };
  readonly text: string;
}

/** Opens a text; the sign `‸` in it says where the cursor is. */
async function open(yaml: string): Promise<Opened> {
  const marked = dedent(yaml);
  const offset = Math.max(marked.indexOf('‸'), 0);
  const text = marked.replace('‸', '');
  const uri = `file:///tmp/pipeline-${files++}.yaml`;
  const before = text.slice(0, offset).split('\n');
  await connection.sendNotification(DidOpenTextDocumentNotification.type, {
    textDocument: { uri, languageId: 'yaml', version: 1, text },
  });
  return { uri, text, position: { line: before.length - 1, character: before.at(-1)!.length } };
}

async function diagnosticsOf(uri: string, version: number | null = 1): Promise<Diagnostic[]> {
  const end = Date.now() + 50_000;
  while (!published.has(uri) || (published.get(uri)!.version ?? null) !== version) {
    if (Date.now() > end) throw new Error(`No diagnostics of ${uri} came.`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return published.get(uri)!.diagnostics;
}

async function labelsAt(yaml: string): Promise<string[]> {
  const { uri, position } = await open(yaml);
  const answer = await connection.sendRequest(CompletionRequest.type, { textDocument: { uri }, position });
  const items = Array.isArray(answer) ? answer : (answer?.items ?? []);
  return items.map(({ label }) => label);
}

async function hover(yaml: string): Promise<string> {
  const { uri, position } = await open(yaml);
  const answer = await connection.sendRequest(HoverRequest.type, { textDocument: { uri }, position });
  return (answer?.contents as { value: string } | undefined)?.value ?? '';
}

function applied(text: string, edits: readonly TextEdit[]): string {
  const lines = text.split('\n');
  const offset = ({ line, character }: { line: number; character: number }) =>
    lines.slice(0, line).reduce((sum, each) => sum + each.length + 1, 0) + character;
  return [...edits]
    .sort((a, b) => offset(b.range.start) - offset(a.range.start))
    .reduce(
      (out, { range, newText }) => out.slice(0, offset(range.start)) + newText + out.slice(offset(range.end)),
      text,
    );
}

const loop = (line: string, next = '"${{ steps.train.model }}"') => `
  name: a
  params:
    rounds: { type: integer, default: 2, description: "how often" }
  steps:
    data: { uses: synthesize }
    model:
      uses: train
      with: { dataset: "\${{ steps.data.dataset }}" }
    rounds:
      repeat: { max: "\${{ params.rounds }}", carry: { model: "\${{ steps.model.model }}" } }
      steps:
        mine: { uses: mine, with: { model: "\${{ carry.model }}", dataset: "\${{ steps.data.dataset }}" } }
        train:
          uses: train
          with:
            init: "\${{ carry.model }}"
            dataset: "\${{ steps.data.dataset }}"
            ${line}
      next: { model: ${next} }
`;

describe('diagnostics', () => {
  test('are those of `check`, with places counted from 0, related places and codes', async () => {
    const text = readFileSync(join(root, 'pipelines/hard-cases.yaml'), 'utf8').replace('uses: train', 'uses: trian');
    const { uri } = await open(text);
    const expected = await loadPipeline(join(root, 'pipelines/hard-cases.yaml'), {
      params: [],
      paramsRequired: false,
      digestFolders: false,
    });
    expect(expected.compilation.diagnostics).toEqual([]);
    expect(await diagnosticsOf(uri)).toMatchObject([{ code: 'UNKNOWN_KIND', source: 'hardcase', severity: 1 }]);

    const twice = await open('name: a\nsteps:\n  data: { uses: synthesize }\n  data: { uses: synthesize }\n');
    expect(await diagnosticsOf(twice.uri)).toMatchObject([
      {
        code: 'DUPLICATE_KEY',
        range: { start: { line: 3, character: 2 }, end: { line: 3, character: 6 } },
        relatedInformation: [{ location: { uri: twice.uri, range: { start: { line: 2, character: 2 } } } }],
      },
    ]);
  });

  test('follow what is typed, once after a pause, and go with the file', async () => {
    const { uri } = await open('name: a\nsteps: { data: { uses: synthesize } }\n');
    expect(await diagnosticsOf(uri)).toEqual([]);
    const times = published.get(uri)!.times;
    for (let version = 2; version <= 8; version++) {
      await connection.sendNotification(DidChangeTextDocumentNotification.type, {
        textDocument: { uri, version },
        contentChanges: [{ range: { start: { line: 1, character: 23 }, end: { line: 1, character: 23 } }, text: 'x' }],
      });
    }
    const [wrong] = await diagnosticsOf(uri, 8);
    expect(wrong?.message).toContain('"xxxxxxxsynthesize"');
    expect(published.get(uri)!.times).toBeLessThanOrEqual(times + 2);
    await connection.sendNotification(DidCloseTextDocumentNotification.type, { textDocument: { uri } });
    // Of a closed file there are none, and no version.
    expect(await diagnosticsOf(uri, null)).toEqual([]);
  });
});

describe('completion', () => {
  test.each([
    ['of the kinds of steps', 'name: a\nsteps:\n  data: { uses: ‸ }\n', ['synthesize', 'train', 'review-labels']],
    ['of the keys of a file', 'name: a\n‸\nsteps: { data: { uses: synthesize } }\n', ['params', 'seed', 'description']],
    [
      'of the keys of a step',
      'name: a\nsteps:\n  data:\n    uses: synthesize\n    ti‸\n',
      ['timeout', 'with', 'needs', 'when'],
    ],
    ['of parameters, without those that are there', loop('epo‸'), ['epochs', 'replay', 'optimizer']],
    ['of parameters in an empty line', loop('‸'), ['epochs', 'select']],
    [
      'of parameters in { }',
      'name: a\nsteps:\n  data: { uses: synthesize, with: { ima‸ } }\n',
      ['images', 'imageSize'],
    ],
    ['of choices', loop('optimizer: ‸'), ['adam', 'momentum']],
    ['of truth values', loop('freezeStatistics: ‸'), ['true', 'false']],
    ['of names in an expression', loop('epochs: "${{ ‸ }}"'), ['steps', 'params', 'carry', 'round', 'min', 'max']],
    ['of steps, those outside too', loop('select: "${{ steps.‸ }}"'), ['data', 'model', 'mine']],
    ['of outputs', loop('select: "${{ steps.mine.‸ }}"'), ['hardImages', 'candidates']],
    ['of outputs in an expression without an end', loop('select: "${{ steps.mine.‸'), ['hardImages', 'candidates']],
    ['of params', loop('epochs: ${{ params.‸ }}'), ['rounds']],
    ['of carried values', loop('init2: "${{ carry.‸ }}"'), ['model']],
    ['of a round', loop('epochs: "${{ round.‸ }}"'), ['index', 'gain']],
    [
      'of the values of a loop',
      `${loop('epochs: 3')}    last: { uses: detect, with: { dataset: "\${{ steps.data.dataset }}", model: "\${{ steps.rounds.‸ }}" } }`,
      ['all', 'last', 'rounds'],
    ],
    [
      'of methods of a list',
      `${loop('epochs: 3')}    m: { uses: merge, with: { models: "\${{ steps.rounds.all.‸ }}" } }`,
      ['map', 'filter', 'size'],
    ],
    [
      'of an entry inside of map',
      `${loop('epochs: 3')}    m: { uses: merge, with: { models: "\${{ steps.rounds.all.map(r, r.‸) }}" } }`,
      ['model'],
    ],
    [
      'of a bare condition',
      `${loop('epochs: 3')}    m: { uses: detect, when: steps.model.‸, with: { } }`,
      ['AP', 'model'],
    ],
    [
      'of axes of a matrix',
      'name: a\nsteps:\n  data: { uses: synthesize }\n  tune:\n    matrix: { width: [0.1, 0.2] }\n    uses: train\n    with: { dataset: "${{ steps.data.dataset }}", width: "${{ matrix.‸ }}" }\n',
      ['width'],
    ],
    [
      'of steps to wait for',
      'name: a\nsteps:\n  data: { uses: synthesize }\n  more: { uses: synthesize, needs: [‸] }\n',
      ['data'],
    ],
  ])('%s', async (_, yaml, expected) => {
    const labels = await labelsAt(yaml);
    expect(labels).toEqual(expect.arrayContaining([...expected]));
  });

  test('offers neither what is there nor what has no place', async () => {
    expect(await labelsAt(loop('‸'))).not.toContain('init');
    expect(await labelsAt(loop('select: "${{ steps.mine.‸ }}"'))).not.toContain('model');
    expect(await labelsAt('name: a\nsteps:\n  more: { uses: synthesize, needs: [‸] }\n')).not.toContain('more');
  });

  test('of what stands in a place with types and docs', async () => {
    const { uri, position } = await open(loop('select: "${{ steps.mine.‸ }}"'));
    const answer = await connection.sendRequest(CompletionRequest.type, { textDocument: { uri }, position });
    const items = Array.isArray(answer) ? answer : (answer?.items ?? []);
    expect(items.find(({ label }) => label === 'hardImages')?.detail).toBe('a selection');
  });
});

describe('hover', () => {
  test.each([
    ['a parameter', loop('epo‸chs: 3'), ['epochs', 'Default: `30`']],
    [
      'a kind',
      loop('epochs: 3').replace('uses: synthesize', 'uses: synth‸esize'),
      ['synthesize', '`planted`: planted errors'],
    ],
    ['a param', loop('epochs: ${{ params.rou‸nds }}'), ['integer, default 2', 'how often']],
    ['an output', loop('select: "${{ steps.mine.hard‸Images }}"'), ['`steps.mine.hardImages`: a selection']],
    ['a step', loop('select: "${{ steps.mi‸ne.hardImages }}"'), ['A step of the kind mine', '`hardShare`: a number']],
  ])('of %s', async (_, yaml, expected) => {
    const words = await hover(yaml);
    for (const word of expected) expect(words).toContain(word);
  });
});

describe('names', () => {
  const definition = async (yaml: string) => {
    const { uri, position, text } = await open(yaml);
    const answer = await connection.sendRequest(DefinitionRequest.type, { textDocument: { uri }, position });
    if (answer === null || Array.isArray(answer)) return null;
    const { start, end } = answer.range;
    return `${start.line}: ${text.split('\n')[start.line]!.slice(start.character, end.character)}`;
  };

  test.each([
    ['a step outside of the loop', loop('epochs: "${{ steps.mo‸del.steps }}"'), '5: model'],
    ['a step of the loop', loop('select: "${{ steps.mi‸ne.hardImages }}"'), '11: mine'],
    ['a param', loop('epochs: ${{ params.rou‸nds }}'), '2: rounds'],
    ['a carried value', loop('epochs: 3').replace('carry.model', 'carry.mo‸del'), '9: model'],
    ['what is nothing', loop('epo‸chs: 3'), null],
  ])('definition of %s', async (_, yaml, expected) => {
    expect(await definition(yaml)).toBe(expected);
  });

  test('definition of an imported pipeline is its file', async () => {
    const { uri, position } = await open('name: a\nsteps:\n  fit: { pipeline: parts/f‸it.yaml }\n');
    const answer = await connection.sendRequest(DefinitionRequest.type, { textDocument: { uri }, position });
    expect(answer).toMatchObject({ uri: 'file:///tmp/parts/fit.yaml', range: { start: { line: 0, character: 0 } } });
  });

  const rename = async (yaml: string, newName: string) => {
    const { uri, position, text } = await open(yaml);
    const place = await connection.sendRequest(PrepareRenameRequest.type, { textDocument: { uri }, position });
    expect(place).not.toBeNull();
    const edit = await connection.sendRequest(RenameRequest.type, { textDocument: { uri }, position, newName });
    return applied(text, edit?.changes?.[uri] ?? []);
  };

  test('a step is renamed where it is written, read and needed', async () => {
    const yaml = `${loop('epochs: 3').replace('model:\n', 'mo‸del:\n')}    last: { uses: detect, needs: [model], with: { model: "\${{ steps['model'].model }}", dataset: "\${{ steps.data.dataset }}" } }`;
    const text = await rename(yaml, 'first');
    const expected = dedent(yaml.replace('‸', ''))
      .replace('  model:\n', '  first:\n')
      .replace('steps.model.model', 'steps.first.model')
      .replace('[model]', '[first]')
      .replace("steps['model']", "steps['first']");
    expect(text.replace(/steps\['?first'?\]/, "steps['first']")).toBe(expected);
  });

  test('a name that another scope hides is another one', async () => {
    const yaml = loop('epochs: "${{ steps.train.steps }}"')
      .replace('model:\n      uses', 'train:\n      uses')
      .replace('steps.model.model', 'steps.tr‸ain.model');
    const text = await rename(yaml, 'first');
    expect(text).toContain('  first:\n    uses: train');
    expect(text).toContain('carry: { model: "${{ steps.first.model }}" }');
    // Those of the loop mean its own step.
    expect(text).toContain('next: { model: "${{ steps.train.model }}" }');
  });

  test('a carried value is renamed in `next` and where rounds read it', async () => {
    const text = await rename(loop('epochs: 3').replace('carry: { model', 'carry: { mo‸del'), 'net');
    expect(text).toContain('carry: { net: "${{ steps.model.model }}" }');
    expect(text).toContain('init: "${{ carry.net }}"');
    expect(text).toContain('next: { net: "${{ steps.train.model }}" }');
  });

  test.each([
    ['a taken name', 'data', /taken/],
    ['no name', 'my-model', /cannot be a name/],
    ['a name that an inner step would hide', 'mine', /nearer by/],
  ])('%s is refused', async (_, name, reason) => {
    await expect(rename(loop('epochs: 3').replace('model:\n', 'mo‸del:\n'), name)).rejects.toThrow(reason);
  });
});

test('the outline has params and steps, those of a loop inside of it', async () => {
  const { uri } = await open(loop('epochs: 3'));
  const symbols = await connection.sendRequest(DocumentSymbolRequest.type, { textDocument: { uri } });
  const outline = (list: readonly { name: string; detail?: string; children?: unknown }[]): string[] =>
    list.flatMap(({ name, detail, children }) => [
      `${name} ${detail ?? ''}`.trim(),
      ...outline((children as typeof list | undefined) ?? []).map((line) => `  ${line}`),
    ]);
  expect(outline(symbols as Parameters<typeof outline>[0])).toEqual([
    'params',
    '  rounds integer',
    'steps',
    '  data synthesize',
    '  model train',
    '  rounds repeat',
    '    mine mine',
    '    train train',
  ]);
});

describe('quick fixes', () => {
  const actions = async (yaml: string) => {
    const { uri, position, text } = await open(yaml);
    const diagnostics = await diagnosticsOf(uri);
    const range = { start: position, end: position };
    const found = await connection.sendRequest(CodeActionRequest.type, {
      textDocument: { uri },
      range,
      context: { diagnostics },
    });
    return (found ?? []).flatMap((action) =>
      'edit' in action ? [{ title: action.title, text: applied(text, action.edit?.changes?.[uri] ?? []) }] : [],
    );
  };

  test('write what was meant', async () => {
    const [first] = await actions('name: a\nsteps:\n  data: { uses: synth‸esise }\n');
    expect(first).toEqual({ title: 'Write "synthesize"', text: 'name: a\nsteps:\n  data: { uses: synthesize }\n' });
  });

  test('allow a warning where it stands', async () => {
    const [first] = await actions(
      loop('epochs: 3').replace('data: { uses', 'mo‸re: { uses: synthesize }\n    data: { uses'),
    );
    expect(first?.title).toBe('Allow UNUSED_STEP here');
    expect(first?.text).toContain('  # hardcase: allow UNUSED_STEP\n  more: { uses: synthesize }\n');
  });
});

test('a server whose editor is gone ends, with the status that the protocol has for it', async () => {
  const child = spawn(process.execPath, [join(root, 'dist/cli/main.js'), 'lsp'], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const code = new Promise((resolve) => child.on('close', resolve));
  child.stdin.end();
  expect(await code).toBe(1);
});

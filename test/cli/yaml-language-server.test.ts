/** What an editor with the YAML language server makes of the schemas: the real server, asked over standard input and output. */

import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type CompletionItem,
  CompletionRequest,
  ConfigurationRequest,
  type Diagnostic,
  DidOpenTextDocumentNotification,
  HoverRequest,
  type MarkupContent,
  type ProtocolConnection,
  PublishDiagnosticsNotification,
  RegistrationRequest,
} from 'vscode-languageserver/node';
import { publicKinds } from '../../plan/step-kinds.ts';
import { kindSchema } from '../../spec/schemas.ts';
import { dedent } from '../plan/compile-text.ts';
import { type LspClient, openLspClient } from './lsp-client.ts';

const root = join(import.meta.dirname, '../..');
const schema = pathToFileURL(join(root, 'schemas/pipeline.schema.json')).href;
const published = new Map<string, Diagnostic[]>();
let client: LspClient;
let connection: ProtocolConnection;
let files = 0;

beforeAll(async () => {
  const home = dirname(createRequire(import.meta.url).resolve('yaml-language-server/package.json'));
  const markdown: MarkupContent['kind'][] = ['markdown'];
  const capabilities = {
    workspace: { configuration: true },
    textDocument: {
      completion: { completionItem: { snippetSupport: true, documentationFormat: markdown } },
      hover: { contentFormat: markdown },
    },
  };
  client = await openLspClient([join(home, 'bin/yaml-language-server'), '--stdio'], capabilities, (opened) => {
    // The list of schemas on the web is not asked for: the file's first line says which one holds.
    opened.onRequest(ConfigurationRequest.type, ({ items }) =>
      items.map(({ section }) =>
        section === 'yaml' ? { completion: true, hover: true, validate: true, schemaStore: { enable: false } } : null,
      ),
    );
    opened.onRequest(RegistrationRequest.type, () => undefined);
    opened.onNotification(PublishDiagnosticsNotification.type, ({ uri, diagnostics }) => {
      published.set(uri, diagnostics);
    });
  });
  connection = client.connection;
});

afterAll(async () => {
  expect(await client.close()).toBe(0);
});

/** Opens a pipeline with the schema line; the sign `‸` in it says where the cursor is. */
async function open(yaml: string) {
  const marked = `# yaml-language-server: $schema=${schema}\n${yaml}`;
  const before = marked.split('‸')[0]!.split('\n');
  const uri = `file:///tmp/by-schema-${files++}.yaml`;
  await connection.sendNotification(DidOpenTextDocumentNotification.type, {
    textDocument: { uri, languageId: 'yaml', version: 1, text: marked.replace('‸', '') },
  });
  return { textDocument: { uri }, position: { line: before.length - 1, character: before.at(-1)!.length } };
}

async function completed(yaml: string): Promise<Map<string, string>> {
  const answer = await connection.sendRequest(CompletionRequest.type, await open(dedent(yaml)));
  const items = (Array.isArray(answer) ? answer : (answer?.items ?? [])) as CompletionItem[];
  return new Map(items.map((item) => [item.label, wordsOf(item.documentation)]));
}

async function hovered(yaml: string): Promise<string> {
  const answer = await connection.sendRequest(HoverRequest.type, await open(dedent(yaml)));
  return wordsOf(answer?.contents as MarkupContent | undefined);
}

const wordsOf = (words: string | MarkupContent | undefined): string =>
  typeof words === 'string' ? words : (words?.value ?? '');

async function diagnosticsOf(yaml: string): Promise<string[]> {
  const { textDocument } = await open(yaml);
  const end = Date.now() + 50_000;
  while (!published.has(textDocument.uri)) {
    if (Date.now() > end) throw new Error('The server published no diagnostics within 50 s.');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return published.get(textDocument.uri)!.map(({ range, message }) => `${range.start.line} ${message}`);
}

const step = (...lines: string[]) => ['name: a', 'steps:', '  a:', ...lines.map((line) => `    ${line}`)].join('\n');

describe('completion', () => {
  test.each([
    ['of a step', step('uses: ‸')],
    ['inside of a loop', step('repeat: { max: 3 }', 'steps:', '  b:', '    uses: ‸')],
    ['inside of a matrix', step('matrix: { x: [1] }', 'steps:', '  b:', '    uses: ‸')],
  ])('the kinds %s, each with what it does', async (_, yaml) => {
    const kinds = await completed(yaml);
    expect([...kinds.keys()].sort()).toEqual([...publicKinds].sort());
    for (const [kind, words] of kinds) expect(words).toBe(kindSchema(kind).description);
  });

  test.each(publicKinds)('the parameters of %s, with their docs', async (kind) => {
    const items = await completed(step(`uses: ${kind}`, 'with:', '  ‸'));
    for (const [name, parameter] of Object.entries(kindSchema(kind).properties ?? {})) {
      expect(items.get(name), name).toBe((parameter as { readonly description: string }).description);
    }
  });

  test('parameters that are there already are not offered, nor those of other kinds', async () => {
    const items = await completed(step('uses: train', 'with:', '  dataset: x', '  ‸'));
    expect([items.has('dataset'), items.has('epochs'), items.has('crossFit')]).toEqual([false, true, false]);
  });

  test.each([
    ['a parameter', step('uses: train', 'with:', '  optimizer: ‸'), ['adam', 'momentum']],
    ['a key of every step', step('uses: train', 'onFailure: ‸'), ['continue', 'fail', 'hold']],
  ])('the choices of %s', async (_, yaml, choices) => {
    expect([...(await completed(yaml)).keys()].sort()).toEqual(choices);
  });
});

describe('hover', () => {
  test.each([
    ['a parameter', step('uses: train', 'with:', '  ep‸ochs: 3'), 'Passes over the training images.'],
    ['a choice', step('uses: train', 'with:', '  optimizer: ad‸am'), 'How gradients change the weights.'],
    ['a key of a loop', step('repeat:', '  m‸ax: 3', 'steps:', '  b: { uses: train }'), 'Largest number of rounds.'],
    ['a kind', step('uses: tr‸ain'), '`train`: Trains a detector, from scratch or from the weights of another.'],
  ])('%s says what it is', async (_, yaml, words) => {
    expect(await hovered(yaml)).toContain(words);
  });
});

describe('problems', () => {
  const shipped = ['pipelines', 'pipelines/examples'].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith('.yaml') && !name.endsWith('.test.yaml'))
      .map((name) => `${folder}/${name}`),
  );

  test.each(shipped)('%s has none', async (file) => {
    const text = readFileSync(join(root, file), 'utf8').replace(/^# yaml-language-server:.*\n/m, '');
    expect(await diagnosticsOf(text)).toEqual([]);
  });

  test('a mistyped kind, a mistyped parameter and a missing input are underlined', async () => {
    const problems = await diagnosticsOf(`${step('uses: trian')}\n  b:\n    uses: train\n    with:\n      epochz: 3\n`);
    expect(problems.map((problem) => problem.replace(/ Valid values: .*/, '')).sort()).toEqual([
      '4 Value is not accepted.',
      '7 Missing property "dataset".',
      '8 Property epochz is not allowed.',
    ]);
  });
});

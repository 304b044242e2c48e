/** `hardcase lsp`: the language server of pipeline files, on standard input and output. */

import { fileURLToPath, pathToFileURL } from 'node:url';
import {
  type CodeAction,
  CodeActionKind,
  type Connection,
  DiagnosticSeverity,
  DiagnosticTag,
  type Diagnostic as EditorDiagnostic,
  ErrorCodes,
  type InitializeResult,
  ResponseError,
  TextDocumentSyncKind,
  TextDocuments,
  type TextEdit,
} from 'vscode-languageserver';
import { createConnection } from 'vscode-languageserver/node';
import { TextDocument } from 'vscode-languageserver-textdocument';
import type { Diagnostic, Place } from '../../spec/diagnostic.ts';
import type { Range } from '../../spec/types.ts';
import { type Analysis, analyse, importAt, targetAt } from './analysis.ts';
import { complete } from './completion.ts';
import { hoverAt } from './hover.ts';
import { renamable, renameAt } from './rename.ts';
import { symbolsOf } from './symbols.ts';

/** A person who types makes ten changes a second; a check waits for this pause. */
const pauseMs = 150;

/** Serves until the editor says `exit` or closes the pipe. */
export async function serve(): Promise<void> {
  const connection = createConnection(process.stdin, process.stdout);
  const server = new PipelineServer(connection);
  server.listen();
  await new Promise<void>((resolve) => connection.onExit(resolve));
}

class PipelineServer {
  readonly #connection: Connection;
  readonly #documents = new TextDocuments(TextDocument);
  readonly #waiting = new Map<string, NodeJS.Timeout>();
  /** The last analysis of each open file. */
  readonly #analyses = new Map<string, { readonly version: number; readonly analysis: Promise<Analysis> }>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  listen(): void {
    const connection = this.#connection;
    connection.onInitialize(() => capabilities);
    this.#documents.onDidChangeContent(({ document }) => this.#checkSoon(document));
    this.#documents.onDidClose(({ document }) => {
      clearTimeout(this.#waiting.get(document.uri));
      this.#waiting.delete(document.uri);
      this.#analyses.delete(document.uri);
      connection.sendDiagnostics({ uri: document.uri, diagnostics: [] });
    });
    connection.onCompletion(async ({ textDocument, position }) => {
      const document = this.#documents.get(textDocument.uri);
      if (document === undefined) return null;
      return await complete(fileOf(document.uri), document.getText(), document.offsetAt(position));
    });
    connection.onHover(async ({ textDocument, position }) => {
      const known = await this.#known(textDocument.uri);
      const hover = known && hoverAt(known.analysis, known.document.offsetAt(position));
      if (!known || !hover) return null;
      return { contents: { kind: 'markdown', value: hover.markdown }, range: rangeIn(known.document, hover.range) };
    });
    connection.onDefinition(async ({ textDocument, position }) => {
      const known = await this.#known(textDocument.uri);
      const imported = known && importAt(known.analysis, known.document.offsetAt(position));
      if (imported) return { uri: pathToFileURL(imported).href, range: startOfFile };
      const found = known && targetAt(known.analysis, known.document.offsetAt(position));
      const key = found && known.analysis.pipeline.parsed?.places.get(found.target)?.key;
      return key ? { uri: textDocument.uri, range: rangeIn(known.document, key) } : null;
    });
    connection.onPrepareRename(async ({ textDocument, position }) => {
      const known = await this.#known(textDocument.uri);
      const range = known && renamable(known.analysis, known.document.offsetAt(position));
      return known && range ? rangeIn(known.document, range) : null;
    });
    connection.onRenameRequest(async ({ textDocument, position, newName }) => {
      const known = await this.#known(textDocument.uri);
      if (!known) return null;
      const renaming = renameAt(known.analysis, known.document.offsetAt(position), newName);
      if ('refused' in renaming) throw new ResponseError(ErrorCodes.InvalidRequest, renaming.refused);
      const edits = renaming.places.map((place) => ({ range: rangeIn(known.document, place), newText: newName }));
      return { changes: { [textDocument.uri]: edits } };
    });
    connection.onDocumentSymbol(async ({ textDocument }) => {
      const known = await this.#known(textDocument.uri);
      const parsed = known?.analysis.pipeline.parsed;
      return parsed === undefined || !known ? null : symbolsOf(parsed, (range) => rangeIn(known.document, range));
    });
    connection.onCodeAction(async ({ textDocument, range, context }) => {
      const known = await this.#known(textDocument.uri);
      if (!known) return null;
      const { document, analysis } = known;
      const shown = ownDiagnostics(analysis).filter((diagnostic) => touches(rangeOfPlace(diagnostic), range));
      return shown.flatMap((diagnostic) => actionsFor(document, diagnostic, context.diagnostics));
    });
    this.#documents.listen(connection);
    connection.listen();
  }

  #checkSoon(document: TextDocument): void {
    clearTimeout(this.#waiting.get(document.uri));
    const timer = setTimeout(() => void this.#check(document.uri), pauseMs);
    this.#waiting.set(document.uri, timer);
  }

  async #check(uri: string): Promise<void> {
    this.#waiting.delete(uri);
    const known = await this.#known(uri);
    // What was typed in the meantime is checked by itself.
    if (!known || this.#documents.get(uri)?.version !== known.document.version) return;
    const diagnostics = ownDiagnostics(known.analysis).map((diagnostic) => editorDiagnostic(uri, diagnostic));
    this.#connection.sendDiagnostics({ uri, version: known.document.version, diagnostics });
  }

  /** The file as it is now, analysed once for each version. */
  async #known(uri: string): Promise<{ document: TextDocument; analysis: Analysis } | null> {
    const document = this.#documents.get(uri);
    if (document === undefined) return null;
    let entry = this.#analyses.get(uri);
    if (entry?.version !== document.version) {
      entry = { version: document.version, analysis: analyse(fileOf(uri), document.getText()) };
      this.#analyses.set(uri, entry);
    }
    // The document object changes with the next keystroke; offsets of the analysis are those of this text.
    const snapshot = TextDocument.create(uri, document.languageId, document.version, document.getText());
    return { document: snapshot, analysis: await entry.analysis };
  }
}

const capabilities: InitializeResult = {
  serverInfo: { name: 'hardcase' },
  capabilities: {
    textDocumentSync: TextDocumentSyncKind.Incremental,
    completionProvider: { triggerCharacters: ['.', ' ', '{', '"'] },
    hoverProvider: true,
    definitionProvider: true,
    renameProvider: { prepareProvider: true },
    documentSymbolProvider: true,
    codeActionProvider: { codeActionKinds: [CodeActionKind.QuickFix] },
  },
};

const startOfFile = { start: { line: 0, character: 0 }, end: { line: 0, character: 0 } };

/** Folders of params are looked for from the file's own; an unsaved file has none. */
function fileOf(uri: string): string {
  try {
    return fileURLToPath(uri);
  } catch {
    return uri;
  }
}

function rangeIn(document: TextDocument, { start, end }: Range): TextEdit['range'] {
  return { start: document.positionAt(start), end: document.positionAt(end) };
}

function rangeOfPlace({ line, column, endLine, endColumn }: Place): TextEdit['range'] {
  return {
    start: { line: line - 1, character: column - 1 },
    end: { line: endLine - 1, character: endColumn - 1 },
  };
}

function touches(a: TextEdit['range'], b: TextEdit['range']): boolean {
  const before = (x: TextEdit['range']['start'], y: TextEdit['range']['start']) =>
    x.line < y.line || (x.line === y.line && x.character < y.character);
  return !before(a.end, b.start) && !before(b.end, a.start);
}

function editorDiagnostic(uri: string, diagnostic: Diagnostic): EditorDiagnostic {
  const { code, message, hint, severity, related = [] } = diagnostic;
  return {
    range: rangeOfPlace(diagnostic),
    severity: severity === 'error' ? DiagnosticSeverity.Error : DiagnosticSeverity.Warning,
    code,
    source: 'hardcase',
    message: hint === null ? message : `${message}\n${hint}`,
    ...(code.startsWith('UNUSED_') ? { tags: [DiagnosticTag.Unnecessary] } : {}),
    relatedInformation: related.map((place) => ({
      location: { uri, range: rangeOfPlace(place) },
      message: place.message,
    })),
  };
}

function actionsFor(document: TextDocument, diagnostic: Diagnostic, shown: readonly EditorDiagnostic[]): CodeAction[] {
  const range = rangeOfPlace(diagnostic);
  const same = shown.filter(
    (each) =>
      each.code === diagnostic.code &&
      each.range.start.line === range.start.line &&
      each.range.start.character === range.start.character,
  );
  const action = (title: string, edits: TextEdit[], isPreferred: boolean): CodeAction => ({
    title,
    kind: CodeActionKind.QuickFix,
    diagnostics: [...same],
    isPreferred,
    edit: { changes: { [document.uri]: edits } },
  });
  const { fix, severity, code, line } = diagnostic;
  if (fix !== undefined) {
    const edits = fix.edits.map((edit) => ({ range: rangeIn(document, edit.range), newText: edit.text }));
    return [action(fix.title, edits, true)];
  }
  if (severity !== 'warning' || code === 'IDLE_ALLOW') return [];
  const start = { line: line - 1, character: 0 };
  const indent = /^\s*/.exec(document.getText().split(/\r\n|\r|\n/)[line - 1] ?? '')![0];
  const comment = `${indent}# hardcase: allow ${code}\n`;
  return [action(`Allow ${code} here`, [{ range: { start, end: start }, newText: comment }], false)];
}

/** Files that this one imports show their problems themselves. */
function ownDiagnostics({ compilation, pipeline }: Analysis): readonly Diagnostic[] {
  return compilation.diagnostics.filter(({ file }) => file === pipeline.source.file);
}

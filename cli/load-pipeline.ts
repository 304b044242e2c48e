/** A pipeline file as `check` and `plan` read it: no store is touched, folders are digested only where asked. */

import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import type { Store } from '../artifacts/store.ts';
import { digestTree, FolderError, ingestTree } from '../artifacts/tree.ts';
import {
  type Compilation,
  type CompileOptions,
  compilePipeline,
  type ParsedPipeline,
  parsePipeline,
  textsOf,
} from '../plan/compile.ts';
import type { ReadFile } from '../plan/imports.ts';
import type { ArtifactRef, RunHeader } from '../plan/types.ts';
import { CommandError, exitCodes } from './output.ts';

type Params = NonNullable<CompileOptions['params']>;

export interface LoadedPipeline {
  readonly text: string;
  /** Of the file and of those that it imports, by path. */
  readonly texts: ReadonlyMap<string, string>;
  readonly pipeline: ParsedPipeline;
  readonly compilation: Compilation;
}

export interface LoadOptions {
  /** `NAME=VALUE`, as -p takes them. */
  readonly params: readonly string[];
  /** Values of params that `params` does not give. */
  readonly known?: Params;
  /** Whether every param must have a value. */
  readonly paramsRequired: boolean;
  /** Whether folders are read to the end for their digests, or only looked for. */
  readonly digestFolders: boolean;
}

export async function loadPipeline(file: string, options: LoadOptions): Promise<LoadedPipeline> {
  return await loadPipelineText(file, await readPipelineFile(file), options);
}

/** The same for a text that an editor holds, which the file may not have yet. */
export async function loadPipelineText(file: string, text: string, options: LoadOptions): Promise<LoadedPipeline> {
  const pipeline = parsePipeline({ file, text }, readImport);
  const params: { [name: string]: Params[string] } = { ...options.known, ...readParamWords(options.params) };
  for (const [name, param] of Object.entries(pipeline.params)) {
    if (param.type !== 'path') continue;
    const folder = params[name] ?? param.default;
    if (typeof folder === 'string') params[name] = await referenceOf(folder, options.digestFolders);
  }
  const { paramsRequired } = options;
  return {
    text,
    texts: textsOf(pipeline),
    pipeline,
    compilation: compilePipeline(pipeline, { params, paramsRequired }),
  };
}

/** A file that is not there is wrong usage, not a fault of a pipeline. */
export async function readPipelineFile(file: string): Promise<string> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = { ENOENT: 'there is no such file', EISDIR: 'it is a folder' }[code ?? ''] ?? message;
    throw new CommandError(`${file} cannot be read: ${why}. Expected a pipeline file (YAML).`, exitCodes.usage, error);
  }
  // An image or an archive would fill the screen with its bytes.
  if (!isUtf8(bytes) || bytes.includes(0)) {
    throw new CommandError(`${file} is no text in UTF-8. Expected a pipeline file (YAML).`, exitCodes.input);
  }
  return bytes.toString('utf8');
}

/** A file that another one names with `pipeline:`. */
export const readImport: ReadFile = (file) => {
  try {
    const bytes = readFileSync(file);
    if (!isUtf8(bytes) || bytes.includes(0)) return { why: 'it is no text in UTF-8' };
    return { text: bytes.toString('utf8') };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { why: { ENOENT: 'there is no such file', EISDIR: 'it is a folder' }[code ?? ''] ?? message };
  }
};

/** The files that a run's pipeline imports, as they were when it began. */
export async function storedImports(store: Store, { imports = {} }: RunHeader): Promise<ReadFile> {
  const texts = new Map<string, string>();
  for (const [file, digest] of Object.entries(imports)) {
    const bytes = await store.getObject(digest);
    if (bytes !== null) texts.set(file, bytes.toString('utf8'));
  }
  return (file) => {
    const text = texts.get(file);
    return text === undefined ? { why: `it is not in ${store.url}` } : { text };
  };
}

/** `-p NAME=VALUE`, one word each. */
export function readParamWords(words: readonly string[]): { readonly [name: string]: string } {
  const entries = words.map((word): [string, string] => {
    const equals = word.indexOf('=');
    if (equals < 1) throw new CommandError(`-p ${word}: expected NAME=VALUE, such as -p rounds=2.`, exitCodes.usage);
    return [word.slice(0, equals), word.slice(equals + 1)];
  });
  return Object.fromEntries(entries);
}

/** Takes a folder into the store, or says why it cannot be read. Faults of the store are no fault of the folder. */
export async function ingestFolder(store: Store, folder: string): Promise<Params[string]> {
  try {
    return await ingestTree(store, folder);
  } catch (error) {
    const { code, message, syscall } = error as NodeJS.ErrnoException;
    if (error instanceof FolderError) return { unreadable: message };
    // Errors of the file system; those of the store have classes of their own.
    if (syscall !== undefined && code !== undefined) return { unreadable: message };
    throw error;
  }
}

/** Any digest will do to check a file; reading gigabytes for it would not. */
const standIn: ArtifactRef = { artifact: 'tree', digest: '0'.repeat(64), bytes: 0 };

async function referenceOf(folder: string, digest: boolean): Promise<Params[string]> {
  try {
    if (!(await stat(folder)).isDirectory()) return { unreadable: `${folder} is no folder.` };
    return digest ? await digestTree(folder) : standIn;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { unreadable: code === 'ENOENT' ? `${folder} does not exist.` : message };
  }
}

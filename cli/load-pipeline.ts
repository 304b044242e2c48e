/** A pipeline file as `check` and `plan` read it: no store is touched, folders are digested only where asked. */

import { readFile, stat } from 'node:fs/promises';
import { digestTree } from '../artifacts/tree.ts';
import {
  type Compilation,
  type CompileOptions,
  compilePipeline,
  type ParsedPipeline,
  parsePipeline,
} from '../plan/compile.ts';
import type { ArtifactRef } from '../plan/types.ts';
import { CommandError, exitCodes } from './output.ts';

type Params = NonNullable<CompileOptions['params']>;

export interface LoadedPipeline {
  readonly text: string;
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
  const text = await readPipelineFile(file);
  const pipeline = parsePipeline({ file, text });
  const params: { [name: string]: Params[string] } = { ...options.known, ...readParamWords(options.params) };
  for (const [name, param] of Object.entries(pipeline.params)) {
    if (param.type !== 'path') continue;
    const folder = params[name] ?? param.default;
    if (typeof folder === 'string') params[name] = await referenceOf(folder, options.digestFolders);
  }
  const { paramsRequired } = options;
  return { text, pipeline, compilation: compilePipeline(pipeline, { params, paramsRequired }) };
}

/** A file that is not there is wrong usage, not a fault of a pipeline. */
export async function readPipelineFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = { ENOENT: 'there is no such file', EISDIR: 'it is a folder' }[code ?? ''] ?? message;
    throw new CommandError(`${file} cannot be read: ${why}. Expected a pipeline file (YAML).`, exitCodes.usage, error);
  }
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

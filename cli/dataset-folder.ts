/** Datasets on the disk: their files and images, and how faults in them are told. */

import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { decodeImage, imageSize } from '../activities/image-files.ts';
import type { DatasetFiles, ImageSize, Problem } from '../detection/formats/types.ts';
import { CommandError, exitCodes, note } from './output.ts';

/** The folder as readers want it. `whole` decodes each image, which finds files that are cut short. */
export class FolderFiles implements DatasetFiles {
  /** SHA-256 of each image that was read, by name. */
  readonly digests = new Map<string, string>();
  readonly #folder: string;
  readonly #names: readonly string[];
  readonly #whole: boolean;

  private constructor(folder: string, names: readonly string[], whole: boolean) {
    this.#folder = folder;
    this.#names = names;
    this.#whole = whole;
  }

  static async open(folder: string, { whole }: { whole: boolean }): Promise<FolderFiles> {
    const info = await stat(folder).catch(() => null);
    if (!info?.isDirectory()) {
      throw new CommandError(
        `${folder} is ${info ? 'a file' : 'not there'}; expected a folder in COCO, Pascal VOC or YOLO layout.`,
        exitCodes.input,
      );
    }
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    const names = entries
      .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
      .map((entry) => join(entry.parentPath, entry.name).slice(join(folder, '/').length).replaceAll('\\', '/'))
      .filter((name) => !name.split('/').some((part) => part.startsWith('.')));
    return new FolderFiles(folder, names.sort(), whole);
  }

  list(): readonly string[] {
    return this.#names;
  }

  async readText(name: string): Promise<string> {
    return await readFile(join(this.#folder, name), 'utf8');
  }

  async imageSize(name: string): Promise<ImageSize> {
    const bytes = await readFile(join(this.#folder, name));
    this.digests.set(name, createHash('sha256').update(bytes).digest('hex'));
    return this.#whole ? await decodeImage(bytes) : await imageSize(bytes);
  }
}

export async function readTextFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new CommandError(`${path} cannot be read: ${reasonOf(error)}.`, exitCodes.input, error);
  }
}

/** All of it or nothing: a file beside the target, then a rename. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}`);
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(temporary, text);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT') return 'it is not there';
  if (code === 'EISDIR') return 'it is a folder';
  if (code === 'EACCES' || code === 'EPERM') return 'access is denied';
  return error instanceof Error ? error.message : String(error);
}

/** `annotations/train.json annotations[3].bbox: Box ...` */
export function problemLine({ file, place, message }: Problem): string {
  const where = [file, place].filter((part) => part !== '').join(' ');
  return where === '' ? message : `${where}: ${message}`;
}

/** So many lines of one kind are read by nobody; --json has them all. */
const SHOWN_LINES = 50;

export function shown(lines: readonly string[]): string[] {
  if (lines.length <= SHOWN_LINES) return [...lines];
  return [...lines.slice(0, SHOWN_LINES), `... and ${lines.length - SHOWN_LINES} more (--json lists all)`];
}

/** Fails with all errors among the problems, if there are any. */
export function refuseProblems(summary: string, problems: readonly Problem[], hint = ''): void {
  const errors = problems.filter(({ severity }) => severity === 'error');
  if (errors.length === 0) return;
  const lines = shown(errors.map(problemLine)).map((line) => `  ${line}`);
  throw new CommandError([summary, ...lines, ...(hint === '' ? [] : [hint])].join('\n'), exitCodes.input);
}

export function showWarnings(problems: readonly Problem[]): void {
  for (const line of shown(problems.filter(({ severity }) => severity === 'warning').map(problemLine))) note(line);
}

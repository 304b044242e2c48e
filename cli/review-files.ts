/** `hardcase review export|import`: a gate's candidates as files for an annotation tool, and the corrected files as decisions. */

import { readdir, readFile, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { loadDataset, readBytes } from '../artifacts/codecs.ts';
import { readGate } from '../artifacts/gate-record.ts';
import type { Store } from '../artifacts/store.ts';
import { type AskedGate, boxesInQuestion, decisionsFromFile, type ToolFile } from '../detection/round-trip/boxes.ts';
import { readCocoBoxes, writeCocoBoxes } from '../detection/round-trip/coco.ts';
import { readCvatBoxes, writeCvatBoxes } from '../detection/round-trip/cvat.ts';
import { readLabelStudioBoxes, writeLabelStudioBoxes } from '../detection/round-trip/label-studio.ts';
import { FileError } from '../detection/round-trip/values.ts';
import { readYoloBoxes, writeYoloBoxes } from '../detection/round-trip/yolo.ts';
import { problemOfOpinion } from '../detection/verdicts.ts';
import { type GateView, readGateView } from '../review/gate-view.ts';
import { openExistingStore } from './connect.ts';
import { findRun } from './find-run.ts';
import { expectNewFolder, makeFolder } from './new-folder.ts';
import { CommandError, type ExitCode, exitCodes, note, ownCommand, print, printJson } from './output.ts';
import type { Settings } from './settings.ts';

const formats = ['coco', 'cvat', 'label-studio', 'yolo'] as const;
type Format = (typeof formats)[number];

/** What a tool is given, by format; YOLO has a file for each image. */
const fileOf = { coco: 'instances.json', cvat: 'annotations.xml', 'label-studio': 'tasks.json' } as const;

export interface ReviewExportOptions {
  readonly format: string;
  readonly out: string;
  /** Also what is decided, as it was decided. */
  readonly all?: boolean;
  readonly json?: boolean;
}

export async function runReviewExport(
  settings: Settings,
  runName: string,
  gatePath: string,
  options: ReviewExportOptions,
): Promise<ExitCode> {
  const { format, out } = options;
  if (!isFormat(format)) {
    throw new CommandError(`--format is "${format}", expected ${formats.join(', ')}.`, exitCodes.usage);
  }
  await expectNewFolder(out);
  const store = await openExistingStore(settings);
  const { run } = (await findRun(store, runName)).header;
  const { asked, view } = await gateOf(store, run, gatePath);
  const leftOut = view.candidates.length - asked.candidates.length;
  const images = boxesInQuestion(asked, options.all);
  const { categories } = asked;
  const files =
    format === 'yolo'
      ? [
          ...writeYoloBoxes(images, categories).map(({ name, text }) => ({ name: `labels/${name}`, text })),
          {
            name: 'data.yaml',
            text: `path: .\ntrain: images\nval: images\nnames:\n${categories.map(({ name }, i) => `  ${i}: ${JSON.stringify(name)}\n`).join('')}`,
          },
        ]
      : [{ name: fileOf[format], text: textOf(format, images, categories, `${run} ${gatePath}`) }];
  const digests = new Map(asked.images.map(({ fileName, digest }) => [fileName, digest]));
  await makeFolder(out, async (folder) => {
    for (const { name, text } of files) await folder.put(name, text);
    for (const { fileName } of images) {
      await folder.put(`images/${fileName}`, await readBytes(store, `image ${fileName}`, digests.get(fileName)!));
    }
  });
  const boxes = images.reduce((sum, image) => sum + image.boxes.length, 0);
  if (options.json) printJson({ run, gate: gatePath, format, out, images: images.length, boxes, leftOut });
  else {
    print(`${out}: ${images.length} images with ${boxes} boxes in question, as ${format}.`);
    if (leftOut > 0)
      print(`  Without ${leftOut} that are asked blind or must be settled: ${ownCommand('review', run)}`);
    print(
      '  Leave a box that is right, move or rename one that is not, delete one that should not be there, and draw what has no label. Then:',
    );
    print(`  ${ownCommand('review', 'import', run, gatePath, format === 'yolo' ? out : join(out, fileOf[format]))}`);
  }
  return exitCodes.done;
}

function textOf(
  format: Exclude<Format, 'yolo'>,
  images: Parameters<typeof writeCocoBoxes>[0],
  categories: Parameters<typeof writeCocoBoxes>[1],
  model: string,
): string {
  if (format === 'coco') return writeCocoBoxes(images, categories);
  return format === 'cvat' ? writeCvatBoxes(images, categories) : writeLabelStudioBoxes(images, model);
}

export interface ReviewImportOptions {
  /** `auto`, or one of the formats. */
  readonly format?: string;
  readonly by?: string;
  /** Tells what would be sent, and sends nothing. */
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export async function runReviewImport(
  settings: Settings,
  runName: string,
  gatePath: string,
  path: string,
  options: ReviewImportOptions,
): Promise<ExitCode> {
  const store = await openExistingStore(settings);
  const { header } = await findRun(store, runName);
  const { asked, view } = await gateOf(store, header.run, gatePath);
  const file = await readToolFile(path, options.format ?? 'auto', asked);
  const orientations = await orientationsOf(store, asked, file);
  const read = decisionsFromFile(asked, path, file, ({ fileName }) => orientations.get(fileName) ?? 1);
  const by = options.by ?? userInfo().username;
  const problems = new Map(
    read.decisions.map((decision) => {
      // A label that is added is about no candidate.
      const standing = view.standings.of(decision.candidateId);
      const problem = standing && problemOfOpinion(standing, decision, by, view.rules.adjudicators);
      return [decision, problem] as const;
    }),
  );
  const conflicts = read.decisions.filter((decision) => ![null, 'repeated'].includes(problems.get(decision)!));
  const toSend = read.decisions.filter((decision) => problems.get(decision) === null);
  if (view.gate.state === 'closed' && toSend.length > 0) {
    throw new CommandError(
      `The gate ${gatePath} of ${header.run} is closed, and takes no more decisions.`,
      exitCodes.input,
    );
  }
  const { sendDecisions } = await import('./send-messages.ts');
  const answer =
    toSend.length === 0 || options.dryRun
      ? { accepted: 0, refused: [], goOn: undefined }
      : await sendDecisions(settings, store, header, gatePath, toSend, { by, shown: view.gate.candidates.digest });
  const refused = [
    ...conflicts.map((decision) => {
      const before = view.decided.get(decision.candidateId);
      const why =
        before === undefined
          ? `is not taken: ${problems.get(decision)}`
          : `was decided otherwise before, by ${before.by}`;
      return { candidateId: decision.candidateId, why };
    }),
    ...answer.refused,
  ];
  if (options.json) {
    printJson({
      run: header.run,
      gate: gatePath,
      images: file.images.length,
      decisions: toSend,
      accepted: answer.accepted,
      refused,
      left: read.left,
      coercions: read.coercions,
    });
  } else {
    listed(read.coercions, ({ place, what, was, became }) => `${place}: ${what}, ${was} became ${became}`);
    listed(read.left, ({ image, place, what }) => `${image} ${place}: ${what}`);
    listed(refused, ({ candidateId, why }) => `${candidateId} ${why}`);
    if (file.images.length === 0) note(`${path} holds no image that a person has been through.`);
    const counts = ['accept', 'reject', 'edit', 'add'].map(
      (verdict) => `${toSend.filter((one) => one.verdict === verdict).length} ${verdict}`,
    );
    print(
      `${file.images.length} images: ${toSend.length} decisions (${counts.join(', ')})${options.dryRun ? ', not sent' : `, ${answer.accepted} accepted (${header.run} ${gatePath}, by ${by})`}.`,
    );
    if (answer.goOn !== undefined) print(`The run goes on with: ${answer.goOn}`);
  }
  return refused.length > 0 ? exitCodes.input : exitCodes.done;
}

function listed<T>(items: readonly T[], line: (item: T) => string): void {
  for (const item of items.slice(0, 20)) note(line(item));
  if (items.length > 20) note(`and ${items.length - 20} more (--json)`);
}

async function gateOf(store: Store, run: string, gatePath: string): Promise<{ asked: AskedGate; view: GateView }> {
  const gate = await readGate(store, run, gatePath);
  if (gate === null) {
    throw new CommandError(
      `No gate "${gatePath}" of ${run} has opened. See "${ownCommand('review', 'list', run)}".`,
      exitCodes.usage,
    );
  }
  const view = await readGateView(store, run, gate);
  const { images, categories } = await loadDataset(store, gate.dataset);
  // What people do not agree on is settled by who sees all opinions, and those no tool can show. The model's box would be the
  // answer to what is asked without it. That they lack in a file says nothing.
  const candidates = view.candidates.filter(
    ({ id }) => view.decided.has(id) || (view.standings.of(id)!.state === 'open' && !view.rules.isBlind(id)),
  );
  const { decided, drawn, labels } = view;
  return { asked: { candidates, decided, images, categories, drawn, labels }, view };
}

async function readToolFile(path: string, format: string, asked: AskedGate): Promise<ToolFile> {
  if (format !== 'auto' && !isFormat(format)) {
    throw new CommandError(`--format is "${format}", expected auto, ${formats.join(', ')}.`, exitCodes.usage);
  }
  const info = await stat(path).catch(() => null);
  if (info === null) throw new CommandError(`${path} is not there.`, exitCodes.input);
  try {
    if (info.isDirectory()) {
      if (format !== 'auto' && format !== 'yolo') throw new FileError(`${path} is a folder; ${format} is one file.`);
      return await readYoloFolder(path, asked);
    }
    const text = (await readFile(path, 'utf8')).replace(/^\uFEFF/, '');
    if (format === 'cvat' || (format === 'auto' && /\.xml$/i.test(path))) return readCvatBoxes(path, text);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw new FileError(`${path} is no JSON: ${(error as Error).message}.`);
    }
    const isTasks = format === 'label-studio' || (format === 'auto' && Array.isArray(value));
    return isTasks ? readLabelStudioBoxes(path, value) : readCocoBoxes(path, value);
  } catch (error) {
    if (error instanceof FileError)
      throw new CommandError(`No decision was sent. ${error.message}`, exitCodes.input, error);
    throw error;
  }
}

/** Every .txt below `labels/` (darknet: `obj_train_data/`), and the categories of data.yaml or obj.names. */
async function readYoloFolder(folder: string, { images, categories }: AskedGate): Promise<ToolFile> {
  const names = await readFile(join(folder, 'obj.names'), 'utf8').then(
    (text) => text.split(/\r?\n/).filter((line) => line.trim() !== ''),
    async () => await yoloNames(folder),
  );
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.txt'))
    .map((entry) => join(entry.parentPath, entry.name).slice(join(folder, '/').length).replaceAll('\\', '/'))
    .filter((name) => /^(labels|obj_[^/]+_data)\//.test(name))
    .sort();
  if (paths.length === 0) throw new FileError(`${folder} has no folder labels/ with text files.`);
  const files = await Promise.all(
    paths.map(async (name) => ({
      name: name.replace(/^[^/]+\//, ''),
      text: await readFile(join(folder, name), 'utf8'),
    })),
  );
  return readYoloBoxes(files, images, names.length > 0 ? names : categories.map(({ name }) => name));
}

async function yoloNames(folder: string): Promise<string[]> {
  const text = await readFile(join(folder, 'data.yaml'), 'utf8').catch(() => null);
  if (text === null) return [];
  const { parse } = await import('yaml');
  const value = parse(text) as { names?: unknown } | null;
  const names = value?.names;
  if (Array.isArray(names)) return names.map(String);
  if (typeof names !== 'object' || names === null) return [];
  const entries = Object.entries(names).sort(([a], [b]) => Number(a) - Number(b));
  if (entries.some(([index], i) => Number(index) !== i)) {
    throw new FileError(
      `${folder}/data.yaml has gaps in its class numbers: ${entries.map(([index]) => index).join(', ')}.`,
    );
  }
  return entries.map(([, name]) => String(name));
}

/** Of images whose sides the tool has exchanged: it read the pixels as stored, without their EXIF rotation. */
async function orientationsOf(store: Store, { images }: AskedGate, file: ToolFile): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const { fileName, width, height } of file.images) {
    const image = images.find((one) => one.fileName === fileName);
    if (image === undefined || width !== image.height || height !== image.width || width === height) continue;
    const { default: sharp } = await import('sharp');
    const { orientation } = await sharp(await readBytes(store, `image ${fileName}`, image.digest)).metadata();
    found.set(fileName, orientation ?? 1);
  }
  return found;
}

function isFormat(name: string): name is Format {
  return (formats as readonly string[]).includes(name);
}

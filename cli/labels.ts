/** `hardcase labels log|diff|blame|merge|export`: the versions of labels, and who changed what. */

import { userInfo } from 'node:os';
import colours from 'picocolors';
import { loadDataset, loadLabels, readBytes, saveDataset } from '../artifacts/codecs.ts';
import { correctionsOf, keepVersion, type LabelVersion, listVersions } from '../artifacts/label-versions.ts';
import type { Store } from '../artifacts/store.ts';
import { DATASET_FORMATS, writeDataset } from '../detection/formats/index.ts';
import type { DatasetFormat } from '../detection/formats/types.ts';
import { diffLabels, type LabelDifference, mergeLabels } from '../detection/label-versions.ts';
import type { Annotation, Box, Labels } from '../detection/types.ts';
import { openExistingStore } from './connect.ts';
import { findRun } from './find-run.ts';
import { expectNewFolder, makeFolder } from './new-folder.ts';
import {
  CommandError,
  type ExitCode,
  exitCodes,
  formatMoment,
  note,
  ownCommand,
  print,
  printJson,
  table,
} from './output.ts';
import type { Settings } from './settings.ts';

interface Json {
  readonly json?: boolean;
}

const short = (digest: string): string => digest.slice(0, 12);
const placeOf = ({ step }: LabelVersion): string => (step === null ? 'labels merge' : `${step.run}:${step.path}`);

const labelsOf = (store: Store, digest: string): Promise<Labels> =>
  loadLabels(store, { artifact: 'labels', digest, bytes: 0 });

export async function runLabelsLog(settings: Settings, runName: string | undefined, options: Json): Promise<ExitCode> {
  const store = await openExistingStore(settings);
  const run = runName === undefined ? undefined : (await findRun(store, runName)).header.run;
  const versions = await listVersions(store, run);
  const entries = await Promise.all(
    versions.map(async (version) => {
      const labels = await labelsOf(store, version.labels);
      const before = labels.parent === null ? null : await labelsOf(store, labels.parent);
      return {
        version,
        labels,
        counts: before === null ? null : countsOf(diffLabels(before.annotations, labels.annotations)),
      };
    }),
  );
  if (options.json) {
    printJson(
      entries.map(({ version, labels, counts }) => ({
        version: version.labels,
        parent: labels.parent,
        author: labels.author,
        note: labels.note,
        step: version.step,
        at: version.at,
        boxes: labels.annotations.length,
        changes: counts,
      })),
    );
    return exitCodes.done;
  }
  if (entries.length === 0) {
    print('There is no label version yet.');
    return exitCodes.done;
  }
  print(
    table([
      ['VERSION', 'PARENT', 'AUTHOR', 'BOXES', 'CHANGES', 'AT', 'MADE BY'].map((head) => colours.dim(head)),
      ...entries.map(({ version, labels, counts }) => [
        short(version.labels),
        labels.parent === null ? '' : short(labels.parent),
        labels.author,
        String(labels.annotations.length),
        counts === null ? '' : countWords(counts),
        version.at === '' ? '' : formatMoment(version.at),
        placeOf(version),
      ]),
    ]),
  );
  return exitCodes.done;
}

export async function runLabelsDiff(
  settings: Settings,
  first: string,
  second: string,
  options: Json & { readonly limit?: number },
): Promise<ExitCode> {
  const store = await openExistingStore(settings);
  const [before, after] = [await findVersion(store, first), await findVersion(store, second)];
  const dataset = await loadDataset(store, after.dataset);
  const differences = diffLabels(
    (await labelsOf(store, before.labels)).annotations,
    (await labelsOf(store, after.labels)).annotations,
  );
  const names = new Map(dataset.categories.map(({ id, name }) => [id, name]));
  const files = new Map(dataset.images.map(({ id, fileName }) => [id, fileName]));
  if (options.json) {
    printJson({
      before: before.labels,
      after: after.labels,
      changes: countsOf(differences),
      differences: differences.map((one) => ({ ...one, image: files.get(one.imageId) })),
    });
    return exitCodes.done;
  }
  print(
    `${short(before.labels)} (${placeOf(before)}) to ${short(after.labels)} (${placeOf(after)}): ${countWords(countsOf(differences)) || 'no difference'}`,
  );
  const words = (annotation: Annotation | undefined): string =>
    annotation === undefined
      ? ''
      : `${names.get(annotation.categoryId) ?? annotation.categoryId} ${boxWords(annotation.box)}`;
  const limit = options.limit ?? 50;
  if (differences.length > 0) {
    print(
      table([
        ['', 'BOX', 'IMAGE', 'WHAT', 'BEFORE', 'AFTER'].map((head) => colours.dim(head)),
        ...differences
          .slice(0, limit)
          .map(({ id, imageId, what, before: was, after: is }) => [
            '',
            id,
            files.get(imageId) ?? String(imageId),
            what,
            words(was),
            words(is),
          ]),
      ]),
    );
  }
  if (differences.length > limit) print(`  and ${differences.length - limit} more (--limit)`);
  return exitCodes.done;
}

export async function runLabelsBlame(
  settings: Settings,
  box: string,
  options: Json & { readonly version?: string },
): Promise<ExitCode> {
  const store = await openExistingStore(settings);
  const versions = await listVersions(store);
  const newest =
    options.version === undefined ? await newestWith(store, versions, box) : await findVersion(store, options.version);
  if (newest === null) {
    throw new CommandError(
      `No label version has a box "${box}". "${ownCommand('labels', 'diff', 'A', 'B')}" and "${ownCommand('review', 'show', 'CANDIDATE')}" show ids of boxes.`,
      exitCodes.usage,
    );
  }
  const known = new Map(versions.map((version) => [version.labels, version]));
  const history: object[] = [];
  const rows: string[][] = [];
  for (let digest: string | null = newest.labels; digest !== null; ) {
    const labels = await labelsOf(store, digest);
    const before: Labels | null = labels.parent === null ? null : await labelsOf(store, labels.parent);
    const only = (all: readonly Annotation[]) => all.filter(({ id }) => id === box);
    const [change] = diffLabels(only(before?.annotations ?? []), only(labels.annotations));
    if (change !== undefined) {
      const version = known.get(digest);
      const corrections = version === undefined ? null : await correctionsOf(store, version);
      const cause = corrections?.changes.find(({ before: was, after: is }) => (was ?? is)?.id === box);
      const decision = corrections?.decisions.find(({ candidateId }) => candidateId === cause?.candidateId);
      const made = version === undefined ? labels.note : placeOf(version);
      history.push({
        version: digest,
        ...change,
        author: labels.author,
        made,
        candidate: cause?.candidateId,
        decision,
      });
      rows.push([
        short(digest),
        change.what,
        change.after === undefined ? '' : boxWords(change.after.box),
        decision === undefined
          ? labels.author
          : `${decision.by}: ${decision.verdict}${decision.reason ? ` (${decision.reason})` : ''}`,
        decision === undefined
          ? version && version.at !== ''
            ? formatMoment(version.at)
            : ''
          : formatMoment(decision.at),
        made,
      ]);
    }
    digest = labels.parent;
  }
  if (options.json) printJson({ box, history });
  else print(table([['VERSION', 'WHAT', 'BOX', 'BY', 'AT', 'MADE BY'].map((head) => colours.dim(head)), ...rows]));
  return exitCodes.done;
}

async function newestWith(store: Store, versions: readonly LabelVersion[], box: string): Promise<LabelVersion | null> {
  // One that had the box once counts too: who removed it is what blame is asked for.
  for (const version of versions.toReversed()) {
    for (let digest: string | null = version.labels; digest !== null; ) {
      const labels: Labels = await labelsOf(store, digest);
      if (labels.annotations.some(({ id }) => id === box)) return version;
      digest = labels.parent;
    }
  }
  return null;
}

export async function runLabelsMerge(
  settings: Settings,
  first: string,
  second: string,
  options: Json & { readonly prefer?: string },
): Promise<ExitCode> {
  const prefer = options.prefer;
  if (prefer !== undefined && prefer !== 'A' && prefer !== 'B') {
    throw new CommandError(
      `--prefer is "${prefer}", expected A (the first version) or B (the second).`,
      exitCodes.usage,
    );
  }
  const store = await openExistingStore(settings);
  const [ours, theirs] = [await findVersion(store, first), await findVersion(store, second)];
  const dataset = await loadDataset(store, ours.dataset);
  const other = await loadDataset(store, theirs.dataset);
  const imagesOf = ({ images }: typeof dataset) => images.map(({ id, digest }) => `${id} ${digest}`).join('\n');
  if (imagesOf(dataset) !== imagesOf(other)) {
    throw new CommandError('The two versions label different images, so they cannot be merged.', exitCodes.input);
  }
  const base = await commonAncestor(store, ours.labels, theirs.labels);
  if (base === null) {
    throw new CommandError(
      'The two versions have no ancestor in common, so nobody can tell what each changed.',
      exitCodes.input,
    );
  }
  const [a, b] = [await labelsOf(store, ours.labels), await labelsOf(store, theirs.labels)];
  const merged = mergeLabels(
    await labelsOf(store, base),
    a,
    b,
    prefer === undefined ? undefined : prefer === 'A' ? 'ours' : 'theirs',
  );
  const { conflicts } = merged;
  if (conflicts.length > 0 && prefer === undefined) {
    if (options.json) printJson({ base, conflicts });
    throw new CommandError(
      `Both versions changed ${conflicts.length} ${conflicts.length === 1 ? 'box' : 'boxes'}, each otherwise: ${conflicts
        .slice(0, 8)
        .map(({ id }) => id)
        .join(', ')}${conflicts.length > 8 ? ', …' : ''}. Say whose counts there: --prefer A or --prefer B.`,
      exitCodes.input,
    );
  }
  const labels: Labels = {
    parent: ours.labels,
    author: 'merge',
    note: `${ours.labels} + ${theirs.labels}`,
    annotations: merged.annotations,
  };
  const saved = await saveDataset(store, { categories: dataset.categories, images: dataset.images, labels });
  const version = (await loadDataset(store, saved)).manifest.labels;
  await keepVersion(store, { labels: version, dataset: saved, by: userInfo().username, at: new Date().toISOString() });
  const result = {
    version,
    base,
    fromA: merged.fromOurs,
    fromB: merged.fromTheirs,
    conflicts: conflicts.length,
    boxes: labels.annotations.length,
  };
  if (options.json) printJson(result);
  else {
    print(
      `${short(version)}: ${result.boxes} boxes, ${result.fromA} changes of ${short(ours.labels)} and ${result.fromB} of ${short(theirs.labels)} since ${short(base)}` +
        `${conflicts.length > 0 ? `, ${conflicts.length} conflicts as in ${prefer}` : ''}`,
    );
    print(`  Write it: ${ownCommand('labels', 'export', short(version), '--format', 'coco', '--out', 'FOLDER')}`);
  }
  return exitCodes.done;
}

async function commonAncestor(store: Store, first: string, second: string): Promise<string | null> {
  const lineage = new Set<string>();
  for (let digest: string | null = first; digest !== null; digest = (await labelsOf(store, digest)).parent)
    lineage.add(digest);
  for (let digest: string | null = second; digest !== null; digest = (await labelsOf(store, digest)).parent) {
    if (lineage.has(digest)) return digest;
  }
  return null;
}

export async function runLabelsExport(
  settings: Settings,
  name: string,
  options: Json & { readonly format: string; readonly out: string },
): Promise<ExitCode> {
  const { format, out } = options;
  if (!(DATASET_FORMATS as readonly string[]).includes(format)) {
    throw new CommandError(`--format is "${format}", expected ${DATASET_FORMATS.join(', ')}.`, exitCodes.usage);
  }
  await expectNewFolder(out);
  const store = await openExistingStore(settings);
  const version = await findVersion(store, name);
  const { categories, images } = await loadDataset(store, version.dataset);
  const { annotations } = await labelsOf(store, version.labels);
  const written = writeDataset({ categories, images, annotations }, format as DatasetFormat);
  const digests = new Map(images.map(({ fileName, digest }) => [fileName, digest]));
  await makeFolder(out, async (folder) => {
    for (const { name: file, text } of written.files) await folder.put(file, text);
    for (const { from, to } of written.images) {
      await folder.put(to, await readBytes(store, `image ${from}`, digests.get(from)!));
    }
  });
  if (options.json) {
    printJson({
      version: version.labels,
      format,
      out,
      images: images.length,
      boxes: annotations.length,
      coercions: written.coercions,
    });
  } else {
    for (const { file, place, what, was, became } of written.coercions.slice(0, 20)) {
      note(`${file} ${place}: ${what}, ${was} became ${became}`);
    }
    if (written.coercions.length > 20) note(`and ${written.coercions.length - 20} more (--json)`);
    print(
      `${out}: version ${short(version.labels)} as ${format}, ${images.length} images, ${annotations.length} boxes`,
    );
  }
  return exitCodes.done;
}

/** By the beginning of its digest, or as RUN:STEP. */
async function findVersion(store: Store, name: string): Promise<LabelVersion> {
  const colon = name.indexOf(':');
  if (colon > 0) {
    const { run } = (await findRun(store, name.slice(0, colon))).header;
    const path = name.slice(colon + 1);
    const { readStepRecord } = await import('../artifacts/run-record.ts');
    const record = await readStepRecord(store, run, path);
    const dataset = record?.outputs?.dataset as LabelVersion['dataset'] | undefined;
    if (dataset?.artifact !== 'dataset') {
      throw new CommandError(
        `${run} has no finished step "${path}" that gives a dataset. List versions: ${ownCommand('labels', 'log', run)}`,
        exitCodes.usage,
      );
    }
    const { labels } = (await loadDataset(store, dataset)).manifest;
    return { labels, dataset, step: { run, path }, at: record?.endedAt ?? '' };
  }
  const versions = await listVersions(store);
  const matching = versions.filter(({ labels }) => labels.startsWith(name));
  if (matching.length === 1) return matching[0]!;
  throw new CommandError(
    matching.length > 1
      ? `"${name}" may be any of ${matching.length} label versions. Give more digits.`
      : `There is no label version "${name}". Give the beginning of its digest, or RUN:STEP such as latest:review. List them: ${ownCommand('labels', 'log')}`,
    exitCodes.usage,
  );
}

function countsOf(differences: readonly LabelDifference[]): { readonly [what: string]: number } {
  const counts: { [what: string]: number } = {};
  for (const { what } of differences) counts[what] = (counts[what] ?? 0) + 1;
  return counts;
}

function countWords(counts: { readonly [what: string]: number }): string {
  return Object.entries(counts)
    .map(([what, count]) => `${count} ${what}`)
    .join(', ');
}

function boxWords(box: Box): string {
  return `[${box.map((edge) => Math.round(edge * 10) / 10).join(', ')}]`;
}

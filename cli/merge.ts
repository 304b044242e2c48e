/** `hardcase merge`: the results files of several models as one. */

import { readCocoResults, writeCocoResults } from '../detection/formats/coco-results.ts';
import { mergeByNms } from '../detection/merge.ts';
import { readTextFile, refuseProblems, writeWhole } from './dataset-folder.ts';
import { CommandError, type ExitCode, exitCodes, print, printJson } from './output.ts';

export interface MergeCommandOptions {
  /** COCO results files. */
  readonly files: readonly string[];
  readonly method: string;
  readonly iou: number;
  readonly out: string;
  readonly json: boolean;
}

export async function runMerge({ files, method, iou, out, json }: MergeCommandOptions): Promise<ExitCode> {
  if (method !== 'nms') throw new CommandError(`--method is "${method}", expected nms.`, exitCodes.usage);
  if (!(iou >= 0 && iou <= 1)) throw new CommandError(`--iou is ${iou}, expected 0 to 1.`, exitCodes.usage);
  if (files.length === 0) throw new CommandError('Name at least one results file.', exitCodes.usage);

  const models = [];
  for (const file of files) models.push({ file, ...readCocoResults(await readTextFile(file), file) });
  refuseProblems(
    'The detections cannot be merged.',
    models.flatMap(({ problems }) => problems),
  );
  const merged = mergeByNms(
    models.map(({ detections }) => detections),
    { iouThreshold: iou },
  );
  await writeWhole(out, writeCocoResults(merged));

  const counts = models.map(({ file, detections }) => ({ file, detections: detections.score.length }));
  if (json) printJson({ out, method, iou, models: counts, detections: merged.score.length });
  else {
    for (const { file, detections } of counts) print(`${file}: ${detections} detections`);
    print(`${out}: ${merged.score.length} detections of ${merged.imageIds.length} images, merged by NMS at IoU ${iou}`);
  }
  return exitCodes.done;
}

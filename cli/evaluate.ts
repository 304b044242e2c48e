/** `hardcase evaluate`: COCO or Pascal VOC figures of a results file, as their own tools print them. */

import { type CocoMetrics, type CocoResult, evaluateCoco, type MetricName } from '../detection/average-precision.ts';
import { readCocoGroundTruth, readCocoResults } from '../detection/formats/coco-results.ts';
import { evaluateVoc, type VocResult } from '../detection/voc-average-precision.ts';
import { readTextFile, refuseProblems, showWarnings } from './dataset-folder.ts';
import { CommandError, type ExitCode, exitCodes, note, print, printJson, table } from './output.ts';

export interface EvaluateOptions {
  /** COCO instances file. */
  readonly groundTruth: string;
  /** COCO results file. */
  readonly detections: string;
  readonly protocol: string;
  /** Of VOC; COCO has its own ten. */
  readonly iou?: number;
  readonly json: boolean;
}

export async function runEvaluate(options: EvaluateOptions): Promise<ExitCode> {
  const { protocol, iou } = options;
  if (protocol !== 'coco' && protocol !== 'voc2007' && protocol !== 'voc2012') {
    throw new CommandError(`--protocol is "${protocol}", expected coco, voc2007 or voc2012.`, exitCodes.usage);
  }
  if (iou !== undefined && protocol === 'coco') {
    throw new CommandError(
      '--iou is for voc2007 and voc2012; COCO averages over IoU 0.50 to 0.95. Leave one of the two options out.',
      exitCodes.usage,
    );
  }
  if (iou !== undefined && !(iou > 0 && iou <= 1)) {
    throw new CommandError(`--iou is ${iou}, expected a number above 0 and up to 1.`, exitCodes.usage);
  }

  const groundTruth = readCocoGroundTruth(await readTextFile(options.groundTruth), options.groundTruth);
  refuseProblems('The ground truth cannot be used.', groundTruth.problems);
  const results = readCocoResults(await readTextFile(options.detections), options.detections, groundTruth);
  refuseProblems('The detections cannot be used.', results.problems);
  showWarnings([...groundTruth.problems, ...results.problems]);
  if (groundTruth.annotations.length === 0) note('The ground truth has no box: every figure is -1.');

  if (protocol === 'coco') {
    const result = evaluateCoco(groundTruth, results.detections);
    if (options.json) printJson(result);
    else printCoco(result);
  } else {
    const rule = protocol === 'voc2007' ? '2007' : '2012';
    const result = evaluateVoc(groundTruth, results.detections, { rule, iou });
    if (options.json) printJson(result);
    else printVoc(result, rule, iou ?? 0.5);
  }
  return exitCodes.done;
}

/** Metric, IoU, area and boxes an image, in pycocotools's order. */
const COCO_LINES: readonly (readonly [MetricName, string, string, number])[] = [
  ['AP', '0.50:0.95', 'all', 100],
  ['AP50', '0.50', 'all', 100],
  ['AP75', '0.75', 'all', 100],
  ['APs', '0.50:0.95', 'small', 100],
  ['APm', '0.50:0.95', 'medium', 100],
  ['APl', '0.50:0.95', 'large', 100],
  ['AR1', '0.50:0.95', 'all', 1],
  ['AR10', '0.50:0.95', 'all', 10],
  ['AR100', '0.50:0.95', 'all', 100],
  ['ARs', '0.50:0.95', 'small', 100],
  ['ARm', '0.50:0.95', 'medium', 100],
  ['ARl', '0.50:0.95', 'large', 100],
];

function printCoco(result: CocoResult): void {
  for (const [name, iou, area, maxDets] of COCO_LINES) {
    const [title, short] = name.startsWith('AP') ? ['Average Precision', '(AP)'] : ['Average Recall', '(AR)'];
    const where = `IoU=${iou.padEnd(9)} | area=${area.padStart(6)} | maxDets=${String(maxDets).padStart(3)}`;
    print(` ${title.padEnd(18)} ${short} @[ ${where} ] = ${result[name].toFixed(3)}`);
  }
  const categories = Object.entries(result.perCategory);
  if (categories.length < 2) return;
  print();
  const row = (name: string, metrics: CocoMetrics) => [
    name,
    ...(['AP', 'AP50', 'AP75', 'AR100'] as const).map((metric) => metrics[metric].toFixed(3)),
  ];
  print(
    table([['category', 'AP', 'AP50', 'AP75', 'AR100'], ...categories.map(([name, metrics]) => row(name, metrics))]),
  );
}

function printVoc(result: VocResult, rule: '2007' | '2012', iou: number): void {
  print(`VOC ${rule} (${rule === '2007' ? '11 points' : 'every point'}), IoU ${iou.toFixed(2)}`);
  for (const [name, { AP }] of Object.entries(result.perCategory)) print(`AP for ${name} = ${AP.toFixed(4)}`);
  print(`Mean AP = ${result.mAP.toFixed(4)}`);
}

/** The estimate of what the rest of a review is worth in AP, against what it turned out to be worth. */

import { CorrectionPreview } from '../../detection/correction-preview.ts';
import { oracleDecisions } from '../../detection/simulated-reviewer.ts';
import type { Annotation, Candidate, Dataset, Decision, Detections } from '../../detection/types.ts';
import { markdownTable } from '../proof/tables.ts';

/** Shares of the candidates that are decided, in their order. */
const DECIDED = [0, 0.1, 0.25, 0.5, 0.75, 0.9] as const;

/** After a share of the decisions: what AP rises by with the rest, as estimated, at most, and in truth; 0..1. */
export interface GainAt {
  readonly decided: number;
  readonly estimated: number;
  readonly high: number | null;
  readonly true: number;
}

/** The reviewer knows the truth and makes no mistakes. */
export async function gainsOf(
  dataset: Dataset,
  truth: readonly Annotation[],
  detections: Detections,
  candidates: readonly Candidate[],
): Promise<GainAt[]> {
  const { categories, images } = dataset;
  const { annotations } = dataset.labels;
  const preview = new CorrectionPreview({ categories, images, annotations, detections, candidates });
  const answers = oracleDecisions(candidates, truth, annotations, { errorRate: 0, seed: 1 });
  const all = new Map(answers.map((decision): [string, Decision] => [decision.candidateId, decision]));
  const atEnd = preview.after(all).AP;
  const gains: GainAt[] = [];
  for (const decided of DECIDED) {
    const first = candidates.slice(0, Math.round(decided * candidates.length));
    const decisions = new Map(first.flatMap(({ id }) => (all.has(id) ? [[id, all.get(id)!] as const] : [])));
    const now = preview.after(decisions).AP;
    const left = (await preview.gainLeft(candidates, decisions))!;
    gains.push({ decided, estimated: left.value, high: left.high, true: atEnd - now });
  }
  return gains;
}

/** In points of AP, means over the repetitions and the two ends of what was left. */
export function describeGains(trials: readonly (readonly GainAt[])[]): string {
  const points = (value: number) => (100 * value).toFixed(2);
  const rows = DECIDED.map((decided, i) => {
    const own = trials.map((gains) => gains[i]!);
    const mean = (values: readonly number[]) => points(values.reduce((sum, value) => sum + value, 0) / values.length);
    const highs = own.flatMap(({ high }) => (high === null ? [] : [high]));
    const left = own.map((gain) => gain.true);
    return [
      `${100 * decided} %`,
      mean(own.map(({ estimated }) => estimated)),
      highs.length === 0 ? '–' : mean(highs),
      mean(left),
      `${points(Math.min(...left))} to ${points(Math.max(...left))}`,
    ];
  });
  return markdownTable(['decided', 'estimated', 'at most', 'true', 'true, least and most'], rows);
}

/** What a chain of models learnt and forgot: for every ground truth, which of them found it. */

import type { Matches } from './match.ts';
import type { Detections } from './types.ts';

/** One ground truth under models 1..n. */
export interface TargetHistory {
  readonly annotationId: string;
  readonly imageId: number;
  /** Score of the detection that found it, one a model; 0 where that model missed it. */
  readonly scores: readonly number[];
}

export type Fate =
  /** Found by every model. */
  | 'kept'
  /** Missed at first, and found from some model on. */
  | 'learnt'
  /** Found by a model and missed by a later one, the last one included. */
  | 'forgotten'
  /** Forgotten in between, and found again by the last model. */
  | 'relearnt'
  /** Missed by every model. */
  | 'never';

/** The targets of the first model's matches, in their order; all matches must be of the same labels. */
export function historiesOf(models: readonly { matches: Matches; detections: Detections }[]): TargetHistory[] {
  const scores = models.map(
    ({ matches, detections }) =>
      new Map(
        matches.images.flatMap(({ found }) =>
          found.map(({ annotation, detection }) => [annotation.id, detections.score[detection]!] as const),
        ),
      ),
  );
  return (models[0]?.matches.images ?? []).flatMap(({ imageId, found, missed }) =>
    [...found.map(({ annotation }) => annotation), ...missed].map(({ id }) => ({
      annotationId: id,
      imageId,
      scores: scores.map((byId) => byId.get(id) ?? 0),
    })),
  );
}

export function fateOf({ scores }: TargetHistory): Fate {
  const found = scores.map((score) => score > 0);
  if (!found.includes(true)) return 'never';
  if (!found.at(-1)) return 'forgotten';
  const sinceFirst = found.slice(found.indexOf(true));
  if (sinceFirst.includes(false)) return 'relearnt';
  return found[0] ? 'kept' : 'learnt';
}

/** What changed from one model to the next. */
export interface Transition {
  /** Counts from 1. */
  readonly from: number;
  readonly to: number;
  /** Missed by all models before, found by `to`. */
  readonly learnt: number;
  /** Found by an earlier model, missed by `from`, found by `to`. */
  readonly relearnt: number;
  /** Found by `from`, missed by `to`. */
  readonly forgotten: number;
  readonly stillFound: number;
  readonly stillMissed: number;
}

export function transitionsOf(histories: readonly TargetHistory[]): Transition[] {
  const models = histories[0]?.scores.length ?? 0;
  return Array.from({ length: Math.max(0, models - 1) }, (_, i): Transition => {
    const tally = { learnt: 0, relearnt: 0, forgotten: 0, stillFound: 0, stillMissed: 0 };
    for (const { scores } of histories) {
      const [before, after] = [scores[i]! > 0, scores[i + 1]! > 0];
      if (before) tally[after ? 'stillFound' : 'forgotten']++;
      else if (!after) tally.stillMissed++;
      else tally[scores.slice(0, i).some((score) => score > 0) ? 'relearnt' : 'learnt']++;
    }
    return { from: i + 1, to: i + 2, ...tally };
  });
}

/** Those that the last model misses, the surer they once were the sooner; `most` at most. */
export function worstForgotten(histories: readonly TargetHistory[], most: number): TargetHistory[] {
  return histories
    .filter((history) => fateOf(history) === 'forgotten')
    .sort((a, b) => Math.max(...b.scores) - Math.max(...a.scores) || (a.annotationId < b.annotationId ? -1 : 1))
    .slice(0, most);
}

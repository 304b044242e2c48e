/** Decisions made earlier that hold for the candidates of a gate, so that nobody is asked twice. */

import { loadLabels } from '../artifacts/codecs.ts';
import { type LedgerEntry, recallDecisions } from '../artifacts/decision-ledger.ts';
import type { RecordedDecision } from '../artifacts/gate-record.ts';
import type { Store } from '../artifacts/store.ts';
import { groupByImage } from '../detection/annotations.ts';
import { iou } from '../detection/box.ts';
import type { DrawnBox } from '../detection/decisions.ts';
import type { Box, Candidate, Category, Dataset } from '../detection/types.ts';

/** Two boxes from this IoU on are one to a reviewer; below it the evidence has changed. */
const sameBoxIou = 0.9;

export interface CarryOverScope {
  readonly categories: readonly Category[];
  /** Digest of the label version that is reviewed. */
  readonly labels: string;
  readonly reviewer: 'human' | 'oracle';
}

/** At most one decision a candidate, the newest that belongs to it. */
export async function carryOver(
  store: Store,
  candidates: readonly Candidate[],
  scope: CarryOverScope,
): Promise<RecordedDecision[]> {
  const ledger = await recallDecisions(
    store,
    candidates.map(({ imageDigest }) => imageDigest),
  );
  if (ledger.size === 0) return [];
  const lineage = scope.reviewer === 'oracle' ? await lineageOf(store, scope.labels) : new Set<string>();
  const holds = ({ simulatedLabels }: LedgerEntry) => {
    // People's answers hold everywhere, and a simulation's never for people: it holds where it made the labels, because
    // a run must not depend on which other simulated runs the store has seen.
    return scope.reviewer === 'human' ? simulatedLabels === undefined : lineage.has(simulatedLabels ?? '');
  };
  const carried: RecordedDecision[] = [];
  for (const candidate of candidates) {
    for (const entry of ledger.get(candidate.imageDigest) ?? []) {
      const decision = holds(entry) ? decisionFor(candidate, entry, scope.categories) : null;
      if (decision === null) continue;
      carried.push(decision);
      break;
    }
  }
  return carried;
}

/**
 * Boxes that people drew in these images, where nobody had asked: they hold as decisions do. Left out are those on a label or a
 * carried candidate, which say it already, and those whose label somebody put right or removed afterwards.
 */
export async function carryOverDrawn(
  store: Store,
  { images, categories, labels }: Pick<Dataset, 'images' | 'categories' | 'labels'>,
  candidates: readonly Candidate[],
  carried: readonly RecordedDecision[],
): Promise<(RecordedDecision & DrawnBox)[]> {
  const ledger = await recallDecisions(
    store,
    images.map(({ digest }) => digest),
  );
  if (ledger.size === 0) return [];
  const labelsOf = groupByImage(labels.annotations);
  const answered = new Set(carried.map(({ candidateId }) => candidateId));
  const places = groupByImage(
    candidates
      .filter(({ id }) => answered.has(id))
      .flatMap(({ id, imageId, detection }) => (detection ? [{ id, imageId, ...detection }] : [])),
  );
  return images.flatMap((image) => {
    const entries = ledger.get(image.digest) ?? [];
    const kept: (RecordedDecision & DrawnBox)[] = [];
    for (const [age, entry] of entries.entries()) {
      const categoryId = categories.find(({ name }) => name === entry.decidedCategory)?.id;
      const { box } = entry.decision;
      if (entry.drawn !== true || categoryId === undefined || box === undefined) continue;
      // Newest first: what is before it was said after it.
      const isJudged = entries.slice(0, age).some(({ annotation }) => annotation && sameBox(annotation.box, box));
      const isThere = [...(labelsOf.get(image.id) ?? []), ...(places.get(image.id) ?? []), ...kept].some(
        (one) => one.categoryId === categoryId && sameBox(one.box, box),
      );
      if (isJudged || isThere) continue;
      const { by, at, shown, gate, run, decision } = entry;
      const { candidateId, reason } = decision;
      const drawn = { candidateId, verdict: 'add' as const, imageId: image.id, box, categoryId, reason };
      kept.push({ ...drawn, batch: `${run} ${gate}`, by, at, shown });
    }
    return kept;
  });
}

/** The label version and all that it was made from. */
async function lineageOf(store: Store, labels: string): Promise<Set<string>> {
  const lineage = new Set<string>();
  for (let digest: string | null = labels; digest !== null; ) {
    lineage.add(digest);
    digest = (await loadLabels(store, { artifact: 'labels', digest, bytes: 0 })).parent;
  }
  return lineage;
}

/** The entry's decision about this candidate; null where the entry is about something else. */
function decisionFor(
  candidate: Candidate,
  entry: LedgerEntry,
  categories: readonly Category[],
): RecordedDecision | null {
  if (candidate.type !== entry.type || categoryOf(candidate, categories) !== entry.category) return null;
  if (!sameLabel(candidate, entry) || !sameBox(candidate.detection?.box, entry.detection?.box)) return null;
  const { decision, by, at, shown, gate, run } = entry;
  const { categoryId: _, ...given } = decision;
  const decided = categories.find(({ name }) => name === entry.decidedCategory)?.id;
  if (entry.decidedCategory !== undefined && decided === undefined) return null;
  return {
    ...given,
    candidateId: candidate.id,
    ...(decided === undefined ? {} : { categoryId: decided }),
    batch: `${run} ${gate}`,
    by,
    at,
    shown,
  };
}

/** Name of the category that a candidate is about: what the detection says, else the label. */
export function categoryOf({ annotation, detection }: Candidate, categories: readonly Category[]): string {
  const id = detection?.categoryId ?? annotation?.categoryId;
  return categories.find((category) => category.id === id)?.name ?? '';
}

function sameLabel({ annotation }: Candidate, { annotation: before }: LedgerEntry): boolean {
  if (annotation === undefined || before === undefined) return annotation === before;
  // Ids of labels are those of their import; a box in the same place is the same label under another id.
  return sameBox(annotation.box, before.box);
}

function sameBox(box: Box | undefined, before: Box | undefined): boolean {
  if (box === undefined || before === undefined) return box === before;
  return iou(box, before) >= sameBoxIou;
}

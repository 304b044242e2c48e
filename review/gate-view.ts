/** A review gate as the record shows it: its candidates with their images, names and decisions. */

import { loadDataset, loadJson } from '../artifacts/codecs.ts';
import {
  type GateRecord,
  listGates,
  type RecordedDecision,
  readDecisions,
  readKnown,
} from '../artifacts/gate-record.ts';
import { readRules } from '../artifacts/gate-rules.ts';
import type { Store } from '../artifacts/store.ts';
import { groupByImage } from '../detection/annotations.ts';
import { hidden } from '../detection/blind.ts';
import { type DrawnBox, drawnAmong } from '../detection/decisions.ts';
import { type GateRules, Standings } from '../detection/standings.ts';
import type { Annotation, Candidate, Category, ImageEntry } from '../detection/types.ts';

export interface GateView {
  readonly run: string;
  readonly gate: GateRecord;
  /** In the order in which they are asked. */
  readonly candidates: readonly Candidate[];
  readonly rules: GateRules;
  readonly standings: Standings<RecordedDecision>;
  /** The decision that counts for each candidate that has one: the first, or what several people agree on. */
  readonly decided: ReadonlyMap<string, RecordedDecision>;
  readonly categories: readonly Category[];
  /** All of the dataset, in order of id. */
  readonly images: readonly ImageEntry[];
  /** Boxes that were drawn where nobody asked, oldest first. */
  readonly drawn: readonly (RecordedDecision & DrawnBox)[];
  image(candidate: Pick<Candidate, 'imageId'>): ImageEntry | undefined;
  /** Those that may be drawn beside a question. */
  labels(imageId: number): readonly Annotation[];
  categoryName(id: number): string;
}

/** The run's gates, in order of opening. */
export async function readGateViews(store: Store, run: string): Promise<GateView[]> {
  const gates = await listGates(store, run);
  return await Promise.all(gates.map((gate) => readGateView(store, run, gate)));
}

/** `before` is an earlier view of the same gate: what it asks never changes, and is not read again. */
export async function readGateView(store: Store, run: string, gate: GateRecord, before?: GateView): Promise<GateView> {
  const decisions = await readDecisions(store, run, gate.path);
  const drawn = firstOfEach(drawnAmong(decisions));
  if (before !== undefined) {
    const standings = new Standings(before.candidates, decisions, before.rules);
    return { ...before, gate, standings, decided: standings.verdicts(), drawn };
  }
  const [candidates, dataset, known, rules] = await Promise.all([
    loadJson(store, 'candidates', gate.candidates),
    loadDataset(store, gate.dataset),
    readKnown(store, gate),
    readRules(store, gate),
  ]);
  const standings = new Standings(candidates, decisions, rules);
  const hidden = new Set(known.map(({ hides }) => hides));
  const images = new Map(dataset.images.map((image) => [image.id, image]));
  const labels = groupByImage(dataset.labels.annotations.filter(({ id }) => !hidden.has(id)));
  const names = new Map(dataset.categories.map(({ id, name }) => [id, name]));
  return {
    run,
    gate,
    candidates,
    rules,
    standings,
    decided: standings.verdicts(),
    drawn,
    categories: dataset.categories,
    images: dataset.images,
    image: (candidate) => images.get(candidate.imageId),
    labels: (imageId) => labels.get(imageId) ?? [],
    categoryName: (id) => names.get(id) ?? String(id),
  };
}

function firstOfEach<T extends { readonly candidateId: string }>(drawn: readonly T[]): T[] {
  const first = new Map<string, T>();
  for (const one of drawn) if (!first.has(one.candidateId)) first.set(one.candidateId, one);
  return [...first.values()];
}

/** As `review list --json` shows a box that was drawn where nobody asked. */
export function drawnJson(view: GateView, drawn: RecordedDecision & DrawnBox): object {
  const { candidateId: id, imageId, categoryId, box, by, at, reason } = drawn;
  return {
    id,
    image: view.image({ imageId })?.fileName ?? String(imageId),
    category: view.categoryName(categoryId),
    box,
    by,
    at,
    reason,
  };
}

/** As `review list --json` shows it. */
export function candidateJson(view: GateView, candidate: Candidate): object {
  const image = view.image(candidate);
  const decision = view.decided.get(candidate.id);
  const standing = view.standings.of(candidate.id)!;
  const isBlind = view.rules.isBlind(candidate.id) || undefined;
  // Once it is decided nothing needs to be hidden.
  const { cluster, iou, detection } = isBlind && decision === undefined ? hidden(candidate) : candidate;
  return {
    id: candidate.id,
    type: candidate.type,
    rank: candidate.rank,
    chance: candidate.chance,
    seconds: candidate.seconds,
    cluster,
    iou,
    blind: isBlind,
    image: image && {
      id: image.id,
      fileName: image.fileName,
      width: image.width,
      height: image.height,
      split: image.split,
      digest: image.digest,
    },
    label: candidate.annotation && {
      id: candidate.annotation.id,
      category: view.categoryName(candidate.annotation.categoryId),
      box: candidate.annotation.box,
    },
    detection: detection && {
      category: view.categoryName(detection.categoryId),
      box: detection.box,
      score: detection.score,
    },
    opinions: standing.wanted === 1 ? undefined : { given: standing.said.length, wanted: standing.wanted },
    // Opinions that differ are shown to who settles them; before that, one is nobody's business but its author's.
    differ: standing.state === 'conflict' ? standing.said.map((one) => decisionJson(view, one)) : undefined,
    decision: decision && decisionJson(view, decision),
  };
}

function decisionJson(view: GateView, { verdict, box, categoryId, by, at, reason }: RecordedDecision): object {
  const category = categoryId === undefined ? undefined : view.categoryName(categoryId);
  return { verdict, box, category, by, at, reason };
}

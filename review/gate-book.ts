/** The gates of a store as the server needs them again and again: read once, and brought up to date when they change. */

import { type GateRecord, listGates, readGate } from '../artifacts/gate-record.ts';
import { listRuns, RUN_ID_PATTERN, readRun } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { viewOf } from '../detection/crop-view.ts';
import type { Candidate, CandidateType, Decision, ImageEntry } from '../detection/types.ts';
import type { CandidateJson, GateJson, GateSummary } from './api.ts';
import { type GateView, readGateView } from './gate-view.ts';

export type TakenDecision = Decision & { readonly by: string; readonly at: string };

export interface GateEntry {
  readonly run: string;
  readonly pipeline: string;
  readonly gate: GateRecord;
  readonly view: GateView;
  readonly byId: ReadonlyMap<string, Candidate>;
  readonly images: ReadonlyMap<number, ImageEntry>;
  /** What counts for each candidate, also where it was taken a moment ago and is not in the record yet. */
  decisionOf(candidateId: string): TakenDecision | undefined;
  summary(): GateSummary;
  json(): GateJson;
  candidate(candidate: Candidate): CandidateJson;
}

export interface GateBook {
  /** Gates of this run, or of all that go on, that wait for people, in order of opening. */
  list(run?: string): Promise<GateSummary[]>;
  /** Null where the run has no such gate, or none that has opened. */
  find(run: string, gate: string): Promise<GateEntry | null>;
  /** What the run has just taken: known here before it is in the record. */
  remember(run: string, gate: string, by: string, decisions: readonly Decision[]): void;
}

/** A record that was read so recently is not read again: a page asks several things at once. */
const freshMs = 400;
/** Records of other gates are looked for this often. */
const listFreshMs = 1_500;

interface Kept {
  readAt: number;
  mark: string;
  entry: GateEntry;
}

export function createGateBook(store: Store): GateBook {
  const kept = new Map<string, Kept>();
  const reading = new Map<string, Promise<GateEntry | null>>();
  const taken = new Map<string, Map<string, TakenDecision>>();
  const pipelines = new Map<string, string>();
  const lists = new Map<string, { at: number; gates: Promise<GateSummary[]> }>();

  const keyOf = (run: string, gate: string) => `${run} ${gate}`;
  const takenOf = (key: string) => {
    const map = taken.get(key) ?? new Map<string, TakenDecision>();
    taken.set(key, map);
    return map;
  };

  async function read(run: string, path: string): Promise<GateEntry | null> {
    if (!RUN_ID_PATTERN.test(run) || !gatePattern.test(path)) return null;
    const key = keyOf(run, path);
    const before = kept.get(key);
    if (before !== undefined && Date.now() - before.readAt < freshMs) return before.entry;
    const gate = await readGate(store, run, path);
    if (gate === null) return null;
    const mark = JSON.stringify(gate);
    if (before !== undefined && before.mark === mark) {
      before.readAt = Date.now();
      return before.entry;
    }
    const pipeline = pipelines.get(run) ?? (await readRun(store, run))?.header.pipeline ?? '';
    pipelines.set(run, pipeline);
    const view = await readGateView(
      store,
      run,
      gate,
      sameQuestions(before?.entry.gate, gate) ? before?.entry.view : undefined,
    );
    const entry = entryOf(run, pipeline, view, takenOf(key), before?.entry);
    kept.set(key, { readAt: Date.now(), mark, entry });
    return entry;
  }

  /** Two requests at the same time read once. */
  function find(run: string, path: string): Promise<GateEntry | null> {
    const key = keyOf(run, path);
    const underWay = reading.get(key);
    if (underWay !== undefined) return underWay;
    const started = read(run, path).finally(() => reading.delete(key));
    reading.set(key, started);
    return started;
  }

  async function listNow(run: string | undefined): Promise<GateSummary[]> {
    const runs = run === undefined ? await listRuns(store) : [await readRun(store, run)];
    const going = runs.filter((record) => record !== null && !endedStates.includes(record.state.state));
    const summaries: GateSummary[] = [];
    for (const { header } of going as NonNullable<(typeof going)[number]>[]) {
      for (const gate of await listGates(store, header.run)) {
        if (gate.state !== 'open' || gate.reviewer === 'oracle') continue;
        const entry = await find(header.run, gate.path);
        if (entry !== null) summaries.push(entry.summary());
      }
    }
    return summaries.sort((a, b) => (a.openedAt < b.openedAt ? -1 : a.openedAt > b.openedAt ? 1 : 0));
  }

  return {
    find,
    list: (run) => {
      const before = lists.get(run ?? '');
      if (before !== undefined && Date.now() - before.at < listFreshMs) return before.gates;
      const gates = listNow(run);
      lists.set(run ?? '', { at: Date.now(), gates });
      gates.catch(() => lists.delete(run ?? ''));
      return gates;
    },
    remember: (run, path, by, decisions) => {
      const at = new Date().toISOString();
      const map = takenOf(keyOf(run, path));
      for (const decision of decisions) {
        if (!map.has(decision.candidateId)) map.set(decision.candidateId, { ...decision, by, at });
      }
      lists.clear();
    },
  };
}

export const endedStates: readonly string[] = ['done', 'failed', 'cancelled', 'skipped'];
/** A path becomes part of a record's key: nothing in it may leave the run's folder. */
export const gatePattern = /^(?!.*\.\.)[A-Za-z0-9][\w.,=[\]-]{0,299}$/;

/** What is asked never changes while a gate is open; a gate that opens again under the same path may ask other things. */
const sameQuestions = (before: GateRecord | undefined, now: GateRecord): boolean =>
  before !== undefined &&
  before.candidates.digest === now.candidates.digest &&
  before.dataset.digest === now.dataset.digest;

function entryOf(
  run: string,
  pipeline: string,
  view: GateView,
  taken: ReadonlyMap<string, TakenDecision>,
  before: GateEntry | undefined,
): GateEntry {
  const { gate, candidates, decided } = view;
  const same = before !== undefined && sameQuestions(before.gate, gate);
  const byId = same ? before.byId : new Map(candidates.map((candidate) => [candidate.id, candidate]));
  const images = same ? before.images : imagesOf(view);
  const decisionOf = (id: string) => decided.get(id) ?? taken.get(id);

  const summary = (): GateSummary => {
    const undecided: { [type in CandidateType]?: number } = {};
    const by = new Map<string, number>();
    let count = 0;
    let errorsLeft: number | undefined;
    for (const { id, type, chance } of candidates) {
      const decision = decisionOf(id);
      if (decision === undefined) {
        undecided[type] = (undecided[type] ?? 0) + 1;
        if (chance !== undefined) errorsLeft = (errorsLeft ?? 0) + chance;
      } else {
        count++;
        by.set(decision.by, (by.get(decision.by) ?? 0) + 1);
      }
    }
    return {
      run,
      gate: gate.path,
      pipeline,
      state: gate.state,
      openedAt: gate.openedAt,
      expiresAt: gate.expiresAt,
      reason: gate.reason,
      asked: candidates.length,
      decided: count,
      carriedOver: gate.carriedOver,
      undecided,
      errorsLeft,
      reviewers: [...by].map(([name, n]) => ({ name, decided: n })).sort((a, b) => b.decided - a.decided),
    };
  };

  return {
    run,
    pipeline,
    gate,
    view,
    byId,
    images,
    decisionOf,
    summary,
    json: () => ({ ...summary(), categories: view.categories, shown: gate.candidates.digest }),
    candidate: (candidate) => {
      const image = images.get(candidate.imageId);
      if (image === undefined) throw new Error(`Internal error: image ${candidate.imageId} is not in the dataset.`);
      const { annotation, detection, id, type, rank, cluster, iou } = candidate;
      return {
        id,
        type,
        rank,
        cluster,
        iou,
        image: {
          id: image.id,
          fileName: image.fileName,
          width: image.width,
          height: image.height,
          split: image.split,
          digest: image.digest,
        },
        crop: viewOf(candidate, image.width, image.height),
        label: annotation && { categoryId: annotation.categoryId, box: annotation.box },
        detection: detection && { categoryId: detection.categoryId, box: detection.box, score: detection.score },
        others: view
          .labels(image.id)
          .filter((label) => label.id !== annotation?.id)
          .map(({ categoryId, box }) => ({ categoryId, box })),
        decision: decisionOf(id),
      };
    },
  };
}

function imagesOf(view: GateView): Map<number, ImageEntry> {
  const images = new Map<number, ImageEntry>();
  for (const candidate of view.candidates) {
    const image = view.image(candidate);
    if (image !== undefined) images.set(image.id, image);
  }
  return images;
}

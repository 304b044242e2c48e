/** The gates of a store as the server needs them again and again: read once, and brought up to date when they change. */

import { type GateRecord, listGates, readGate } from '../artifacts/gate-record.ts';
import { hasEnded, listOpenRuns, RUN_ID_PATTERN, readRun } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { type DrawnBox, drawnAmong } from '../detection/decisions.ts';
import type { Candidate, CandidateType, Decision, ImageEntry } from '../detection/types.ts';
import { mayNotSettle, problemOfOpinion, type Standing, standingOf } from '../detection/verdicts.ts';
import type { CandidateJson, DrawnBoxJson, GateJson, GateSummary } from './api.ts';
import { type GateView, readGateView } from './gate-view.ts';
import { questionFor } from './question.ts';

export type TakenDecision = Decision & { readonly by: string; readonly at: string };

/** What a person may be asked about a candidate, and how many more people may be at the same time. */
export interface OpenQuestion {
  readonly as: 'opinion' | 'settles';
  readonly slots: number;
  readonly answeredBy: readonly string[];
}

export interface GateEntry {
  readonly run: string;
  readonly pipeline: string;
  readonly gate: GateRecord;
  readonly view: GateView;
  readonly byId: ReadonlyMap<string, Candidate>;
  readonly images: ReadonlyMap<number, ImageEntry>;
  /** What counts for each candidate, also where it was taken a moment ago and is not in the record yet. */
  decisionOf(candidateId: string): TakenDecision | undefined;
  /** All that count, with the boxes that were drawn. */
  decisions(): ReadonlyMap<string, TakenDecision>;
  /** Null where this person has nothing to say about it: it is decided, or it is the turn of others. */
  openTo(candidateId: string, by: string): OpenQuestion | null;
  /** As `problemOfOpinion`, of a candidate that the gate asks about. */
  problemOf(decision: Decision, by: string): string | null;
  /** As this person sees it. */
  summary(by: string): GateSummary;
  json(by: string): GateJson;
  /** `by`: null for somebody who decides nothing. */
  candidate(candidate: Candidate, by: string | null): CandidateJson;
}

export interface GateBook {
  /** Gates of this run, or of all that go on, that wait for people, in order of opening. */
  list(run?: string): Promise<GateEntry[]>;
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
  const taken = new Map<string, Map<string, TakenDecision[]>>();
  const pipelines = new Map<string, string>();
  const lists = new Map<string, { at: number; gates: Promise<GateEntry[]> }>();

  const keyOf = (run: string, gate: string) => `${run} ${gate}`;
  const takenOf = (key: string) => {
    const map = taken.get(key) ?? new Map<string, TakenDecision[]>();
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

  async function listNow(run: string | undefined): Promise<GateEntry[]> {
    const runs = run === undefined ? await listOpenRuns(store) : [await readRun(store, run)];
    const going = runs.filter((record) => record !== null && !hasEnded(record.state));
    const entries: GateEntry[] = [];
    for (const { header } of going as NonNullable<(typeof going)[number]>[]) {
      for (const gate of await listGates(store, header.run)) {
        if (gate.state !== 'open' || gate.reviewer === 'oracle') continue;
        const entry = await find(header.run, gate.path);
        if (entry !== null) entries.push(entry);
      }
    }
    const openedAt = ({ gate }: GateEntry) => gate.openedAt;
    return entries.sort((a, b) => (openedAt(a) < openedAt(b) ? -1 : openedAt(a) > openedAt(b) ? 1 : 0));
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
        const before = map.get(decision.candidateId) ?? [];
        map.set(decision.candidateId, [...before, { ...decision, by, at }]);
      }
      lists.clear();
    },
  };
}

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
  taken: ReadonlyMap<string, readonly TakenDecision[]>,
  before: GateEntry | undefined,
): GateEntry {
  const { gate, candidates, rules, standings } = view;
  const same = before !== undefined && sameQuestions(before.gate, gate);
  const byId = same ? before.byId : new Map(candidates.map((candidate) => [candidate.id, candidate]));
  const images = same ? before.images : imagesOf(view);
  const drawn = (): (TakenDecision & DrawnBox)[] => {
    const recorded = new Set(view.drawn.map(({ candidateId }) => candidateId));
    const fresh = drawnAmong([...taken.values()].flat()).filter(({ candidateId }) => !recorded.has(candidateId));
    return [...view.drawn, ...fresh];
  };
  const drawnIn = (imageId: number): DrawnBoxJson[] =>
    drawn()
      .filter((one) => one.imageId === imageId)
      .map(({ candidateId: id, categoryId, box }) => ({ id, categoryId, box }));

  const standing = (id: string): Standing<TakenDecision> => {
    const recorded = standings.said(id);
    const fresh = (taken.get(id) ?? []).filter(
      ({ by, settles }) => !recorded.some((one) => one.by === by && one.settles === settles),
    );
    if (fresh.length === 0) return standings.of(id)!;
    return standingOf<TakenDecision>(byId.get(id)!, [...recorded, ...fresh], rules.wanted(id), rules.isKnown(id));
  };
  const decisionOf = (id: string): TakenDecision | undefined => {
    const one = standing(id);
    return one.state === 'settled' ? one.verdict : undefined;
  };
  const openTo = (id: string, by: string): OpenQuestion | null => {
    const { state, said, wanted } = standing(id);
    if (state === 'settled') return null;
    const answeredBy = said.map((one) => one.by);
    if (state === 'open') {
      return answeredBy.includes(by) ? null : { as: 'opinion', slots: wanted - said.length, answeredBy };
    }
    return mayNotSettle(said, by, rules.adjudicators) === null ? { as: 'settles', slots: 1, answeredBy } : null;
  };

  const summary = (who: string): GateSummary => {
    const undecided: { [type in CandidateType]?: number } = {};
    const people = new Map<string, number>();
    let count = 0;
    let yours = 0;
    let toSettle = 0;
    let errorsLeft: number | undefined;
    for (const { id, type, chance } of candidates) {
      const one = standing(id);
      const spoken = one.state === 'settled' && one.verdict.settles ? [...one.said, one.verdict] : one.said;
      for (const { by } of spoken) people.set(by, (people.get(by) ?? 0) + 1);
      if (one.state === 'settled') {
        count++;
        continue;
      }
      undecided[type] = (undecided[type] ?? 0) + 1;
      if (chance !== undefined) errorsLeft = (errorsLeft ?? 0) + chance;
      if (one.state === 'conflict') toSettle++;
      if (openTo(id, who) !== null) yours++;
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
      yours,
      ...(toSettle === 0 ? {} : { toSettle, adjudicators: rules.adjudicators }),
      reviewers: [...people].map(([name, n]) => ({ name, decided: n })).sort((a, b) => b.decided - a.decided),
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
    decisions: () => {
      const decisions = new Map<string, TakenDecision>();
      for (const { id } of candidates) {
        const decision = decisionOf(id);
        if (decision !== undefined) decisions.set(id, decision);
      }
      for (const one of drawn()) decisions.set(one.candidateId, one);
      return decisions;
    },
    openTo,
    problemOf: (decision, by) => problemOfOpinion(standing(decision.candidateId), decision, by, rules.adjudicators),
    summary,
    json: (by) => ({ ...summary(by), categories: view.categories, shown: gate.candidates.digest }),
    candidate: (candidate, by) => {
      const image = images.get(candidate.imageId);
      if (image === undefined) throw new Error(`Internal error: image ${candidate.imageId} is not in the dataset.`);
      const one = standing(candidate.id);
      const asSettler = by !== null && openTo(candidate.id, by)?.as === 'settles';
      return {
        ...questionFor(
          candidate,
          image,
          view.labels(image.id),
          asSettler ? one.said : null,
          rules.isBlind(candidate.id),
        ),
        drawn: drawnIn(image.id),
        decision: one.state === 'settled' ? one.verdict : undefined,
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

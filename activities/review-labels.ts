/** `review-labels`: opens its gate, takes decisions into the ledger, and applies them as a new label version. */

import { ApplicationFailure } from '@temporalio/activity';
import {
  type LoadedDataset,
  loadDataset,
  loadJson,
  loadLabels,
  readBytes,
  saveDataset,
  saveJson,
} from '../artifacts/codecs.ts';
import { type LedgerEntry, rememberDecisions } from '../artifacts/decision-ledger.ts';
import {
  appendDecisions,
  type GateRecord,
  type RecordedDecision,
  readDecisions,
  readGate,
  readKnown,
  readTip,
  writeGate,
} from '../artifacts/gate-record.ts';
import { addNotice, readStepRecord, writeStepRecord } from '../artifacts/run-record.ts';
import { readStepResult } from '../artifacts/step-results.ts';
import type { Store } from '../artifacts/store.ts';
import type { Corrections } from '../artifacts/types.ts';
import { clip } from '../detection/box.ts';
import { markOf, misfitOf, problemOfDecisions } from '../detection/decisions.ts';
import { type KnownQuestion, plantQuestions } from '../detection/known-questions.ts';
import { applyVerdicts, scoreCorrections } from '../detection/label-issues.ts';
import { accuracyOf, errorsLeft, saysWrong } from '../detection/reviewer-trust.ts';
import { oracleDecisions } from '../detection/simulated-reviewer.ts';
import type { Candidate, CandidateType, Decision, Labels } from '../detection/types.ts';
import type { ArtifactRef, Json, StepRequest, StepResult } from '../plan/types.ts';
import { parseDurationMs } from '../spec/duration.ts';
import { afterWorkingTime, problemOfHours, type WorkingHours } from '../spec/working-hours.ts';
import { type ActivityDeps, type AttemptPolicy, now, runAttempt } from './attempt.ts';
import { carryOver, categoryOf } from './carry-over.ts';
import { endOf, keepResult } from './run-step.ts';
import { fingerprintOfStep } from './step-identity.ts';

export interface ReviewParameters {
  readonly dataset: ArtifactRef;
  readonly candidates: ArtifactRef;
  readonly reviewer?: 'human' | { readonly oracle: { readonly truth: ArtifactRef; readonly errorRate?: number } };
  readonly after?: {
    readonly remind?: string | number;
    readonly escalate?: { readonly in: string | number; readonly to: readonly string[] };
    readonly expire?: { readonly in: string | number; readonly then?: ThenExpired };
    readonly webhook?: string;
    readonly hours?: WorkingHours;
  };
  readonly limit?: number;
  /** Asks again about what was decided in an earlier round or run. */
  readonly reask?: boolean;
  /** Questions with known answers, as a share of the candidates that are asked about. */
  readonly knownAnswers?: number;
}

/** What becomes of candidates that nobody has decided in time. */
type ThenExpired = 'keep' | 'hold' | 'fail' | { readonly acceptAbove: number };

export type ReviewOutputs = {
  readonly dataset: ArtifactRef;
  readonly allImages: ArtifactRef;
  readonly corrections: ArtifactRef;
  readonly changed: number;
};

/** What `open-gate` found: the result of earlier work, or how many decisions people must make. */
export type OpenedGate =
  | { readonly result: StepResult }
  | {
      readonly undecided: number;
      readonly openedAt: string;
      readonly remindAt?: string;
      readonly escalateAt?: string;
      readonly escalateTo?: readonly string[];
      readonly expiresAt?: string;
      /** What becomes of the step where time runs out. */
      readonly atEnd?: 'keep' | 'hold' | 'fail';
      readonly webhook?: string;
    };

/** Decisions on their way into the ledger. */
export interface IncomingBatch {
  readonly gate: string;
  readonly batch: string;
  readonly by: string;
  readonly at: string;
  readonly shown?: string;
  readonly decisions?: readonly Decision[];
  /** Digest of a JSON array of decisions in the store. */
  readonly reference?: string;
  /** Goes on with what is decided. */
  readonly proceed?: true;
}

/** What became of batches of decisions. */
export interface AppendedBatches {
  readonly undecided: number;
  readonly written: readonly WrittenBatch[];
  /** The first of each batch; that there are more is told in words. */
  readonly refused: readonly RefusedOfBatch[];
}

interface WrittenBatch {
  readonly batch: string;
  readonly accepted: number;
  readonly repeated: number;
}

interface RefusedOfBatch {
  readonly candidateId: string;
  readonly why: string;
}

/** A list with a fault in every entry must not make tens of thousands of notices. */
const refusedToldMax = 500;
const noticesMax = 20;

const defaultErrorRate = 0.05;

/** Opens the gate, or finds it open after a lost worker; the simulated reviewer decides at once. */
export async function openGate(
  deps: ActivityDeps,
  request: StepRequest & { readonly now?: string },
  policy: AttemptPolicy,
): Promise<OpenedGate> {
  const { store } = deps;
  const { run, path } = request;
  const fingerprint = fingerprintOfStep(request);
  return runAttempt<OpenedGate>(deps, { request, policy, fingerprint }, async (context) => {
    const earlier = await readStepResult(store, fingerprint);
    if (earlier !== null) {
      const { result, record } = endOf(request, earlier);
      return { result: { result }, record };
    }
    const parameters = parametersOf(request);
    const gate = await openedGate(store, request, parameters, context.seed);
    const asked = await askedOf(store, gate);
    if (oracleOf(parameters) !== null) await askOracle(store, request, parameters, asked, context.seed);
    const undecided = asked.length - decidedIn(asked, await readDecisions(store, run, path)).size;
    const { escalate, expire, webhook } = parameters.after ?? {};
    const { openedAt, remindAt, escalateAt, expiresAt } = gate;
    const atEnd = typeof expire?.then === 'object' ? 'keep' : expire?.then;
    return {
      result: { undecided, openedAt, remindAt, escalateAt, escalateTo: escalate?.to, expiresAt, atEnd, webhook },
      record: undecided === 0 ? {} : { state: 'waiting', waitingFor: waitingFor(run, path, undecided) },
    };
  });
}

/** The gate's record as it is, or a new one: what is asked is fixed once, whatever the ledger learns later. */
async function openedGate(
  store: Store,
  request: StepRequest & { readonly now?: string },
  parameters: ReviewParameters,
  seed: number,
): Promise<GateRecord> {
  const { run, path } = request;
  const openedAt = request.now ?? now();
  const times = timesOf(parameters, path, openedAt);
  const existing = await readGate(store, run, path);
  if (existing?.state === 'open' && existing.dataset.digest === parameters.dataset.digest) {
    if (existing.expiresAt === undefined || existing.expiresAt > openedAt) return existing;
    // It was held when its time was up, and is tried again: the same questions, with new time for them.
    const again: GateRecord = { ...existing, openedAt, ...times };
    await writeGate(store, run, again);
    return again;
  }
  const dataset = await loadDataset(store, parameters.dataset);
  const candidates = await loadJson(store, 'candidates', parameters.candidates);
  const reviewer = oracleOf(parameters) === null ? 'human' : 'oracle';
  const labels = dataset.manifest.labels;
  const scope = { categories: dataset.categories, labels, reviewer } as const;
  const earlier = parameters.reask ? [] : await carryOver(store, candidates, scope);
  const known = new Set(earlier.map(({ candidateId }) => candidateId));
  const open = candidates.filter(({ id }) => !known.has(id)).sort((a, b) => b.rank - a.rank || (a.id < b.id ? -1 : 1));
  const real = open.slice(0, parameters.limit ?? open.length);
  // A simulation has an error rate that is set; there is nothing to find out about it.
  const planted = reviewer === 'human' ? Math.round((parameters.knownAnswers ?? 0) * real.length) : 0;
  const { annotations } = dataset.labels;
  const questions = plantQuestions({ ...dataset, annotations }, real, planted, seed);
  const asked = [...real, ...questions.candidates].sort((a, b) => b.rank - a.rank || (a.id < b.id ? -1 : 1));
  const gate: GateRecord = {
    path,
    state: 'open',
    openedAt,
    ...times,
    candidates: await saveJson(store, 'candidates', asked),
    dataset: parameters.dataset,
    asked: asked.length,
    carriedOver: earlier.length,
    earlier: await store.putObject(Buffer.from(JSON.stringify(earlier))),
    limit: parameters.limit,
    known: planted > 0 ? await store.putObject(Buffer.from(JSON.stringify(questions.known))) : undefined,
    decided: 0,
    reviewer,
  };
  await writeGate(store, run, gate);
  return gate;
}

/** When people are reminded, others are asked, and the wait ends; where there are working hours, counted in these alone. */
export function timesOf(
  { after = {} }: ReviewParameters,
  path: string,
  openedAt: string,
): Pick<GateRecord, 'remindAt' | 'escalateAt' | 'expiresAt'> {
  const { remind, escalate, expire, hours } = after;
  const problem = hours === undefined ? null : problemOfHours(hours);
  if (problem !== null) throw ApplicationFailure.nonRetryable(`"after.hours" of ${path}: ${problem}`, 'BadData');
  const later = (duration: string | number | undefined): string | undefined => {
    if (duration === undefined) return undefined;
    const [start, ms] = [Date.parse(openedAt), durationMs(duration, path)];
    return new Date(hours === undefined ? start + ms : afterWorkingTime(start, ms, hours)).toISOString();
  };
  return { remindAt: later(remind), escalateAt: later(escalate?.in), expiresAt: later(expire?.in) };
}

async function askOracle(
  store: Store,
  { run, path }: StepRequest,
  parameters: ReviewParameters,
  asked: readonly Candidate[],
  seed: number,
): Promise<void> {
  const { truth, errorRate } = oracleOf(parameters)!;
  const [right, given] = [await loadLabels(store, truth), await loadDataset(store, parameters.dataset)];
  const decisions = oracleDecisions(asked, right.annotations, given.labels.annotations, {
    errorRate: errorRate ?? defaultErrorRate,
    seed,
  });
  await appendDecisions(store, run, path, { batch: 'oracle', by: 'oracle', at: now(), decisions });
}

/** Takes what is right and new of the batches into the ledger, in their order; says what was refused, also to people. */
export async function appendBatches(
  { store }: ActivityDeps,
  { run, batches }: { run: string; batches: readonly IncomingBatch[] },
): Promise<AppendedBatches> {
  const written: WrittenBatch[] = [];
  const refused: RefusedOfBatch[] = [];
  let undecided = 0;
  let ledger: GateLedger | null = null;
  for (const incoming of batches) {
    // All of one gate. A long gate takes seconds to read, and gets its decisions in many batches.
    ledger ??= await readLedger(store, run, incoming.gate);
    const appended = await appendBatch(store, run, incoming, ledger);
    undecided = appended.undecided;
    written.push(appended.written);
    refused.push(...appended.refused.slice(0, refusedToldMax));
  }
  return { undecided, written, refused };
}

/** What a batch is checked against. */
interface GateLedger {
  readonly gate: GateRecord;
  readonly candidates: ReadonlyMap<string, Candidate>;
  /** Grows with each batch. */
  readonly decided: Map<string, RecordedDecision>;
  readonly earlier: ReadonlyMap<string, RecordedDecision>;
  readonly dataset: LoadedDataset;
}

async function readLedger(store: Store, run: string, path: string): Promise<GateLedger> {
  const gate = await readGate(store, run, path);
  if (gate === null) throw new Error(`Internal error: the gate ${path} of ${run} has no record.`);
  const asked = await askedOf(store, gate);
  return {
    gate,
    candidates: new Map(asked.map((candidate) => [candidate.id, candidate])),
    decided: decidedIn(asked, await readDecisions(store, run, path)),
    earlier: new Map((await earlierOf(store, gate)).map((decision) => [decision.candidateId, decision])),
    dataset: await loadDataset(store, gate.dataset),
  };
}

async function appendBatch(store: Store, run: string, incoming: IncomingBatch, ledger: GateLedger) {
  const { gate: path, batch, by, at, shown } = incoming;
  const { gate, candidates, decided, earlier, dataset } = ledger;
  const images = new Map(dataset.images.map((image) => [image.id, image]));

  const refused: RefusedOfBatch[] = [];
  let repeated = 0;
  const fresh = new Map<string, Decision>();
  const { decisions, problem } = await decisionsOf(store, incoming);
  if (problem !== null) refused.push({ candidateId: '', why: problem });
  for (const decision of decisions) {
    const { candidateId } = decision;
    const before = decided.get(candidateId) ?? earlier.get(candidateId);
    if (before !== undefined) {
      if (markOf(before) === markOf(decision)) {
        repeated++;
        continue;
      }
      refused.push({
        candidateId,
        why: `${before.by} decided it as "${markOf(before)}" on ${before.at}; that counts.`,
      });
    } else if (!candidates.has(candidateId)) {
      refused.push({ candidateId, why: 'No candidate that this gate asks about has this id.' });
    } else {
      const image = images.get(candidates.get(candidateId)!.imageId);
      const misfit = image === undefined ? null : misfitOf(decision, image, dataset.categories);
      if (misfit === null) fresh.set(candidateId, decision);
      else refused.push({ candidateId, why: misfit });
    }
  }

  if (fresh.size > 0) {
    const kept = [...fresh.values()];
    await appendDecisions(store, run, path, {
      batch,
      by,
      at,
      shown,
      decisions: kept,
      ...(incoming.proceed ? { proceed: true as const } : {}),
    });
    const known = new Set((await readKnown(store, gate)).map(({ candidateId }) => candidateId));
    const real = kept.filter(({ candidateId }) => !known.has(candidateId));
    const entries = real.map((decision) => {
      const candidate = candidates.get(decision.candidateId)!;
      return entryOf(candidate, decision, dataset, { by, at, run, gate: path, shown });
    });
    await rememberDecisions(store, entries);
    for (const decision of kept) decided.set(decision.candidateId, { ...decision, batch, by, at, shown });
  }
  if (fresh.size === 0 && incoming.proceed) {
    await appendDecisions(store, run, path, { batch, by, at, shown, decisions: [], proceed: true });
  }
  for (const { candidateId, why } of refused.slice(0, noticesMax)) {
    await addNotice(
      store,
      run,
      `A decision by ${by} about candidate ${candidateId || '(batch)'} of ${path} was refused. ${why}`,
    );
  }
  if (refused.length > noticesMax) {
    await addNotice(
      store,
      run,
      `${refused.length} decisions by ${by} about candidates of ${path} were refused (batch ${batch}); the first ${noticesMax} are told each.`,
    );
  }
  const undecided = candidates.size - decided.size;
  await writeGate(store, run, { ...gate, decided: decided.size, ledger: await readTip(store, run, path) });
  const record = await readStepRecord(store, run, path);
  if (record?.state === 'waiting') {
    await writeStepRecord(store, run, { ...record, waitingFor: waitingFor(run, path, undecided) });
  }
  return { undecided, refused, written: { batch, accepted: fresh.size, repeated } };
}

async function decisionsOf(
  store: Store,
  { decisions, reference }: IncomingBatch,
): Promise<{ decisions: readonly Decision[]; problem: string | null }> {
  if (reference === undefined) return { decisions: decisions ?? [], problem: null };
  const refuse = (problem: string) => ({ decisions: [], problem: `The list ${reference}: ${problem}` });
  const bytes = await store.getObject(reference);
  if (bytes === null) return refuse('it is not in the store.');
  let listed: unknown;
  try {
    listed = JSON.parse(bytes.toString());
  } catch (error) {
    return refuse(`it is no JSON (${(error as Error).message}).`);
  }
  const problem = problemOfDecisions(listed);
  return problem === null ? { decisions: listed as Decision[], problem } : refuse(problem);
}

/** The new label version, and what was done to get it. Labels that nothing changed keep their version. */
export async function applyDecisions(
  deps: ActivityDeps,
  { step, ended }: { step: StepRequest; ended: 'decided' | 'expired' | 'proceeded' },
  policy: AttemptPolicy,
): Promise<StepResult> {
  const { store } = deps;
  const { run, path } = step;
  const fingerprint = fingerprintOfStep(step);
  return runAttempt(deps, { request: step, policy, fingerprint }, async (context) => {
    const parameters = parametersOf(step);
    const gate = await readGate(store, run, path);
    if (gate === null) {
      throw ApplicationFailure.nonRetryable(
        `The gate ${path} of ${run} has no record, so its decisions cannot be applied again. Its labels were taken from another run; run the pipeline under a new run id.`,
        'NoGate',
      );
    }
    const dataset = await loadDataset(store, parameters.dataset);
    const candidates = await loadJson(store, 'candidates', parameters.candidates);
    const earlier = await earlierOf(store, gate);
    const known = await readKnown(store, gate);
    const isKnown = new Set(known.map(({ candidateId }) => candidateId));
    if (ended === 'expired') await acceptSure(store, step, parameters, gate, isKnown);
    const answered = await readDecisions(store, run, path);
    // Questions with known answers are no claims about the labels: nothing of them is applied.
    const all = await askedOf(store, gate);
    const asked = all.filter(({ id }) => !isKnown.has(id));
    const decided = decidedIn(asked, answered);
    const decisions = [...earlier, ...decided.values()];
    const within = insideImages(decisions, candidates, dataset);
    const parent = dataset.manifest.labels;
    const applied = applyVerdicts(dataset.labels, candidates, within, { parent, author: 'review', note: path });
    if (applied.conflicts.length > 0) {
      const [first] = applied.conflicts;
      await context.notice(
        `${applied.conflicts.length} decisions of ${path} could not be applied, the first to candidate ${first!.candidateId}: ${first!.reason}`,
      );
    }
    const changed = applied.changes.length;
    const ledger = await readTip(store, run, path);
    const labels = changed > 0 ? applied.labels : dataset.labels;
    const reviewed = changed > 0 ? await saveDataset(store, { ...dataset, labels }) : parameters.dataset;
    const after = (await loadDataset(store, reviewed)).manifest.labels;
    const types = new Map(candidates.map(({ id, type }) => [id, type]));
    const corrections: Corrections = {
      before: parent,
      after,
      reviewer: gate.reviewer ?? 'human',
      asked: asked.length,
      carriedOver: earlier.length,
      undecided: asked.length - decided.size,
      ledger,
      decisions: decisions.map(({ batch: _, shown: __, ...decision }) => ({
        ...decision,
        type: types.get(decision.candidateId)!,
      })),
      changes: applied.changes,
      trust: known.length === 0 ? undefined : trustOf(known, answered, asked),
      againstTruth: await againstTruth(store, parameters, dataset, labels),
    };
    const train = dataset.images.filter(({ split }) => split === 'train').map(({ id }) => id);
    const outputs: ReviewOutputs = {
      dataset: reviewed,
      allImages: await saveJson(store, 'selection', { images: train.sort((a, b) => a - b) }),
      corrections: await saveJson(store, 'corrections', corrections),
      changed,
    };
    if (gate.reviewer === 'oracle' && changed > 0) {
      const byId = new Map(candidates.map((candidate) => [candidate.id, candidate]));
      const entries = [...decided.values()].map((decision) => {
        const { by, at } = decision;
        const made = { by, at, run, gate: path, simulatedLabels: after };
        return entryOf(byId.get(decision.candidateId)!, decision, dataset, made);
      });
      await rememberDecisions(store, entries);
    }
    await writeGate(store, run, {
      ...gate,
      state: 'closed',
      closedAt: gate.closedAt ?? now(),
      decided: decidedIn(all, answered).size,
      ledger,
      reason: gate.reason ?? ended,
    });
    return endOf(step, await keepResult(deps, step, fingerprint, outputs as { [name: string]: Json }));
  });
}

/** Time is up: what the model is sure enough of is accepted for nobody. It is no person's word, and is not carried over. */
async function acceptSure(
  store: Store,
  { run, path }: StepRequest,
  { after }: ReviewParameters,
  gate: GateRecord,
  isKnown: ReadonlySet<string>,
): Promise<void> {
  const then = after?.expire?.then;
  if (typeof then !== 'object') return;
  const asked = await askedOf(store, gate);
  const decided = decidedIn(asked, await readDecisions(store, run, path));
  const sure = asked.filter(
    ({ id, detection }) =>
      !decided.has(id) && !isKnown.has(id) && detection !== undefined && detection.score >= then.acceptAbove,
  );
  if (sure.length === 0) return;
  const reason = `nobody decided in time, and the score is at least ${then.acceptAbove}`;
  const decisions = sure.map(({ id }): Decision => ({ candidateId: id, verdict: 'accept', reason }));
  await appendDecisions(store, run, path, { batch: 'expired', by: 'nobody', at: gate.expiresAt ?? now(), decisions });
}

/** What the known answers say about the reviewers, and about the errors they passed over. */
function trustOf(
  known: readonly KnownQuestion[],
  answered: readonly RecordedDecision[],
  asked: readonly Candidate[],
): NonNullable<Corrections['trust']> {
  const reviewers = accuracyOf(known, answered);
  const verdicts = new Map(answered.map((decision) => [decision.candidateId, decision]));
  const found = new Map<CandidateType, number>();
  for (const { id, type } of asked) {
    const decision = verdicts.get(id);
    if (decision !== undefined && saysWrong(decision)) found.set(type, (found.get(type) ?? 0) + 1);
  }
  return { questions: known.length, reviewers, left: errorsLeft(reviewers, found) };
}

/** A box that was drawn beyond an edge ends there, as one that is imported does. */
function insideImages(
  decisions: readonly Decision[],
  candidates: readonly Candidate[],
  { images }: LoadedDataset,
): Decision[] {
  const byId = new Map(images.map((image) => [image.id, image]));
  const imageOf = new Map(candidates.map(({ id, imageId }) => [id, byId.get(imageId)]));
  return decisions.map((decision) => {
    const image = imageOf.get(decision.candidateId);
    if (decision.box === undefined || image === undefined) return decision;
    return { ...decision, box: clip(decision.box, image.width, image.height) };
  });
}

async function againstTruth(
  store: Store,
  parameters: ReviewParameters,
  dataset: LoadedDataset,
  after: Labels,
): Promise<Corrections['againstTruth']> {
  const oracle = oracleOf(parameters);
  if (oracle === null) return undefined;
  const truth = await loadLabels(store, oracle.truth);
  const imageIds = dataset.images.map(({ id }) => id);
  return scoreCorrections({ imageIds }, dataset.labels.annotations, after.annotations, truth.annotations);
}

type Made = Pick<LedgerEntry, 'by' | 'at' | 'run' | 'gate' | 'shown' | 'simulatedLabels'>;

function entryOf(candidate: Candidate, given: Decision, { categories }: LoadedDataset, made: Made): LedgerEntry {
  const { candidateId, verdict, box, categoryId, reason } = given;
  const { annotation, detection } = candidate;
  return {
    imageDigest: candidate.imageDigest,
    type: candidate.type,
    annotation: annotation && { id: annotation.id, categoryId: annotation.categoryId, box: annotation.box },
    detection: detection && { categoryId: detection.categoryId, box: detection.box },
    category: categoryOf(candidate, categories),
    decision: { candidateId, verdict, box, categoryId, reason },
    decidedCategory: categories.find(({ id }) => id === categoryId)?.name,
    ...made,
  };
}

async function askedOf(store: Store, gate: GateRecord): Promise<readonly Candidate[]> {
  return loadJson(store, 'candidates', gate.candidates);
}

/** Decisions that were made before the gate opened. */
async function earlierOf(store: Store, { earlier }: GateRecord): Promise<readonly RecordedDecision[]> {
  return earlier === undefined ? [] : JSON.parse((await readBytes(store, 'earlier decisions', earlier)).toString());
}

/** The first decision of each candidate that was asked. */
function decidedIn(asked: readonly Candidate[], decisions: readonly RecordedDecision[]): Map<string, RecordedDecision> {
  const ids = new Set(asked.map(({ id }) => id));
  const first = new Map<string, RecordedDecision>();
  for (const decision of decisions) {
    const { candidateId } = decision;
    if (ids.has(candidateId) && !first.has(candidateId)) first.set(candidateId, decision);
  }
  return first;
}

function parametersOf(request: StepRequest): ReviewParameters {
  return request.with as unknown as ReviewParameters;
}

function oracleOf({ reviewer }: ReviewParameters) {
  return typeof reviewer === 'object' ? reviewer.oracle : null;
}

function durationMs(duration: string | number, path: string): number {
  const ms = typeof duration === 'number' ? duration : parseDurationMs(duration);
  if (ms !== null) return ms;
  throw ApplicationFailure.nonRetryable(
    `"after" of ${path} has the duration ${JSON.stringify(duration)}; expected one such as 30s, 4h or 7d.`,
    'BadData',
  );
}

function waitingFor(run: string, path: string, undecided: number): string {
  return `${undecided} ${undecided === 1 ? 'decision' : 'decisions'} of a reviewer: hardcase review list ${run} ${path}`;
}

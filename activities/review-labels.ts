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
import { removeLeases } from '../artifacts/gate-leases.ts';
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
import { readRules } from '../artifacts/gate-rules.ts';
import { addNotice, readStepRecord, writeStepRecord } from '../artifacts/run-record.ts';
import { readStepResult } from '../artifacts/step-results.ts';
import type { Store } from '../artifacts/store.ts';
import type { Corrections } from '../artifacts/types.ts';
import { anchoringsOf } from '../detection/anchoring.ts';
import { groupByImage } from '../detection/annotations.ts';
import { chooseAsking } from '../detection/asking.ts';
import { problemOfBlind } from '../detection/blind.ts';
import { clip } from '../detection/box.ts';
import { type DrawnBox, drawnAmong, markOf, misfitOf, problemOfDecisions } from '../detection/decisions.ts';
import { askedAfterwards, misfitOfDrawn, withDrawn } from '../detection/drawn-boxes.ts';
import { type KnownQuestion, plantQuestions } from '../detection/known-questions.ts';
import { applyVerdicts, scoreCorrections } from '../detection/label-issues.ts';
import { accuracyOf, errorsLeft, saysWrong } from '../detection/reviewer-trust.ts';
import { oracleDecisions } from '../detection/simulated-reviewer.ts';
import { type GateRules, Standings } from '../detection/standings.ts';
import type { Annotation, Candidate, CandidateType, Decision, ImageEntry, Labels } from '../detection/types.ts';
import { problemOfOpinion, type Standing } from '../detection/verdicts.ts';
import { weighedVerdict } from '../detection/weighed-verdict.ts';
import type { ArtifactRef, Json, StepRequest, StepResult } from '../plan/types.ts';
import { parseDurationMs } from '../spec/duration.ts';
import { afterWorkingTime, problemOfHours, type WorkingHours } from '../spec/working-hours.ts';
import { type ActivityDeps, type AttemptPolicy, now, runAttempt } from './attempt.ts';
import { carryOver, carryOverDrawn, categoryOf } from './carry-over.ts';
import { endOf, endOfFound, keepResult } from './run-step.ts';
import { fingerprintOfStep } from './step-identity.ts';

export interface ReviewParameters {
  readonly dataset: ArtifactRef;
  readonly candidates: ArtifactRef;
  readonly reviewer?: 'human' | { readonly oracle: { readonly truth: ArtifactRef; readonly errorRate?: number } };
  readonly after?: {
    readonly remind?: string | number | Reminder;
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
  /** How many people look at a candidate, each by themselves. */
  readonly reviewers?: number | ReviewersParameter;
  /** Share of the candidates, or of the test images too, whose model's box is hidden. */
  readonly blind?: number | { readonly share?: number; readonly testImages?: number };
}

interface ReviewersParameter {
  readonly count: number;
  /** Of the candidates; the others are asked once. */
  readonly share?: number;
  /** Who settles what reviewers do not agree on. */
  readonly adjudicators?: readonly string[];
  /** What becomes of opinions without a verdict once the wait is over. */
  readonly unsettled?: 'keep' | { readonly weighAbove: number };
}

/** When people are reminded, and who of them by e-mail. */
interface Reminder {
  readonly in: string | number;
  readonly email?: readonly string[];
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
      /** Who is reminded by e-mail. */
      readonly email?: readonly string[];
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
  readonly by: string;
  readonly settles?: true;
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
      const { result, record } = endOfFound(request, earlier);
      return { result: { result }, record };
    }
    const parameters = parametersOf(request);
    const gate = await openedGate(store, request, parameters, context.seed);
    const asked = await askedOf(store, gate);
    if (oracleOf(parameters) !== null) await askOracle(store, request, parameters, asked, context.seed);
    const standings = new Standings(asked, await readDecisions(store, run, path), await readRules(store, gate));
    const undecided = asked.length - standings.count('settled');
    const { remind, escalate, expire, webhook } = parameters.after ?? {};
    const email = typeof remind === 'object' ? remind.email : undefined;
    const { openedAt, remindAt, escalateAt, expiresAt } = gate;
    const atEnd = typeof expire?.then === 'object' ? 'keep' : expire?.then;
    return {
      result: { undecided, openedAt, remindAt, escalateAt, escalateTo: escalate?.to, expiresAt, atEnd, webhook, email },
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
  const carried = parameters.reask ? [] : await carryOver(store, candidates, scope);
  const drawn =
    parameters.reask || reviewer === 'oracle' ? [] : await carryOverDrawn(store, dataset, candidates, carried);
  const earlier = [...carried, ...drawn];
  const known = new Set(earlier.map(({ candidateId }) => candidateId));
  const open = candidates.filter(({ id }) => !known.has(id)).sort((a, b) => b.rank - a.rank || (a.id < b.id ? -1 : 1));
  const real = open.slice(0, parameters.limit ?? open.length);
  // A simulation has an error rate that is set; there is nothing to find out about it.
  const planted = reviewer === 'human' ? Math.round((parameters.knownAnswers ?? 0) * real.length) : 0;
  const { annotations } = dataset.labels;
  const questions = plantQuestions({ ...dataset, annotations }, real, planted, seed);
  const asked = [...real, ...questions.candidates].sort((a, b) => b.rank - a.rank || (a.id < b.id ? -1 : 1));
  const several = severalOf(parameters);
  const wishes = { several: several ?? undefined, blind: blindOf(parameters) ?? undefined };
  const images = new Map(dataset.images.map((image) => [image.id, image]));
  const splitOf = ({ imageId }: Candidate) => images.get(imageId)?.split;
  const asking = chooseAsking(asked, questions.known, wishes, splitOf, seed);
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
    asking: asking.length > 0 ? await store.putObject(Buffer.from(JSON.stringify(asking))) : undefined,
    adjudicators: several?.adjudicators,
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
  const remindIn = typeof remind === 'object' ? remind.in : remind;
  return { remindAt: later(remindIn), escalateAt: later(escalate?.in), expiresAt: later(expire?.in) };
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
  readonly rules: GateRules;
  /** Grows with each batch, as `drawn` does. */
  readonly standings: Standings<RecordedDecision>;
  /** Boxes that were drawn where nobody asked. */
  readonly drawn: Map<string, RecordedDecision & DrawnBox>;
  readonly images: ReadonlyMap<number, ImageEntry>;
  labels(imageId: number): readonly Annotation[];
  readonly earlier: ReadonlyMap<string, RecordedDecision>;
  readonly dataset: LoadedDataset;
}

async function readLedger(store: Store, run: string, path: string): Promise<GateLedger> {
  const gate = await readGate(store, run, path);
  if (gate === null) throw new Error(`Internal error: the gate ${path} of ${run} has no record.`);
  const asked = await askedOf(store, gate);
  const rules = await readRules(store, gate);
  const answered = await readDecisions(store, run, path);
  const earlier = await earlierOf(store, gate);
  const dataset = await loadDataset(store, gate.dataset);
  let labels: ReadonlyMap<number, readonly Annotation[]> | undefined;
  return {
    gate,
    candidates: new Map(asked.map((candidate) => [candidate.id, candidate])),
    rules,
    standings: new Standings(asked, answered, rules),
    drawn: new Map(drawnAmong([...answered, ...earlier].reverse()).map((one) => [one.candidateId, one])),
    earlier: new Map(earlier.map((decision) => [decision.candidateId, decision])),
    dataset,
    images: new Map(dataset.images.map((image) => [image.id, image])),
    labels: (imageId) => {
      labels ??= groupByImage(dataset.labels.annotations);
      return labels.get(imageId) ?? [];
    },
  };
}

async function appendBatch(store: Store, run: string, incoming: IncomingBatch, ledger: GateLedger) {
  const { gate: path, batch, by, at, shown } = incoming;
  const { gate, candidates, rules, standings, drawn, earlier, dataset, images } = ledger;

  const refused: RefusedOfBatch[] = [];
  let repeated = 0;
  const fresh = new Map<string, Decision>();
  const { decisions, problem } = await decisionsOf(store, incoming);
  if (problem !== null) refused.push({ candidateId: '', by, why: problem });
  for (const decision of decisions) {
    const { candidateId } = decision;
    const [box] = drawnAmong([decision]);
    if (box !== undefined) {
      const why = problemOfDrawn(ledger, box, drawnAmong(fresh.values()));
      if (why === 'repeated') repeated++;
      else if (why === null) fresh.set(candidateId, decision);
      else refused.push({ candidateId, by, why });
      continue;
    }
    const candidate = candidates.get(candidateId);
    const standing = standings.of(candidateId) ?? carriedOver(earlier.get(candidateId));
    const image = candidate && images.get(candidate.imageId);
    const why =
      standing === null
        ? 'No candidate that this gate asks about has this id.'
        : (problemOfOpinion(standing, decision, by, rules.adjudicators) ??
          (image === undefined ? null : misfitOf(decision, image, dataset.categories)) ??
          (rules.isBlind(candidateId) ? problemOfBlind(candidate!, decision, dataset.categories) : null));
    if (why === 'repeated') repeated++;
    else if (why === null) fresh.set(candidateId, decision);
    else refused.push({ candidateId, by, ...(decision.settles ? { settles: true as const } : {}), why });
  }

  const kept = [...fresh.values()];
  if (fresh.size > 0) {
    // Only a verdict holds beyond this gate: one of several opinions is none, nor is the answer to a known question.
    for (const decision of kept) standings.add({ ...decision, batch, by, at, shown });
    const added = drawnAmong(kept);
    for (const box of added) drawn.set(box.candidateId, { ...box, batch, by, at, shown });
    const entries = kept.flatMap(({ candidateId }) => {
      const standing = standings.of(candidateId);
      if (standing?.state !== 'settled' || rules.isKnown(candidateId)) return [];
      const { verdict } = standing;
      const made = { by: verdict.by, at, run, gate: path, shown: verdict.shown };
      return [entryOf(candidates.get(candidateId)!, verdict, dataset, made)];
    });
    for (const box of added) {
      entries.push(entryOfDrawn(box, images.get(box.imageId)!, dataset, { by, at, run, gate: path, shown }));
    }
    // Before the ledger: an attempt that dies in between finds nothing decided, and does both again.
    await rememberDecisions(store, entries);
    await appendDecisions(store, run, path, {
      batch,
      by,
      at,
      shown,
      decisions: kept,
      ...(incoming.proceed ? { proceed: true as const } : {}),
    });
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
  const decided = standings.count('settled');
  const undecided = candidates.size - decided;
  await writeGate(store, run, { ...gate, decided, ledger: await readTip(store, run, path) });
  const record = await readStepRecord(store, run, path);
  if (record?.state === 'waiting') {
    const words = waitingFor(run, path, undecided, standings.count('conflict'));
    await writeStepRecord(store, run, { ...record, waitingFor: words });
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
    const rules = await readRules(store, gate);
    const all = await askedOf(store, gate);
    // Questions with known answers are no claims about the labels: nothing of them is applied.
    const asked = all.filter(({ id }) => !rules.isKnown(id));
    if (ended !== 'decided') await settleByWeight(store, step, parameters, { gate, asked, rules, known });
    if (ended === 'expired') await acceptSure(store, step, parameters, { gate, asked, rules });
    const answered = await readDecisions(store, run, path);
    const verdicts = new Standings(all, answered, rules).verdicts();
    const decided = new Map(asked.flatMap(({ id }) => (verdicts.has(id) ? [[id, verdicts.get(id)!] as const] : [])));
    const decisions = [...earlier, ...decided.values(), ...drawnOnce(answered)];
    const images = new Map(dataset.images.map((image) => [image.id, image]));
    const whole = withDrawn(candidates, decisions, images);
    const within = insideImages(whole.decisions, whole.candidates, dataset);
    const parent = dataset.manifest.labels;
    const applied = applyVerdicts(dataset.labels, whole.candidates, within, { parent, author: 'review', note: path });
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
        type: types.get(decision.candidateId) ?? 'missing',
      })),
      changes: applied.changes,
      trust: known.length === 0 ? undefined : trustOf(known, answered, decided, asked),
      anchoring: anchoringsOf(asked, answered, rules, dataset.images),
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
    await removeLeases(store, run, path);
    await writeGate(store, run, {
      ...gate,
      state: 'closed',
      closedAt: gate.closedAt ?? now(),
      decided: verdicts.size,
      ledger,
      reason: gate.reason ?? ended,
    });
    return endOf(step, await keepResult(deps, step, fingerprint, outputs as { [name: string]: Json }));
  });
}

/** What the end of a wait is about. */
interface Ending {
  readonly gate: GateRecord;
  /** Without known questions. */
  readonly asked: readonly Candidate[];
  readonly rules: GateRules;
}

/** Time is up: what the model is sure enough of is accepted for nobody. It is no person's word, and is not carried over. */
async function acceptSure(
  store: Store,
  { run, path }: StepRequest,
  { after }: ReviewParameters,
  { gate, asked, rules }: Ending,
): Promise<void> {
  const then = after?.expire?.then;
  if (typeof then !== 'object') return;
  const standings = new Standings(asked, await readDecisions(store, run, path), rules);
  // Where people have looked and do not agree, the model's word is not worth more than theirs.
  const sure = asked.filter(
    ({ id, detection }) =>
      standings.of(id)!.said.length === 0 && detection !== undefined && detection.score >= then.acceptAbove,
  );
  if (sure.length === 0) return;
  const reason = `nobody decided in time, and the score is at least ${then.acceptAbove}`;
  const decisions = sure.map(
    ({ id }): Decision => ({
      candidateId: id,
      verdict: 'accept',
      reason,
      ...(rules.wanted(id) > 1 ? { settles: true as const } : {}),
    }),
  );
  await appendDecisions(store, run, path, { batch: 'expired', by: 'nobody', at: gate.expiresAt ?? now(), decisions });
}

/**
 * The wait is over: opinions without a verdict are settled by how often each reviewer was right, where that is sure enough. No
 * person's word, so it is not carried over.
 */
async function settleByWeight(
  store: Store,
  { run, path }: StepRequest,
  parameters: ReviewParameters,
  { gate, asked, rules, known }: Ending & { readonly known: readonly KnownQuestion[] },
): Promise<void> {
  const unsettled = severalOf(parameters)?.unsettled;
  if (typeof unsettled !== 'object') return;
  const answered = await readDecisions(store, run, path);
  const accuracies = accuracyOf(known, answered);
  const standings = new Standings(asked, answered, rules);
  const decisions = asked.flatMap(({ id }): Decision[] => {
    const standing = standings.of(id)!;
    if (standing.state === 'settled') return [];
    const weighed = weighedVerdict(standing.said, accuracies, unsettled.weighAbove);
    if (weighed === null) return [];
    const { candidateId, verdict, box, categoryId } = weighed.opinion;
    const reason = `settled by weight: right with a probability of ${weighed.probability.toFixed(3)}`;
    return [{ candidateId, verdict, box, categoryId, reason, settles: true }];
  });
  if (decisions.length === 0) return;
  await appendDecisions(store, run, path, { batch: 'weighed', by: 'weights', at: gate.expiresAt ?? now(), decisions });
}

/** What the known answers say about the reviewers, and about the errors they passed over. */
function trustOf(
  known: readonly KnownQuestion[],
  answered: readonly RecordedDecision[],
  verdicts: ReadonlyMap<string, RecordedDecision>,
  asked: readonly Candidate[],
): NonNullable<Corrections['trust']> {
  const reviewers = accuracyOf(known, answered);
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

/** As `problemOfOpinion`, of a box that was drawn where nobody asked. `fresh` came with it. */
function problemOfDrawn(
  { drawn, images, dataset, labels }: GateLedger,
  box: DrawnBox,
  fresh: readonly DrawnBox[],
): string | null {
  const before = drawn.get(box.candidateId);
  if (before !== undefined) {
    if (markOf(before) === markOf(box)) return 'repeated';
    return `${before.by} decided it as "${markOf(before)}" on ${before.at}; that counts.`;
  }
  const others = [...drawn.values(), ...fresh];
  return misfitOfDrawn(box, images.get(box.imageId), dataset.categories, labels(box.imageId), others);
}

/** As the answer to a question about a missing label there, so that a model that finds the same target asks no more. */
function entryOfDrawn(drawn: DrawnBox, image: ImageEntry, dataset: LoadedDataset, made: Made): LedgerEntry {
  const { categoryId, box } = drawn;
  const candidate = { ...askedAfterwards(drawn, image), detection: { categoryId, box, score: 1 } };
  return { ...entryOf(candidate, { ...drawn, verdict: 'edit' }, dataset, made), drawn: true };
}

/** Boxes that were drawn where nobody asked, each once. */
function drawnOnce(answered: readonly RecordedDecision[]): RecordedDecision[] {
  const first = new Map<string, RecordedDecision>();
  for (const drawn of drawnAmong(answered)) {
    if (!first.has(drawn.candidateId)) first.set(drawn.candidateId, drawn);
  }
  return [...first.values()];
}

async function askedOf(store: Store, gate: GateRecord): Promise<readonly Candidate[]> {
  return loadJson(store, 'candidates', gate.candidates);
}

/** Decisions that were made before the gate opened. */
async function earlierOf(store: Store, { earlier }: GateRecord): Promise<readonly RecordedDecision[]> {
  return earlier === undefined ? [] : JSON.parse((await readBytes(store, 'earlier decisions', earlier)).toString());
}

/** What was decided before the gate opened stands as it is; null where nothing was. */
function carriedOver(decision: RecordedDecision | undefined): Standing<RecordedDecision> | null {
  return decision === undefined ? null : { state: 'settled', said: [], wanted: 1, verdict: decision };
}

/** Null where nothing is hidden. A simulation knows the truth, and is swayed by nothing. */
function blindOf(parameters: ReviewParameters) {
  const { blind = 0 } = parameters;
  if (oracleOf(parameters) !== null) return null;
  return typeof blind === 'number' ? { share: blind } : blind;
}

/** Null where everything is asked once. A simulation always agrees with itself. */
function severalOf(parameters: ReviewParameters): ReviewersParameter | null {
  const { reviewers } = parameters;
  if (reviewers === undefined || oracleOf(parameters) !== null) return null;
  const several = typeof reviewers === 'number' ? { count: reviewers } : reviewers;
  return several.count > 1 ? several : null;
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

function waitingFor(run: string, path: string, undecided: number, toSettle = 0): string {
  const what = `${undecided} ${undecided === 1 ? 'decision' : 'decisions'} of a reviewer`;
  const settling = toSettle === 0 ? '' : `, ${toSettle} of them about opinions that differ`;
  return `${what}${settling}: hardcase review list ${run} ${path}`;
}

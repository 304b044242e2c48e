/** `hardcase review stats`: what each reviewer did, how often they were right, and how far they agree. */

import colours from 'picocolors';
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
import { type Anchoring, anchoringsOf, type SplitAnchoring } from '../detection/anchoring.ts';
import {
  accuracyOf,
  chapman,
  cohensKappa,
  type Estimate,
  errorsLeft,
  fleissKappa,
  type ReviewerAccuracy,
  saysWrong,
} from '../detection/reviewer-trust.ts';
import type { CandidateType } from '../detection/types.ts';
import { weightOfReviewer } from '../detection/weighed-verdict.ts';
import { openExistingStore } from './connect.ts';
import { findRun } from './find-run.ts';
import { type ExitCode, exitCodes, print, printJson, table } from './output.ts';
import type { Settings } from './settings.ts';

interface GateAnswers {
  readonly run: string;
  readonly gate: GateRecord;
  readonly types: ReadonlyMap<string, CandidateType>;
  readonly answers: readonly RecordedDecision[];
}

interface ReviewerStats {
  readonly by: string;
  readonly decisions: number;
  readonly share: { readonly [verdict: string]: number };
  /** Median time of a decision, where it was measured. */
  readonly seconds: number | null;
  /** Of all known answers, in all types. */
  readonly weight: number;
}

interface GateAnchoring extends SplitAnchoring {
  readonly run: string;
  readonly gate: string;
}

interface Overlap {
  readonly candidates: number;
  readonly cohen: {
    readonly reviewers: readonly [string, string];
    readonly candidates: number;
    readonly kappa: number | null;
  }[];
  readonly fleiss: number | null;
  /** By type: errors that the two with most candidates in common each found, and how many there are in all. */
  readonly errors: readonly {
    readonly type: CandidateType;
    readonly first: number;
    readonly second: number;
    readonly both: number;
    /** Null where they found none in common: that says nothing about how many neither found. */
    readonly inAll: Estimate | null;
  }[];
}

export async function runReviewStats(
  settings: Settings,
  runNames: readonly string[],
  options: { readonly json?: boolean },
): Promise<ExitCode> {
  const store = await openExistingStore(settings);
  const gates: GateAnswers[] = [];
  for (const name of runNames) gates.push(...(await answersOf(store, (await findRun(store, name)).header.run)));
  const known = (await Promise.all(gates.map(({ gate }) => readKnown(store, gate)))).flat();
  const isKnown = new Set(known.map(({ candidateId }) => candidateId));
  // What settles the opinions of others was said with these in sight: it is no opinion of its own, and no measure of one.
  const answers = gates.flatMap((gate) => gate.answers.filter(({ settles }) => !settles));
  const types = new Map(gates.flatMap((gate) => [...gate.types]));
  const accuracies = accuracyOf(known, answers);
  const reviewers = reviewersOf(answers, accuracies);
  const real = answers.filter(({ candidateId }) => !isKnown.has(candidateId));
  const left = errorsLeft(accuracies, wrongByType(real, types));
  const overlap = overlapOf(real, types);
  const anchoring = (await Promise.all(gates.map((gate) => anchoringOfGate(store, gate)))).flat();
  if (options.json) {
    printJson({ reviewers, accuracies, left, overlap, anchoring });
    return exitCodes.done;
  }
  printReviewers(reviewers);
  printAccuracies(accuracies);
  for (const { type, ...estimate } of left) {
    print(`  ${type}: ${estimateWords(estimate)} errors among what was asked were probably passed over`);
  }
  printOverlap(overlap);
  printAnchoring(anchoring);
  return exitCodes.done;
}

async function anchoringOfGate(store: Store, { run, gate, answers }: GateAnswers): Promise<GateAnchoring[]> {
  if (gate.asking === undefined) return [];
  const [candidates, { images }, rules] = await Promise.all([
    loadJson(store, 'candidates', gate.candidates),
    loadDataset(store, gate.dataset),
    readRules(store, gate),
  ]);
  return (anchoringsOf(candidates, answers, rules, images) ?? []).map((one) => ({ run, gate: gate.path, ...one }));
}

async function answersOf(store: Store, run: string): Promise<GateAnswers[]> {
  const gates = await listGates(store, run);
  return await Promise.all(
    gates.map(async (gate) => {
      const [candidates, answers] = await Promise.all([
        loadJson(store, 'candidates', gate.candidates),
        readDecisions(store, run, gate.path),
      ]);
      return { run, gate, types: new Map(candidates.map(({ id, type }) => [id, type])), answers };
    }),
  );
}

function reviewersOf(answers: readonly RecordedDecision[], accuracies: readonly ReviewerAccuracy[]): ReviewerStats[] {
  return [...new Set(answers.map(({ by }) => by))].sort().map((by) => {
    const own = answers.filter((answer) => answer.by === by);
    const share: { [verdict: string]: number } = {};
    for (const { verdict } of own) share[verdict] = (share[verdict] ?? 0) + 1 / own.length;
    const times = own
      .map(({ seconds }) => seconds)
      .filter((seconds) => seconds !== undefined)
      .sort((a, b) => a - b);
    return {
      by,
      decisions: own.length,
      share,
      seconds: times[times.length >> 1] ?? null,
      weight: weightOfReviewer(by, accuracies),
    };
  });
}

function wrongByType(
  answers: readonly RecordedDecision[],
  types: ReadonlyMap<string, CandidateType>,
): Map<CandidateType, number> {
  const wrong = new Map<CandidateType, Set<string>>();
  for (const answer of answers) {
    const type = types.get(answer.candidateId);
    if (type === undefined || !saysWrong(answer)) continue;
    wrong.set(type, (wrong.get(type) ?? new Set()).add(answer.candidateId));
  }
  return new Map([...wrong].map(([type, ids]) => [type, ids.size]));
}

/** Of candidates that several people answered, in one run or in several of them. */
export function overlapOf(
  answers: readonly RecordedDecision[],
  types: ReadonlyMap<string, CandidateType>,
): Overlap | null {
  const byCandidate = new Map<string, Map<string, RecordedDecision>>();
  for (const answer of answers) {
    const own = byCandidate.get(answer.candidateId) ?? new Map<string, RecordedDecision>();
    if (!own.has(answer.by)) own.set(answer.by, answer);
    byCandidate.set(answer.candidateId, own);
  }
  const shared = [...byCandidate].filter(([, said]) => said.size > 1);
  if (shared.length === 0) return null;
  const names = [...new Set(shared.flatMap(([, said]) => [...said.keys()]))].sort();
  const pairs = names.flatMap((first, i) => names.slice(i + 1).map((second) => [first, second] as const));
  const ofBoth = ([first, second]: readonly [string, string]) =>
    shared.filter(([, said]) => said.has(first) && said.has(second));
  const cohen = pairs
    .map((reviewers) => {
      const both = ofBoth(reviewers);
      const said = both.map(([, own]) => [own.get(reviewers[0])!.verdict, own.get(reviewers[1])!.verdict] as const);
      return { reviewers, candidates: both.length, kappa: cohensKappa(said) };
    })
    .filter(({ candidates }) => candidates > 0)
    .sort((a, b) => b.candidates - a.candidates);
  const [first, second] = cohen[0]!.reviewers;
  const errors = [...new Set(ofBoth([first, second]).map(([id]) => types.get(id)!))].sort().map((type) => {
    const own = ofBoth([first, second]).filter(([id]) => types.get(id) === type);
    const found = (by: string) => own.filter(([, said]) => saysWrong(said.get(by)!));
    const both = found(first).filter(([, said]) => saysWrong(said.get(second)!)).length;
    const [a, b] = [found(first).length, found(second).length];
    return { type, first: a, second: b, both, inAll: both === 0 ? null : chapman(a, b, both) };
  });
  return {
    candidates: shared.length,
    cohen,
    fleiss:
      names.length < 3 ? null : fleissKappa(shared.map(([, said]) => [...said.values()].map(({ verdict }) => verdict))),
    errors,
  };
}

function printReviewers(reviewers: readonly ReviewerStats[]): void {
  if (reviewers.length === 0) {
    print('Nobody has decided anything yet.');
    return;
  }
  const percent = (share: number | undefined) => `${Math.round(100 * (share ?? 0))} %`;
  print(
    table([
      ['REVIEWER', 'DECISIONS', 'ACCEPT', 'REJECT', 'EDIT', 'IGNORE', 'SECONDS', 'WEIGHT'].map((head) =>
        colours.dim(head),
      ),
      ...reviewers.map(({ by, decisions, share, seconds, weight }) => [
        by,
        String(decisions),
        ...['accept', 'reject', 'edit', 'ignore'].map((verdict) => percent(share[verdict])),
        seconds === null ? '' : seconds.toFixed(1),
        weight.toFixed(2),
      ]),
    ]),
  );
}

function printAccuracies(accuracies: readonly ReviewerAccuracy[]): void {
  if (accuracies.length === 0) {
    print('No question with a known answer was answered (`knownAnswers` of review-labels).');
    return;
  }
  print();
  print(
    table([
      ['REVIEWER', 'TYPE', 'KNOWN', 'RIGHT', '95 %', 'ERRORS FOUND'].map((head) => colours.dim(head)),
      ...accuracies.map(({ by, type, asked, accuracy, planted, found }) => [
        by,
        type,
        String(asked),
        `${Math.round(100 * accuracy.value)} %`,
        `${Math.round(100 * accuracy.low)} to ${Math.round(100 * accuracy.high)} %`,
        `${found} of ${planted}`,
      ]),
    ]),
  );
}

function printOverlap(overlap: Overlap | null): void {
  if (overlap === null) return;
  print();
  print(`${overlap.candidates} candidates were answered by more than one.`);
  for (const { reviewers, candidates, kappa } of overlap.cohen) {
    print(
      `  ${reviewers.join(' and ')}: Cohen's kappa ${kappa === null ? 'not defined' : kappa.toFixed(2)} over ${candidates}`,
    );
  }
  if (overlap.fleiss !== null) print(`  all: Fleiss' kappa ${overlap.fleiss.toFixed(2)}`);
  const [first, second] = overlap.cohen[0]!.reviewers;
  for (const { type, first: a, second: b, both, inAll } of overlap.errors) {
    const rest = inAll === null ? 'how many there are cannot be told' : `about ${estimateWords(inAll)} in all`;
    print(`  ${type}: ${first} found ${a} errors, ${second} ${b}, both ${both}: ${rest}`);
  }
}

function printAnchoring(anchorings: readonly GateAnchoring[]): void {
  const percent = (share: number) => `${Math.round(100 * share)}`;
  for (const { run, gate, of, anchoring } of anchorings) {
    const { shown, blind, difference } = anchoring;
    const words = (share: Anchoring['shown']) =>
      `${percent(share.value)} % of ${share.count} [${percent(share.low)}, ${percent(share.high)}]`;
    print();
    print(
      `${run} ${gate}, ${of === 'test' ? 'test images' : 'images of other splits'}: answers that came to what the model says`,
    );
    print(`  its box in sight  ${words(shown)}`);
    print(`  its box hidden    ${words(blind)}`);
    print(
      `  difference        ${percent(difference.value)} points [${percent(difference.low)}, ${percent(difference.high)}]`,
    );
  }
}

function estimateWords({ value, low, high }: Estimate): string {
  return `${value.toFixed(1)} [${low.toFixed(1)}, ${high.toFixed(1)}]`;
}

/** `hardcase review list|show|decide`: label review from the command line. */

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import colours from 'picocolors';
import { readBytes } from '../artifacts/codecs.ts';
import { readGate } from '../artifacts/gate-record.ts';
import { listOpenRuns } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { hidden, problemOfBlind } from '../detection/blind.ts';
import { drawnAmong, misfitOf } from '../detection/decisions.ts';
import { drawnId, misfitOfDrawn } from '../detection/drawn-boxes.ts';
import type { Box, Candidate, CandidateType, Decision } from '../detection/types.ts';
import { problemOfOpinion } from '../detection/verdicts.ts';
import { candidateJson, drawnJson, type GateView, readGateView, readGateViews } from '../review/gate-view.ts';
import { approvePaths } from '../workflows/approve-paths.ts';
import { gatePaths, isGatePath } from '../workflows/decision-check.ts';
import { answerApproval, approvalJson, approvalText, approvalViews, approveStepAt, findApproval } from './approvals.ts';
import { openExistingStore } from './connect.ts';
import { findRun } from './find-run.ts';
import {
  CommandError,
  didYouMean,
  type ExitCode,
  exitCodes,
  formatMoment,
  note,
  ownCommand,
  print,
  printJson,
  table,
} from './output.ts';
import {
  bullets,
  isVerdict,
  notAVerdict,
  readDecisionFile,
  readDecisionWords,
  toDecision,
  type WrittenDecision,
} from './read-decisions.ts';
import { clusterJson, clusterWords, openClusters, withoutClusters } from './review-clusters.ts';
import { previewsOf, previewWords } from './review-preview.ts';
import { isFinal, readPlan } from './run-view.ts';
import type { Settings } from './settings.ts';

const candidateTypes: readonly CandidateType[] = ['missing', 'spurious', 'badly-located', 'wrong-class', 'duplicate'];

export interface ReviewListOptions {
  readonly gate?: string;
  readonly type?: string;
  /** Also those decided already, and gates that are closed. */
  readonly all?: boolean;
  /** Clusters in place of single candidates. */
  readonly clusters?: boolean;
  /** Only those that somebody must settle. */
  readonly differ?: boolean;
  readonly limit?: number;
  readonly json?: boolean;
}

export async function runReviewList(
  settings: Settings,
  runName: string | undefined,
  options: ReviewListOptions,
): Promise<ExitCode> {
  checkType(options.type);
  const store = await openExistingStore(settings);
  const views = (await gateViews(store, runName)).filter(({ gate }) =>
    options.gate === undefined ? options.all || gate.state === 'open' : gate.path === options.gate,
  );
  const lists = views.map((view) => ({
    view,
    candidates: view.candidates.filter(
      (candidate) =>
        (options.all || !view.decided.has(candidate.id)) &&
        (!options.differ || view.standings.of(candidate.id)!.state === 'conflict') &&
        (options.type === undefined || candidate.type === options.type),
    ),
  }));
  const approvals = (await approvalViews(store, runName)).filter(({ approval }) =>
    options.gate === undefined ? options.all || approval.state === 'open' : approval.path === options.gate,
  );
  const previews = await previewsOf(
    store,
    lists.map(({ view }) => view),
  );
  if (options.json) {
    printJson([
      ...lists.map(({ view, candidates }) => ({
        run: view.run,
        gate: view.gate.path,
        state: view.gate.state,
        reviewer: view.gate.reviewer ?? 'human',
        openedAt: view.gate.openedAt,
        expiresAt: view.gate.expiresAt,
        asked: view.candidates.length,
        undecided: view.candidates.filter(({ id }) => !view.decided.has(id)).length,
        toSettle: view.standings.count('conflict') || undefined,
        adjudicators: view.rules.adjudicators,
        carriedOver: view.gate.carriedOver,
        clusters: openClusters(view).map((cluster) => clusterJson(view, cluster)),
        candidates: candidates.slice(0, options.limit).map((candidate) => candidateJson(view, candidate)),
        drawn: view.drawn.map((drawn) => drawnJson(view, drawn)),
        preview: previews.get(view) ?? null,
      })),
      ...approvals.map(approvalJson),
    ]);
    return exitCodes.done;
  }
  if (lists.length === 0 && approvals.length === 0) {
    print(options.gate ? `No gate "${options.gate}" has opened.` : 'No gate waits for a decision.');
    return exitCodes.done;
  }
  const limit = options.limit ?? 50;
  if (options.clusters) {
    for (const { view } of lists) printClusters(view, options.type, limit);
    return exitCodes.done;
  }
  for (const { view, candidates } of lists) {
    const undecided = view.candidates.filter(({ id }) => !view.decided.has(id)).length;
    const toSettle = view.standings.count('conflict');
    print(
      `${colours.bold(`${view.run} ${view.gate.path}`)}: ${view.gate.state}, ${undecided} of ${view.candidates.length} undecided` +
        `${toSettle > 0 ? `, ${toSettle} of them for ${settlerWords(view)} to settle` : ''}` +
        `${view.gate.carriedOver > 0 ? `, ${view.gate.carriedOver} decided earlier` : ''}` +
        `${view.gate.expiresAt ? `, expires ${formatMoment(view.gate.expiresAt)}` : ''}`,
    );
    const added = view.drawn.length;
    if (added > 0) print(`  ${added} ${added === 1 ? 'label was' : 'labels were'} added where nobody asked.`);
    const preview = previews.get(view);
    if (preview != null) print(`  ${previewWords(preview)}`);
    if (candidates.length > 0) {
      print(
        table([
          ['', 'CANDIDATE', 'TYPE', 'IMAGE', 'BOX', 'SCORE', 'LABEL', 'DECISION'].map((head) => colours.dim(head)),
          ...candidates.slice(0, limit).map((candidate) => row(view, candidate)),
        ]),
      );
    }
    if (candidates.length > limit) print(`  and ${candidates.length - limit} more (--limit)`);
    if (view.gate.state === 'open' && candidates[0]) {
      const [{ id }] = candidates;
      const settle = view.standings.of(id)!.state === 'conflict' ? ['--settle'] : [];
      print(`  Look:   ${ownCommand('review', 'show', id)}`);
      print(
        `  Answer: ${ownCommand('review', 'decide', view.run, view.gate.path, `${id}=accept|reject|ignore`, ...settle)}`,
      );
    }
    print();
  }
  for (const view of approvals) print(`${approvalText(view)}\n`);
  return exitCodes.done;
}

function printClusters(view: GateView, type: string | undefined, limit: number): void {
  const clusters = openClusters(view).filter((cluster) => type === undefined || cluster.type === type);
  const undecided = clusters.reduce((sum, { candidates }) => sum + candidates.length, 0);
  print(
    `${colours.bold(`${view.run} ${view.gate.path}`)}: ${clusters.length} clusters with ${undecided} undecided candidates`,
  );
  const [first] = clusters;
  if (first === undefined) return;
  print(
    table([
      ['', 'CLUSTER', 'TYPE', 'CANDIDATES', 'IMAGES', 'CHANCE', 'WHAT', 'LOOK AT'].map((head) => colours.dim(head)),
      ...clusters
        .slice(0, limit)
        .map((cluster) => [
          '',
          cluster.id,
          cluster.type,
          String(cluster.candidates.length),
          String(cluster.images),
          cluster.chance === null ? '' : `${Math.round(100 * cluster.chance)} %`,
          clusterWords(view, cluster),
          cluster.candidates[0]!.id,
        ]),
    ]),
  );
  if (clusters.length > limit) print(`  and ${clusters.length - limit} more (--limit)`);
  print(
    `  Answer: ${ownCommand('review', 'decide', view.run, view.gate.path, `cluster:${first.id}=accept|reject|ignore`)}`,
  );
  print();
}

function row(view: GateView, candidate: Candidate): string[] {
  const decision = view.decided.get(candidate.id);
  const isBlind = decision === undefined && view.rules.isBlind(candidate.id);
  const { annotation, detection, iou } = isBlind ? hidden(candidate) : candidate;
  const shownBox = detection ?? annotation;
  return [
    '',
    candidate.id,
    candidate.type,
    view.image(candidate)?.fileName ?? String(candidate.imageId),
    shownBox === undefined ? 'hidden' : boxWords(shownBox.box),
    detection ? detection.score.toFixed(2) : '',
    annotation
      ? `${view.categoryName(annotation.categoryId)}${iou === undefined ? '' : ` (IoU ${iou.toFixed(2)})`}`
      : detection
        ? `none (detected: ${view.categoryName(detection.categoryId)})`
        : '',
    decision ? `${decision.verdict} by ${decision.by}` : standingWords(view, candidate),
  ];
}

/** Of a candidate without a verdict. What one person said before the others have is not told. */
function standingWords(view: GateView, { id }: Candidate): string {
  const { state, said, wanted } = view.standings.of(id)!;
  if (state === 'conflict') return `differ: ${said.map(({ verdict, by }) => `${verdict} by ${by}`).join(', ')}`;
  return wanted === 1 ? '' : `${said.length} of ${wanted} opinions`;
}

const settlerWords = ({ rules }: GateView): string => rules.adjudicators?.join(' or ') ?? 'somebody else';

export interface ReviewShowOptions {
  readonly run?: string;
  readonly out?: string;
  readonly json?: boolean;
}

export async function runReviewShow(
  settings: Settings,
  candidateName: string,
  options: ReviewShowOptions,
): Promise<ExitCode> {
  const store = await openExistingStore(settings);
  const approval = findApproval(await approvalViews(store, options.run), candidateName);
  if (approval !== null) {
    if (options.json) printJson(approvalJson(approval));
    else print(approvalText(approval));
    return exitCodes.done;
  }
  const { view, candidate } = findCandidate(await gateViews(store, options.run), candidateName);
  const image = view.image(candidate);
  if (image === undefined) throw new Error(`Internal error: image ${candidate.imageId} is not in the gate's dataset.`);
  const decision = view.decided.get(candidate.id);
  const isBlind = decision === undefined && view.rules.isBlind(candidate.id);
  const { detectionColour, drawCandidate, labelColour } = await import('./draw-candidate.ts');
  const picture = await drawCandidate(
    await readBytes(store, `image ${image.fileName}`, image.digest),
    image,
    candidate,
    view.labels(image.id),
    isBlind,
  );
  const out = options.out ?? join(settings.folder, 'crops', `${candidate.id}.png`);
  await mkdir(dirname(out), { recursive: true });
  await writeFile(out, picture);
  if (options.json) {
    printJson({ run: view.run, gate: view.gate.path, ...candidateJson(view, candidate), crop: out });
    return exitCodes.done;
  }
  const { annotation, detection, iou } = isBlind ? hidden(candidate) : candidate;
  const isDiffering = view.standings.of(candidate.id)!.state === 'conflict';
  const answer = (verdict: string) =>
    ownCommand(
      'review',
      'decide',
      view.run,
      view.gate.path,
      `${candidate.id}=${verdict}`,
      ...(isDiffering ? ['--settle'] : []),
    );
  const standing = decision === undefined ? standingWords(view, candidate) : '';
  print(
    [
      `${colours.bold(candidate.id)}: ${candidate.type} (${view.run} ${view.gate.path})`,
      `  ${isBlind ? blindQuestion(candidate) : question(candidate)}`,
      `  image      ${image.fileName}, ${image.width} x ${image.height}, split ${image.split}`,
      annotation
        ? `  label      ${view.categoryName(annotation.categoryId)} at ${boxWords(annotation.box)} (solid blue, ${labelColour})`
        : '  label      none',
      detection
        ? `  detection  ${view.categoryName(detection.categoryId)} at ${boxWords(detection.box)}, score ${detection.score.toFixed(3)} (dashed orange, ${detectionColour})`
        : `  detection  ${isBlind ? 'hidden: say what is there by yourself' : 'none'}`,
      ...(iou === undefined ? [] : [`  IoU        ${iou.toFixed(3)}`]),
      ...(decision ? [`  decided    ${decision.verdict} by ${decision.by}, ${formatMoment(decision.at)}`] : []),
      ...(standing === ''
        ? []
        : [`  opinions   ${standing}${isDiffering ? `; for ${settlerWords(view)} to settle` : ''}`]),
      `  picture    ${out}`,
      ...(decision || view.gate.state === 'closed'
        ? []
        : [
            ...(isBlind ? [] : [`  The model is right:    ${answer('accept')}`]),
            `  The label is right:    ${answer('reject')}`,
            `  Neither:               ${answer('edit:x1,y1,x2,y2')}`,
            `  It cannot be told:     ${answer('ignore')}`,
          ]),
    ].join('\n'),
  );
  return exitCodes.done;
}

function question(candidate: Candidate): string {
  switch (candidate.type) {
    case 'missing':
      return 'The model sees a target that has no label. Is a label missing?';
    case 'spurious':
      return 'The model sees nothing where there is a label. Is the label wrong?';
    case 'badly-located':
      return 'The model puts the box elsewhere than the label. Is its box the better one?';
    case 'wrong-class':
      return 'The model names another category than the label. Is its category the right one?';
    case 'duplicate':
      return 'Two labels lie on one target. Should this one go?';
  }
}

/** The model has a box here, and it is hidden. */
function blindQuestion({ type }: Candidate): string {
  switch (type) {
    case 'missing':
      return 'Is something here that has no label? If so, draw it: edit:x1,y1,x2,y2:category.';
    case 'wrong-class':
      return 'Does the label have the right category? If not, name another: edit:x1,y1,x2,y2:category.';
    default:
      return 'Does the label fit? If not, draw its box: edit:x1,y1,x2,y2.';
  }
}

export interface ReviewDecideOptions {
  readonly file?: string;
  /** A verdict for every undecided candidate. */
  readonly all?: string;
  readonly type?: string;
  /** The verdict where opinions of others differ. */
  readonly settle?: boolean;
  readonly by?: string;
  readonly reason?: string;
  readonly json?: boolean;
}

export async function runReviewDecide(
  settings: Settings,
  runName: string,
  gatePath: string,
  words: readonly string[],
  options: ReviewDecideOptions,
): Promise<ExitCode> {
  checkType(options.type);
  const store = await openExistingStore(settings);
  const { header, state } = await findRun(store, runName);
  const approve = isFinal(state.state) ? null : await approveStepAt(store, header, gatePath);
  if (approve !== null) return await answerApproval(settings, store, header, approve, gatePath, words, options);
  if (isFinal(state.state)) {
    throw new CommandError(`Run ${header.run} is ${state.state}: its gates take no more decisions.`, exitCodes.input);
  }
  const gate = await readGate(store, header.run, gatePath);
  const view = gate === null ? null : await readGateView(store, header.run, gate);
  await checkGatePath(store, header, gatePath, view);
  const written = await readWritten(words, options);
  const by = options.by ?? userInfo().username;
  const given =
    written === null
      ? decideAll(view, gatePath, by, options)
      : resolve(withoutClusters(written, view), view, gatePath, options);
  const decisions = options.settle ? given.map((decision) => ({ ...decision, settles: true as const })) : given;
  const conflicts = decisions.flatMap((decision) => {
    const why = contradiction(decision, by, view);
    return why === null ? [] : [{ candidate: decision.candidateId, why }];
  });
  const toSend = decisions.filter(({ candidateId }) => !conflicts.some(({ candidate }) => candidate === candidateId));
  if (gate !== null && gate.state === 'closed' && toSend.some(({ candidateId }) => !view?.decided.has(candidateId))) {
    throw new CommandError(
      `The gate ${gatePath} of ${header.run} closed ${gate.closedAt ? formatMoment(gate.closedAt) : ''} (${gate.reason ?? 'decided'}), and takes no more decisions.`,
      exitCodes.input,
    );
  }
  const { sendDecisions } = await import('./send-messages.ts');
  const answer = await sendDecisions(settings, store, header, gatePath, toSend, {
    by,
    shown: view?.gate.candidates.digest,
  });
  const result = {
    run: header.run,
    gate: gatePath,
    accepted: answer.accepted,
    repeated: answer.repeated,
    conflicts: [...conflicts, ...answer.refused.map(({ candidateId, why }) => ({ candidate: candidateId, why }))],
    checked: view !== null,
  };
  if (options.json) printJson(result);
  else {
    print(
      `${result.accepted} accepted, ${result.repeated} repeated, ${result.conflicts.length} refused (${header.run} ${gatePath}, by ${by}).`,
    );
    if (view === null) {
      print(`The gate ${gatePath} is not open yet: the decisions wait there, and their ids are checked when it opens.`);
    }
    for (const { candidate, why } of result.conflicts) note(`${candidate} ${why}`);
    if (answer.goOn !== undefined) print(`The run goes on with: ${answer.goOn}`);
  }
  return result.conflicts.length > 0 ? exitCodes.input : exitCodes.done;
}

/** Null with `--all`. */
async function readWritten(words: readonly string[], options: ReviewDecideOptions): Promise<WrittenDecision[] | null> {
  const ways = [words.length > 0, options.file !== undefined, options.all !== undefined].filter(Boolean).length;
  if (ways !== 1) {
    throw new CommandError(
      'Give decisions in one way: CANDIDATE=VERDICT …, or --file FILE, or --all VERDICT.',
      exitCodes.usage,
    );
  }
  if (options.all !== undefined) {
    if (!isVerdict(options.all)) throw new CommandError(`--all: ${notAVerdict(options.all)}`, exitCodes.usage);
    if (options.all === 'edit' || options.all === 'add') {
      throw new CommandError(`--all ${options.all} is not possible: each has its own box.`, exitCodes.usage);
    }
    return null;
  }
  if (options.type !== undefined) throw new CommandError('--type goes with --all.', exitCodes.usage);
  if (options.file === undefined) return readDecisionWords(words);
  const text = await readFile(options.file, 'utf8').catch((error: unknown) => {
    throw new CommandError(`${options.file} cannot be read: ${(error as Error).message}`, exitCodes.input, error);
  });
  const decisions = readDecisionFile(options.file, text);
  if (decisions.length === 0) throw new CommandError(`${options.file} holds no decision.`, exitCodes.input);
  return decisions;
}

function decideAll(view: GateView | null, gatePath: string, by: string, options: ReviewDecideOptions): Decision[] {
  if (view === null) {
    throw new CommandError(
      `The gate ${gatePath} is not open yet, so its candidates are not known and --all cannot be used.`,
      exitCodes.input,
    );
  }
  const isAsked = (id: string) => {
    const { state, said } = view.standings.of(id)!;
    return options.settle ? state === 'conflict' : state === 'open' && !said.some((one) => one.by === by);
  };
  const verdict = options.all as 'accept' | 'reject' | 'ignore';
  const wanted = view.candidates.filter(
    ({ id, type }) => isAsked(id) && (options.type === undefined || type === options.type),
  );
  const open = wanted.filter(
    (candidate) =>
      !view.rules.isBlind(candidate.id) ||
      problemOfBlind(candidate, { candidateId: candidate.id, verdict }, view.categories) === null,
  );
  if (open.length < wanted.length) {
    note(
      `${wanted.length - open.length} are asked without the model’s box, and are left: "accept" says nothing of them.`,
    );
  }
  return open.map(({ id }) => ({ candidateId: id, verdict, ...(options.reason ? { reason: options.reason } : {}) }));
}

/** Full ids and category numbers, with every unknown one reported. */
function resolve(
  written: readonly WrittenDecision[],
  view: GateView | null,
  gatePath: string,
  options: ReviewDecideOptions,
): Decision[] {
  const problems: string[] = [];
  const decisions: Decision[] = [];
  const places = new Map<string, WrittenDecision>();
  for (const item of written) {
    if (item.verdict === 'add') {
      const added = addedLabel(item, view, gatePath, problems);
      if (added !== null)
        decisions.push({ ...added, ...(options.reason && !added.reason ? { reason: options.reason } : {}) });
      continue;
    }
    const candidate = view === null ? undefined : matchCandidate(view, item, problems);
    if (view !== null && candidate === undefined) continue;
    if (view === null && !/^[0-9a-f]{16}$/.test(item.candidate)) {
      problems.push(
        `${item.place}: the gate ${gatePath} is not open yet, so ids cannot be completed: give all 16 digits.`,
      );
      continue;
    }
    const id = candidate?.id ?? item.candidate;
    const twin = places.get(id);
    if (twin !== undefined && twin.verdict !== item.verdict) {
      problems.push(`${item.place}: ${id} is "${item.verdict}" here and "${twin.verdict}" in ${twin.place}.`);
    }
    if (twin !== undefined) continue;
    places.set(id, item);
    const categoryId = item.verdict === 'edit' ? categoryOf(item, candidate, view, problems) : undefined;
    const image = candidate === undefined ? undefined : view?.image(candidate);
    const misfit = image === undefined ? null : misfitOf({ box: item.box }, image, []);
    if (misfit !== null) problems.push(`${item.place}: ${misfit}`);
    decisions.push(toDecision({ ...item, reason: item.reason ?? options.reason }, id, categoryId));
  }
  if (problems.length > 0) throw new CommandError(`No decision was sent:\n${bullets(problems)}`, exitCodes.input);
  return decisions;
}

/** A label that no candidate asks about, with its image and category by id. */
function addedLabel(
  item: WrittenDecision,
  view: GateView | null,
  gatePath: string,
  problems: string[],
): Decision | null {
  const name = item.image!;
  const image = view?.images.find(({ id, fileName }) => fileName === name || String(id) === name);
  if (view === null) {
    problems.push(`${item.place}: the gate ${gatePath} is not open yet, so its images are not known.`);
    return null;
  }
  if (image === undefined) {
    const near = didYouMean(
      name,
      view.images.map(({ fileName }) => fileName),
    );
    problems.push(`${item.place}: the dataset has no image "${name}".${near ? ` Did you mean "${near}"?` : ''}`);
    return null;
  }
  const [only, ...more] = view.categories;
  if (item.category === undefined && more.length > 0) {
    const names = view.categories.map((category) => category.name).join(', ');
    problems.push(`${item.place}: "add" needs a category after the box, one of ${names}.`);
    return null;
  }
  const categoryId = item.category === undefined ? only!.id : categoryOf(item, undefined, view, problems);
  if (categoryId === undefined) return null;
  const added = { ...toDecision(item, drawnId(image, categoryId, item.box!), categoryId), imageId: image.id };
  const [drawn] = drawnAmong([added]);
  const misfit = misfitOfDrawn(drawn!, image, view.categories, view.labels(image.id), view.drawn);
  if (misfit !== null) problems.push(`${item.place}: ${misfit}`);
  return misfit === null ? added : null;
}

function matchCandidate(view: GateView, item: WrittenDecision, problems: string[]): Candidate | undefined {
  const matching = view.candidates.filter(({ id }) => id.startsWith(item.candidate));
  if (matching.length === 1) return matching[0];
  if (matching.length > 1) {
    problems.push(
      `${item.place}: "${item.candidate}" may be any of ${matching.length} candidates (${matching
        .slice(0, 4)
        .map(({ id }) => id)
        .join(', ')}…). Give more digits.`,
    );
    return undefined;
  }
  const near = nearId(
    item.candidate,
    view.candidates.map(({ id }) => id),
  );
  problems.push(
    `${item.place}: the gate ${view.gate.path} asks about no candidate "${item.candidate}".${near ? ` Did you mean "${near}"?` : ''} List them: ${ownCommand('review', 'list', view.run)}`,
  );
  return undefined;
}

/** The one that shares the longest beginning, when that is at least four digits; else the least misspelled. */
function nearId(name: string, ids: readonly string[]): string | undefined {
  const shared = (id: string) => {
    let length = 0;
    while (length < id.length && id[length] === name[length]) length++;
    return length;
  };
  const best = ids.reduce<string | undefined>((a, b) => (a === undefined || shared(b) > shared(a) ? b : a), undefined);
  return best !== undefined && shared(best) >= 4 ? best : didYouMean(name, ids);
}

function categoryOf(
  item: WrittenDecision,
  candidate: Candidate | undefined,
  view: GateView | null,
  problems: string[],
): number | undefined {
  if (item.category === undefined) return candidate?.annotation?.categoryId ?? candidate?.detection?.categoryId;
  const named = view?.categories.find(({ id, name }) => name === item.category || String(id) === item.category);
  if (named !== undefined) return named.id;
  if (view === null && /^[1-9]\d*$/.test(item.category)) return Number(item.category);
  const names = view?.categories.map(({ name }) => name) ?? [];
  const near = didYouMean(item.category, names);
  problems.push(
    view === null
      ? `${item.place}: the gate is not open yet, so category names are not known: give the category's number.`
      : `${item.place}: no category "${item.category}".${near ? ` Did you mean "${near}"?` : ''} Categories: ${names.join(', ')}.`,
  );
  return undefined;
}

/** Why the run would refuse the whole message because of this decision, or null. */
function contradiction(decision: Decision, by: string, view: GateView | null): string | null {
  const standing = view?.standings.of(decision.candidateId) ?? null;
  if (view === null || standing === null) return null;
  const problem = problemOfOpinion(standing, decision, by, view.rules.adjudicators);
  if (problem === null) {
    const candidate = view.candidates.find(({ id }) => id === decision.candidateId)!;
    const blind = view.rules.isBlind(candidate.id) ? problemOfBlind(candidate, decision, view.categories) : null;
    return blind === null ? null : `is not taken: ${blind}`;
  }
  if (problem === 'repeated') return null;
  if (standing.state !== 'settled') return `is not taken: ${problem}`;
  const { verdict } = standing;
  return `is decided already: ${verdict.verdict} by ${verdict.by}, not ${decision.verdict}`;
}

/** A gate that has not opened must at least be a review of the plan. */
async function checkGatePath(
  store: Store,
  header: { readonly run: string; readonly planDigest: string },
  gatePath: string,
  view: GateView | null,
): Promise<void> {
  if (view !== null) return;
  const plan = await readPlan(store, header.planDigest);
  if (plan === null || isGatePath(plan.root, gatePath)) return;
  const known = [...gatePaths(plan.root), ...approvePaths(plan.root)];
  const near = didYouMean(gatePath, known);
  throw new CommandError(
    `Run ${header.run} has no gate "${gatePath}".${near ? ` Did you mean "${near}"?` : ''} ${known.length > 0 ? `Its gates: ${known.join(', ')}.` : 'Its pipeline has none.'}`,
    exitCodes.usage,
  );
}

/** Gates of one run, or of all runs that go on. */
async function gateViews(store: Store, runName: string | undefined): Promise<GateView[]> {
  if (runName !== undefined) return await readGateViews(store, (await findRun(store, runName)).header.run);
  const views: GateView[] = [];
  for (const { header } of await listOpenRuns(store)) views.push(...(await readGateViews(store, header.run)));
  return views;
}

function findCandidate(views: readonly GateView[], name: string): { view: GateView; candidate: Candidate } {
  const found = new Map<string, { view: GateView; candidate: Candidate }>();
  for (const view of views) {
    for (const candidate of view.candidates) {
      // Asked again in a later gate: the latest shows what is asked now.
      if (candidate.id.startsWith(name)) found.set(candidate.id, { view, candidate });
    }
  }
  const matches = [...found.values()];
  if (matches.length === 1) return matches[0]!;
  if (matches.length > 1) {
    throw new CommandError(`"${name}" may be any of ${matches.length} candidates. Give more digits.`, exitCodes.usage);
  }
  const near = nearId(
    name,
    views.flatMap(({ candidates }) => candidates.map(({ id }) => id)),
  );
  throw new CommandError(
    `There is no candidate "${name}" in ${views.length} ${views.length === 1 ? 'gate' : 'gates'}.${near ? ` Did you mean "${near}"?` : ''} Name the run with --run where it has ended, or list them: ${ownCommand('review', 'list')}`,
    exitCodes.usage,
  );
}

function checkType(type: string | undefined): void {
  if (type === undefined || (candidateTypes as readonly string[]).includes(type)) return;
  const near = didYouMean(type, candidateTypes);
  throw new CommandError(
    `--type: no candidate is "${type}".${near ? ` Did you mean "${near}"?` : ''} Types: ${candidateTypes.join(', ')}.`,
    exitCodes.usage,
  );
}

const boxWords = (box: Box): string => box.map((corner) => corner.toFixed(1).replace(/\.0$/, '')).join(',');

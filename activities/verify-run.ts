/** Checks the record of a run against the objects it names: digests, fingerprints, hash chains, decisions. Reads only. */

import { loadJson } from '../artifacts/codecs.ts';
import { brokenLink as brokenBatch } from '../artifacts/decision-chain.ts';
import { listGates, readBatches, readDecisions } from '../artifacts/gate-record.ts';
import { readRules } from '../artifacts/gate-rules.ts';
import { mapInParallel } from '../artifacts/map-in-parallel.ts';
import { Reach } from '../artifacts/reach.ts';
import { type RunRecord, readOperations, readStepRecords } from '../artifacts/run-record.ts';
import { artifactRefsIn, peekStepResult } from '../artifacts/step-results.ts';
import { DamagedObjectError, type Store } from '../artifacts/store.ts';
import type { Curves } from '../artifacts/types.ts';
import { markOf } from '../detection/decisions.ts';
import { decodeCheckpoint } from '../detection/model/checkpoint.ts';
import { brokenLink, digestState } from '../detection/model/training-chain.ts';
import { Standings } from '../detection/standings.ts';
import { canonicalJson } from '../plan/canonical.ts';
import { followFork } from '../plan/follow-fork.ts';
import { forkScope } from '../plan/fork.ts';
import { findStep, parsePath } from '../plan/paths.ts';
import {
  isArtifactRef,
  type Json,
  type Plan,
  type PlanUpgrade,
  type RunEnvironment,
  type RunHeader,
  type StepRecord,
  type StepState,
} from '../plan/types.ts';
import { upgradedScope } from '../plan/upgrade.ts';
import { otherMachines } from '../report/arithmetic.ts';
import type { CheckpointRecord } from './checkpoints.ts';
import { fingerprintOfStep, isReusable } from './step-identity.ts';
import { Checking, type Verification } from './verification.ts';

export async function verifyRun(
  store: Store,
  { header, state: { state, upgrades = [], environment } }: RunRecord,
): Promise<Verification> {
  const records = await readStepRecords(store, header.run);
  const plan = new Checking('plan', 'the plan, the pipeline file and the params');
  const parsed = await checkPlan(store, header, plan);
  await checkFork(store, header, upgrades[0]?.before ?? header.planDigest, plan);
  await checkUpgrades(store, header, upgrades, plan);
  const checks = [
    plan,
    ...(parsed === null ? [] : [await checkSteps(store, parsed, records), checkInputs(parsed, records)]),
    await checkObjects(store, header, records),
    await checkChains(store, records),
    await checkDecisions(store, header.run, records),
  ];
  if (state === 'done') checks.push(checkEnd(records));
  return {
    run: header.run,
    state,
    ok: checks.every(({ problems }) => problems.length === 0),
    checks: checks.map(({ result }) => result),
    remarks: [
      ...remarksOn(header, state, records),
      ...(await remarksOnMachines(store, environment, records)),
      ...(await remarksOnLedgers(store, header.run)),
    ],
  };
}

async function checkPlan(store: Store, header: RunHeader, check: Checking): Promise<Plan | null> {
  const record = `runs/${header.run}/run.json`;
  const text = await readText(store, header.planDigest);
  check.expect(text !== null, record, `its plan ${header.planDigest} is missing or damaged`);
  check.expect(
    (await readText(store, header.source)) !== null,
    record,
    `its pipeline file ${header.source} is missing or damaged`,
  );
  if (text === null) return null;
  const plan = JSON.parse(text) as Plan;
  check.expect(
    canonicalJson({ ...plan.params }) === canonicalJson({ ...header.params }) && plan.pipeline === header.pipeline,
    record,
    'its name or params are not those of its plan',
  );
  return plan;
}

/** The plan that a fork began with follows from that of the earlier run and that of the file. */
async function checkFork(store: Store, { fork, forkPlans }: RunHeader, first: string, check: Checking): Promise<void> {
  if (fork === undefined || forkPlans === undefined) return;
  const [plan, before, file] = await readPlans(store, [first, forkPlans.before, forkPlans.file]);
  const place = parsePath(fork.from);
  const where = `the fork of ${fork.run}`;
  check.expect(
    !!plan && !!before && !!file,
    where,
    `one of its plans ${first}, ${forkPlans.before}, ${forkPlans.file} is missing or damaged`,
  );
  if (!plan || !before || !file || place === null) return;
  const root = forkScope(before.root, file.root, place, forkPlans.salt);
  check.expect(
    canonicalJson({ ...file, root }) === canonicalJson({ ...plan }),
    where,
    `its plan ${first} is not what follows from that of ${fork.run}, ${forkPlans.before}, and that of the file, ${forkPlans.file}, from ${fork.from} on`,
  );
}

/** Each plan that the run followed follows from the one before: what had begun by then is the same in both. */
async function checkUpgrades(
  store: Store,
  header: RunHeader,
  upgrades: readonly PlanUpgrade[],
  check: Checking,
): Promise<void> {
  const operations = await readOperations(store, header.run);
  for (const [index, upgrade] of upgrades.entries()) {
    const { at, before, plan, filePlan, begun } = upgrade;
    const record = `the upgrade of ${at}`;
    const follows = index === 0 ? before : upgrades[index - 1]!.plan;
    check.expect(before === follows, record, `it changed the plan ${before}, but the run followed ${follows}`);
    const [was, is, file] = await readPlans(store, [before, plan, filePlan]);
    check.expect(
      !!was && !!is && !!file,
      record,
      `one of its plans ${before}, ${plan}, ${filePlan} is missing or damaged`,
    );
    const operation = operations.find((one) => one.operation === 'upgrade' && one.at === at);
    check.expect(operation !== undefined, record, 'no operation of the run asked for it');
    if (!was || !is || !file) continue;
    const root = upgradedScope(was.root, file.root, (id) => begun.includes(id), operation?.from ?? {});
    check.expect(
      canonicalJson({ ...file, root }) === canonicalJson({ ...is }),
      record,
      `its plan ${plan} is not what follows from the one before and that of the file, ${filePlan}`,
    );
    if (header.fork !== undefined) await checkEdit(store, header, upgrade, upgrades[index - 1], { was, file }, check);
  }
}

/** What a fork followed is its own plan with what changed in the file, from one plan of the file to the next. */
async function checkEdit(
  store: Store,
  { fork, forkPlans }: RunHeader,
  { at, before, filePlan, edit }: PlanUpgrade,
  earlier: PlanUpgrade | undefined,
  own: { readonly was: Plan; readonly file: Plan },
  check: Checking,
): Promise<void> {
  const record = `the upgrade of ${at}`;
  const place = parsePath(fork!.from);
  const known = earlier?.edit?.is ?? forkPlans?.file;
  const [was, is] = await readPlans(store, [edit?.was ?? '', edit?.is ?? '']);
  check.expect(
    edit !== undefined && edit.was === known && !!was && !!is,
    record,
    `the plans of the file before and after it, ${edit?.was} (which was ${known}) and ${edit?.is}, are missing, damaged or others`,
  );
  if (!was || !is || forkPlans === undefined || place === null) return;
  const root = followFork(own.was.root, { was: was.root, is: is.root }, { from: place, salt: forkPlans.salt });
  check.expect(
    canonicalJson({ ...is, root }) === canonicalJson({ ...own.file }),
    record,
    `the plan ${filePlan} is not the fork's own, ${before}, with what changed in its file`,
  );
}

/** The fingerprint of each finished step, computed again, and its outputs against the result of that fingerprint. */
async function checkSteps(store: Store, plan: Plan, records: readonly StepRecord[]): Promise<Checking> {
  const check = new Checking('steps', 'fingerprints and results of finished steps');
  const versions = kindVersions(plan as unknown as Json);
  await mapInParallel(records, async ({ path, kind, state, fingerprint, with: inputs, secrets, outputs, fresh }) => {
    if (state !== 'done' || fingerprint === undefined || inputs === undefined) return;
    const result = await peekStepResult(store, fingerprint);
    // The record of a trial that was stopped early is that of its rung, whose kind stands in the result.
    const identity = { kind: result?.kind ?? kind, version: result?.version ?? versions.get(kind) ?? 0 };
    const step = findStep(plan.root, path);
    const foreign = step?.type === 'foreign' ? step : null;
    const request = { ...identity, path, with: inputs, secrets, seed: plan.seed, fresh, outputs: foreign?.outputs };
    check.expect(
      fingerprintOfStep(request as Parameters<typeof fingerprintOfStep>[0]) === fingerprint,
      path,
      `its inputs and parameters have another fingerprint than the recorded ${fingerprint}`,
    );
    if (!isReusable(identity.kind) || foreign?.reuse === false) return;
    check.expect(
      result !== null && canonicalJson({ ...result.outputs }) === canonicalJson({ ...outputs }),
      path,
      result === null
        ? `no result is recorded under its fingerprint ${fingerprint}`
        : 'its outputs are not those recorded under its fingerprint',
    );
  });
  return check;
}

/** `kind` and `version` stand side by side in planned steps, however deep. */
function kindVersions(value: Json, found = new Map<string, number>()): Map<string, number> {
  if (Array.isArray(value)) for (const item of value as readonly Json[]) kindVersions(item, found);
  else if (typeof value === 'object' && value !== null) {
    const { kind, version } = value as { readonly [key: string]: Json };
    if (typeof kind === 'string' && typeof version === 'number') found.set(kind, version);
    for (const item of Object.values(value)) kindVersions(item, found);
  }
  return found;
}

/** What a step took must have come from somewhere. */
function checkInputs(plan: Plan, records: readonly StepRecord[]): Checking {
  const check = new Checking('inputs', 'artifacts that steps took, each given by a step or the plan');
  const given = new Set(
    [plan as unknown as Json, ...records.map(({ outputs }) => outputs ?? null)].flatMap((value) =>
      artifactRefsIn(value as Json).map(({ digest }) => digest),
    ),
  );
  for (const { path, with: inputs } of records) {
    for (const { artifact, digest } of artifactRefsIn(inputs ?? null)) {
      check.expect(
        given.has(digest),
        path,
        `it took the ${artifact} ${digest}, which no step of the run and no param gave`,
      );
    }
  }
  return check;
}

/** Every object that the run reaches, read and hashed again. */
async function checkObjects(store: Store, header: RunHeader, records: readonly StepRecord[]): Promise<Checking> {
  const check = new Checking('objects', 'objects, read and hashed again');
  const reach = new Reach(
    async ({ digest, kind, from, certain }) => {
      // What only looks like a digest may be a hash of something else.
      if (!certain && !(await store.hasObject(digest))) return null;
      check.checked++;
      try {
        const bytes = await store.getObject(digest);
        if (bytes === null) check.problem(`${kind} ${digest}`, `it is missing (named by ${from})`);
        check.bytes += bytes?.byteLength ?? 0;
        return bytes;
      } catch (error) {
        if (!(error instanceof DamagedObjectError)) throw error;
        check.problem(`${kind} ${digest}`, `its bytes have another digest: ${error.place} (named by ${from})`);
        return null;
      }
    },
    { readsLeaves: true },
  );
  reach.add(header.planDigest, 'plan', 'run.json', true);
  for (const text of [header.source, ...Object.values(header.imports ?? {})])
    reach.add(text, 'bytes', 'run.json', true);
  for (const record of records) reach.addValue(withoutHashes(record), record.path);
  for (const gate of await listGates(store, header.run)) reach.addValue(gate as unknown as Json, `gate ${gate.path}`);
  await reach.walk();
  return check;
}

const withoutHashes = ({ with: inputs, outputs }: StepRecord): Json => [inputs ?? null, outputs ?? null];

async function checkChains(store: Store, records: readonly StepRecord[]): Promise<Checking> {
  const check = new Checking('chains', 'epochs and checkpoints in the hash chains of trainings');
  for (const { path, fingerprint, with: inputs, outputs } of records) {
    const ref = outputs?.chain;
    if (!isArtifactRef(ref)) continue;
    const chain = await loadJson(store, 'chain', ref).catch(() => null);
    // Told among the objects.
    if (chain === null) continue;
    const broken = brokenLink(chain.epochs);
    check.expect(broken === null, path, `its chain is broken at epoch ${broken?.epoch}`);
    check.checked += chain.epochs.length - 1;
    const last = chain.epochs.at(-1);
    check.expect(
      last?.step === chain.steps && last.head === chain.head,
      path,
      'its chain does not end with its last step',
    );
    const { model } = outputs as { readonly model?: Json };
    check.expect(
      isArtifactRef(model) && model.digest === chain.model,
      path,
      'its chain ends with another model than it gave',
    );
    const { dataset } = inputs as { readonly dataset?: Json };
    const manifest = isArtifactRef(dataset) ? await loadJson(store, 'dataset', dataset).catch(() => null) : null;
    check.expect(
      isArtifactRef(dataset) &&
        dataset.digest === chain.dataset &&
        (manifest === null || manifest.labels === chain.labels),
      path,
      'its chain begins with another dataset or label version than it took',
    );
    if (fingerprint === undefined) continue;
    for (const key of await store.listRecords(`checkpoints/${fingerprint}/`)) {
      const why = await problemOfCheckpoint(
        store,
        key,
        chain.epochs.map(({ link }) => link),
      );
      if (why !== undefined) check.expect(why === null, key, why ?? '');
    }
  }
  return check;
}

/** Null: it is sound; undefined: its state was taken away when a later one was written, as it should be. */
async function problemOfCheckpoint(
  store: Store,
  key: string,
  links: readonly string[],
): Promise<string | null | undefined> {
  const record = JSON.parse((await store.readRecord(key))?.toString() ?? 'null') as CheckpointRecord | null;
  if (record === null || record.head === undefined || !(await store.hasObject(record.object))) return undefined;
  try {
    const { chain, state, step } = decodeCheckpoint((await store.getObject(record.object))!);
    if (step !== record.step || chain?.head !== record.head)
      return 'the checkpoint is of another place in the chain than its record says';
    if ((await digestState(state)) !== record.state)
      return 'the state in the checkpoint has another digest than its record says';
    if (chain.epochs.some(({ link }, i) => link !== links[i]))
      return 'the checkpoint is of another training than the one that ended';
    return null;
  } catch (error) {
    return `the checkpoint cannot be read: ${(error as Error).message}`;
  }
}

async function checkDecisions(store: Store, run: string, records: readonly StepRecord[]): Promise<Checking> {
  const check = new Checking('decisions', 'decisions of reviews');
  for (const gate of await listGates(store, run)) {
    const where = `gate ${gate.path}`;
    const candidates = await loadJson(store, 'candidates', gate.candidates).catch(() => []);
    const asked = new Set(candidates.map(({ id }) => id));
    const batches = await readBatches(store, run, gate.path);
    const isChained = gate.ledger !== undefined || batches.some(({ batch }) => batch.sequence !== undefined);
    const broken = isChained ? brokenBatch(run, gate.path, batches, gate.ledger) : null;
    if (broken !== null) check.problem(broken.key, `the ledger is broken at batch ${broken.sequence}: ${broken.what}`);
    // Questions whose answers are known are asked, but applied to nothing.
    const rules = await readRules(store, gate).catch(() => null);
    if (rules === null) {
      check.problem(where, 'the lists of its known questions, and of how it asks, cannot be read');
      continue;
    }
    const decisions = await readDecisions(store, run, gate.path);
    const standings = new Standings(candidates, decisions, rules);
    for (const { candidateId, by, at } of decisions) {
      check.expect(
        asked.has(candidateId),
        where,
        `${by} decided candidate ${candidateId} at ${at}, which was not asked about`,
      );
    }
    for (const id of asked) {
      const { length } = standings.said(id);
      // One of several opinions more is the verdict of who settles them.
      const most = rules.wanted(id) === 1 ? 1 : rules.wanted(id) + 1;
      if (length > most)
        check.problem(where, `candidate ${id} was decided ${length === 2 ? 'twice' : `${length} times`}`);
    }
    const decided = new Map([...standings.verdicts()].map(([id, verdict]) => [id, markOf(verdict)]));
    if (gate.state === 'closed' && gate.decided !== undefined && gate.decided !== decided.size) {
      check.problem(where, `it says that ${gate.decided} candidates were decided, but ${decided.size} are recorded`);
    }
    const ref = records.find(({ path }) => path === gate.path)?.outputs?.corrections;
    const corrections = isArtifactRef(ref) ? await loadJson(store, 'corrections', ref).catch(() => null) : null;
    if (corrections === null) continue;
    const applied = new Map(corrections.decisions.map((decision) => [decision.candidateId, markOf(decision)]));
    for (const id of [...decided.keys()]) if (rules.isKnown(id)) decided.delete(id);
    for (const [candidateId, mark] of decided) {
      check.expect(
        applied.get(candidateId) === mark,
        where,
        `the decision about ${candidateId} ("${mark}") is not in the corrections that were applied`,
      );
    }
    check.expect(
      corrections.decisions.length === decided.size + gate.carriedOver,
      where,
      `${corrections.decisions.length} decisions were applied, but ${decided.size} were made and ${gate.carriedOver} carried over`,
    );
  }
  return check;
}

function checkEnd(records: readonly StepRecord[]): Checking {
  const check = new Checking('end', 'steps that have ended, as in a finished run all have');
  for (const { path, state } of records) {
    check.expect(
      state === 'done' || state === 'skipped' || state === 'failed',
      path,
      `the run is done, but this step is ${state}`,
    );
  }
  return check;
}

/** Trainings that are exact in themselves, but that the machine on which the run began might not give again. */
async function remarksOnMachines(
  store: Store,
  environment: RunEnvironment | undefined,
  records: readonly StepRecord[],
): Promise<string[]> {
  const curves: { path: string; value: Curves }[] = [];
  for (const { path, outputs } of records) {
    const ref = outputs?.curves;
    if (!isArtifactRef(ref)) continue;
    // What is missing or damaged is told by the check of objects.
    const value = await loadJson(store, 'curves', ref).catch(() => null);
    if (value !== null) curves.push({ path, value });
  }
  return otherMachines({ curves, state: { environment } });
}

function remarksOn({ fork, forkPlans }: RunHeader, state: StepState, records: readonly StepRecord[]): string[] {
  const remarks = state === 'done' ? [] : [`The run is ${state}: what is there so far was checked.`];
  if (fork !== undefined && forkPlans === undefined) {
    remarks.push(
      `It was forked from ${fork.run} by an earlier release: how its plan follows from that of ${fork.run} is not recorded.`,
    );
  }
  for (const { path, attempts, outputs } of records) {
    const inexact = attempts?.some(({ exact }) => exact === false) ?? false;
    if (inexact) {
      remarks.push(
        `${path} was resumed with other arithmetic (another CPU, build or number of threads): its last bits may differ from those of an undisturbed run.`,
      );
    }
    if (outputs?.model !== undefined && outputs.curves !== undefined && outputs.chain === undefined) {
      remarks.push(`${path} has no hash chain: it was trained by an earlier release.`);
    }
  }
  return remarks;
}

async function remarksOnLedgers(store: Store, run: string): Promise<string[]> {
  const remarks: string[] = [];
  for (const { path, ledger } of await listGates(store, run)) {
    const batches = await readBatches(store, run, path);
    if (ledger !== undefined || batches.length === 0 || batches.some(({ batch }) => batch.sequence !== undefined))
      continue;
    remarks.push(`The decisions of ${path} are no chain: they were recorded by an earlier release.`);
  }
  return remarks;
}

/** Null for each that is missing or damaged. */
async function readPlans(store: Store, digests: readonly string[]): Promise<(Plan | null)[]> {
  const texts = await Promise.all(digests.map((digest) => (digest === '' ? null : readText(store, digest))));
  return texts.map((text) => (text === null ? null : (JSON.parse(text) as Plan)));
}

async function readText(store: Store, digest: string): Promise<string | null> {
  try {
    return (await store.getObject(digest))?.toString() ?? null;
  } catch (error) {
    if (error instanceof DamagedObjectError) return null;
    throw error;
  }
}

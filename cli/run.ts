/** `hardcase run FILE`: starts or joins a run, keeps it going on the embedded engine, and shows how it goes. */

import { join } from 'node:path';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { listOpenRuns } from '../artifacts/run-record.ts';
import { type Store, StoreUnavailableError } from '../artifacts/store.ts';
import { readEngine, workerOwner } from '../deploy/embedded.ts';
import { fullDisk } from '../deploy/full-disk.ts';
import { withLock } from '../deploy/lock.ts';
import type { HeldRun } from '../deploy/move-runs.ts';
import { canonicalJson } from '../plan/canonical.ts';
import { queuesOf } from '../plan/queues.ts';
import type { Plan, RunHeader, StepState } from '../plan/types.ts';
import type { OperateMessage } from '../workflows/messages.ts';
import { type ChosenRun, checkRunId, createNewRun, findEarlierRun } from './choose-run.ts';
import { claimRun } from './claim-run.ts';
import { connectTemporal, openExistingStore, type TemporalConnection } from './connect.ts';
import { followRun } from './follow-run.ts';
import { listenForInterruption, stoppingWords } from './interruption.ts';
import { type LoadedPlan, loadFork, loadForRun } from './load-for-run.ts';
import { isNotFound, isOpenWorkflow } from './open-workflow.ts';
import { pauseOf } from './operations.ts';
import { CommandError, type ExitCode, exitCodes, note, ownCommand } from './output.ts';
import { type OwnWorker, startWorker, workerQueues } from './own-worker.ts';
import { readerGone } from './reader.ts';
import { writeReport } from './report.ts';
import { servePageBeside } from './review-page.ts';
import { isFinal, isHeldByInput, type RunView, readPlan, readRunView, statusJson } from './run-view.ts';
import type { Settings } from './settings.ts';
import { startWorkflow } from './start-workflow.ts';
import { heldByInputWords, pausedWords } from './status.ts';
import { type StoreTrouble, storeTroubles } from './store-troubles.ts';
import { againWords, planUpgrade, runToUpgrade, sendUpgrade, type Upgrade } from './upgrade-run.ts';

export interface RunOptions {
  /** `name=value`, as given with `-p`. */
  readonly params: readonly string[];
  readonly run?: string;
  readonly forceNew: boolean;
  /** A run whose file has changed is to follow it. */
  readonly upgrade?: OperateMessage;
  /** Serves the review page as long as the command lives. */
  readonly review?: boolean;
  /** False with `--no-wait`. */
  readonly wait: boolean;
  readonly json?: boolean;
}

export async function runRun(settings: Settings, file: string, options: RunOptions): Promise<ExitCode> {
  if (options.run !== undefined) checkRunId(options.run);
  const { upgrade: who } = options;
  if (who !== undefined && options.forceNew) {
    throw new CommandError('--upgrade changes a run that goes on, so --new has no place beside it.', exitCodes.usage);
  }
  const run =
    who === undefined ? options.run : (options.run ?? (await runToUpgrade(await openExistingStore(settings), file)));
  let loaded = await loadForRun(settings, file, options.params, run, { asInFile: who !== undefined });
  if (loaded === null) return exitCodes.input;
  const upgrade = who === undefined ? null : await planUpgrade(loaded.store, run!, file, loaded, who);
  if (who !== undefined && upgrade === null) {
    note(`Run ${run} follows ${file} as it is, so there is nothing to upgrade.`);
    loaded = (await loadFork(settings, run!, [])) ?? loaded;
  }
  return await startOrJoin(settings, loaded, file, { ...options, run }, upgrade);
}

/** A run of the plan: the one that was asked for, an unfinished one, or a new one. */
export async function startOrJoin(
  settings: Settings,
  loaded: LoadedPlan,
  file: string,
  options: RunOptions,
  upgrade: Upgrade | null = null,
): Promise<ExitCode> {
  const { store, plan, planDigest, source, imports, given, fork, forkPlans, lineOf } = loaded;
  const wish = { run: options.run, forceNew: options.forceNew, lineOf };
  const earlier: ChosenRun | null =
    upgrade === null ? await findEarlierRun(store, wish, plan, planDigest) : { header: upgrade.header, how: 'joined' };
  // With --json the result alone goes to the standard output.
  const output = options.json ? process.stderr : process.stdout;
  const say = (line: string) => void output.write(`${line}\n`);
  if (earlier !== null) {
    const before = (await readRunView(store, earlier.header.run))!;
    if (before.state === 'done') {
      say(`Run ${earlier.header.run} is done already.`);
      return await finish(settings, store, before, options, say);
    }
  }
  const choose = async () => {
    if (earlier !== null) return earlier;
    await store.putObject(Buffer.from(canonicalJson(plan)));
    // Of two commands that are given at once for the same file, the second finds the run of the first.
    return await withLock(
      join(settings.folder, 'choose.lock'),
      chooseWaitMs,
      async () =>
        (await findEarlierRun(store, wish, plan, planDigest)) ??
        (await createNewRun(store, wish, plan, { planDigest, source, imports, file, given, fork, forkPlans })),
    );
  };
  const unread = readerGone(output);
  const tellUnread = () =>
    note('Nobody reads what this command prints any longer. It goes on with the run; Ctrl-C ends it.');
  unread.addEventListener('abort', tellUnread);
  const { run, end } = await keepGoing(settings, store, choose, plan, options, output, say, upgrade);
  unread.removeEventListener('abort', tellUnread);
  if (run === null) {
    say('Nothing was started.');
    return exitCodes.interrupted;
  }
  if (end === 'stopped' || end === 'elsewhere') {
    if (end === 'stopped') say(`Run ${run} stays open. It goes on with: ${ownCommand('run', file, '--run', run)}`);
    else say(`Run ${run} goes on without this command. Look at it: ${ownCommand('watch', run)}`);
    return exitCodes.interrupted;
  }
  return await finish(settings, store, end, options, say);
}

function greeting({ header, how }: ChosenRun, state: StepState): string {
  if (how === 'new') return `Run ${header.run}`;
  if (isFinal(state)) return `Run ${header.run} was ${state} before; it begins again, and reuses what is finished.`;
  if (how === 'found') return `Run ${header.run} of the same plan is unfinished; joining it (--new starts another).`;
  return `Run ${header.run}, continued`;
}

interface KeptGoing {
  /** Null where the command was interrupted before there was one. */
  readonly run: string | null;
  /** Interrupted: `stopped`, where nothing runs it now, or `elsewhere`, where another process does. */
  readonly end: RunView | 'stopped' | 'elsewhere';
}

/** `choose` is asked once the engine is there: a server that does not answer must leave no run behind. */
async function keepGoing(
  settings: Settings,
  store: Store,
  choose: () => Promise<ChosenRun>,
  plan: Plan,
  options: RunOptions,
  output: NodeJS.WriteStream,
  say: (line: string) => void,
  upgrade: Upgrade | null,
): Promise<KeptGoing> {
  let temporal: TemporalConnection | null = null;
  let release: (() => void) | null = null;
  let worker: OwnWorker | null = null;
  let page: Awaited<ReturnType<typeof servePageBeside>> | null = null;
  let begun: RunHeader | null = null;
  // Workers of a server that is not ours, or of another command here, go on without this process.
  const runsElsewhere = () =>
    temporal !== null && release === null && (temporal.engine === null || workerOwner(settings.folder) !== null);
  const interruption = listenForInterruption(
    () => temporal?.engine?.leaveNow(),
    () => (runsElsewhere() ? 'Leaving the run to others; once more ends this at once.' : stoppingWords),
  );
  const takeWorker = async (engine: TemporalConnection) => {
    release = engine.engine?.claimWorker() ?? null;
    if (release === null) return;
    // One machine has whatever a queue stands for; which of several machines has it is all that a queue can say.
    const queues = new Set([...workerQueues, ...queuesOf(plan.root), ...(await queuesOfOpenRuns(store))]);
    worker = await startWorker(settings, engine, store, [...queues]);
  };
  try {
    temporal = await connectTemporal(settings);
    const connected = temporal;
    if (connected.engine?.how === 'adopted')
      say('Found the embedded engine of a command that is gone, and took it over.');
    if (interruption.signal.aborted) return { run: null, end: 'stopped' };
    if (connected.engine === null) await checkWorkers(settings, store, connected, plan);
    const chosen = await choose();
    const { header } = chosen;
    const { run } = header;
    begun = header;
    await claimRun(settings, store, connected, header);
    const found = (await readRunView(store, run))!;
    say(greeting(chosen, found.state));
    if (!isFinal(found.state) && pauseOf(found.operations) !== null) say(pausedWords(found));
    await takeWorker(connected);
    const held = (worker as OwnWorker | null)?.heldRuns ?? [];
    tellHeldByBuild(held, header, say);
    if (interruption.signal.aborted) return { run, end: 'stopped' };
    // A run that was upgraded has a plan of its own, in which what had begun before is as it was.
    const own = upgrade?.before ?? (await readPlan(store, header.planDigest)) ?? plan;
    const handle = await startWorkflow(settings, store, connected, header, own);
    if (upgrade !== null) {
      const from = await sendUpgrade(settings, store, connected, handle, upgrade);
      say(`Run ${run} follows the changed file. What differs:`);
      for (const line of upgrade.message.changes) say(`  ${line}`);
      for (const [loop, round] of Object.entries(from)) {
        say(`${loop} follows it from round ${round} on; a round that has begun ends as it began.`);
      }
      if (upgrade.again.length > 0) say(againWords(upgrade.again));
    }
    if (release !== null) await sayOthers(store, connected, [run, ...held.map((one) => one.run)], say);
    if (options.review) {
      page = await servePageBeside(settings, store, connected, run);
      say(`Review page: ${page.link}`);
    }
    let checkedAt = Date.now();
    const startedAt = Date.now();
    let unservedSaid = false;
    let serveAt = 0;
    const told = new Set<string>();
    const view = await followRun({
      store,
      run,
      output,
      signal: interruption.signal,
      untilWaiting: !options.wait,
      untilHeld: true,
      isBusy: () => isBusy(connected.client, handle),
      onLook: async (look) => {
        worker?.check();
        // The process that ran the worker may have ended: then this one takes its place.
        if (connected.engine !== null && release === null) {
          await takeWorker(connected);
          if (release !== null) say('The command that ran the steps has ended; this one takes over.');
        }
        if (
          !unservedSaid &&
          connected.engine === null &&
          look.state === 'pending' &&
          Date.now() - startedAt > unservedMs
        ) {
          unservedSaid = true;
          say(
            `No worker has taken up the run so far. One for the queues ${settings.queue}-* is started with: ${ownCommand('worker')}`,
          );
        }
        if (Date.now() - checkedAt > workflowCheckMs && !isFinal(look.state)) {
          checkedAt = Date.now();
          if (connected.engine !== null) checkDisk(settings, header);
          // Another command may have begun a run here whose steps are for a queue of their own.
          if (worker !== null && Date.now() > serveAt) {
            const beganAt = Date.now();
            await (worker as OwnWorker).serve(await queuesOfOpenRuns(store).catch(noneWhileAway));
            serveAt = Date.now() + servePatience * (Date.now() - beganAt);
          }
          await checkWorkflow(handle, store, header);
          tellTroubles(await storeTroubles(connected.client, handle), header, told, say);
        }
      },
    });
    if (!interruption.signal.aborted || isFinal(view.state)) return { run, end: view };
    return { run, end: runsElsewhere() ? 'elsewhere' : 'stopped' };
  } catch (error) {
    // What fails then says only that nobody answers at some port.
    const isLost = temporal !== null && temporal.engine !== null && readEngine(settings.folder) === null;
    throw isLost && !(error instanceof CommandError) ? engineLost(settings, begun, error) : error;
  } finally {
    await (page as Awaited<ReturnType<typeof servePageBeside>> | null)?.close();
    // In this order: steps save their checkpoints while the server is there to be told.
    await (worker as OwnWorker | null)?.stop();
    (release as (() => void) | null)?.();
    await temporal?.close();
    interruption.restore();
  }
}

/** Workers with another store would look for the run there in vain. */
async function checkWorkers(settings: Settings, store: Store, temporal: TemporalConnection, plan: Plan): Promise<void> {
  const { placeOfStore, problemOfClient, workersOf } = await import('./other-workers.ts');
  const workers = await workersOf(temporal, settings.queue, [...workerQueues, ...queuesOf(plan.root)]);
  const problem = problemOfClient(await placeOfStore(store), workers);
  if (problem !== null) throw new CommandError(problem, exitCodes.usage);
}

function engineLost({ folder }: Settings, begun: RunHeader | null, cause: unknown): CommandError {
  const next =
    begun === null
      ? 'Run the same command again.'
      : `Run ${begun.run} stays open. It goes on with: ${ownCommand('run', begun.file, '--run', begun.run)}`;
  return new CommandError(
    `The embedded engine has ended, and not by this command: its server was killed, perhaps for its memory. ${join(folder, 'engine.log')} has its last words.\n${next}`,
    exitCodes.engine,
    cause,
  );
}

// A look at the records of all runs, in a store that may be far away.
const chooseWaitMs = 60_000;
const workflowCheckMs = 5_000;
const unservedMs = 10_000;
// A store may hold thousands of runs: a look at them all must cost little beside what they do.
const servePatience = 20;
const engineFreeMinBytes = 512 * 1024;
// A workflow task that failed so often fails because of its code, not because of a lost worker.
const taskAttemptsMax = 5;

/** The record cannot tell when the workflow was ended from outside, or when its code cannot go on. */
async function checkWorkflow(handle: WorkflowHandle, store: Store, header: RunHeader): Promise<void> {
  const described = await handle.describe().catch((error: unknown) => {
    if (!isNotFound(error)) throw error;
    throw new CommandError(
      `The Temporal server knows nothing of run ${header.run} any more: its database was removed, or is another one. The run goes on from its record with: ${ownCommand('run', header.file, '--run', header.run)}`,
      exitCodes.engine,
      error,
    );
  });
  const attempts = described.raw.pendingWorkflowTask?.attempt ?? 0;
  if (attempts > taskAttemptsMax) {
    throw new CommandError(
      `Internal error: the workflow of run ${header.run} cannot go on: its task failed ${attempts} times. The reason is in .hardcase/worker.log.`,
      exitCodes.engine,
    );
  }
  if (described.status.name === 'RUNNING') return;
  const view = await readRunView(store, header.run);
  if (view === null || isFinal(view.state)) return;
  throw new CommandError(
    `The workflow of run ${header.run} was ended from outside (${described.status.name.toLowerCase()}). It begins again, and reuses what is finished, with: ${ownCommand('run', header.file, '--run', header.run)}`,
    exitCodes.engine,
  );
}

/** Runs of another build whose histories do not replay with this one: this run ends the command, others are named. */
function tellHeldByBuild(held: readonly HeldRun[], { run, file }: RunHeader, say: (line: string) => void): void {
  for (const one of held) {
    const { id, version } = one.build;
    const words = `was begun by hardcase ${version} (build ${id}), and cannot go on with this one (${one.why})`;
    if (one.run === run) {
      throw new CommandError(
        `Run ${run} ${words}. Install that version and run the same command again; or start a new run, which reuses what is finished: ${ownCommand('run', file, '--new')}`,
        exitCodes.engine,
      );
    }
    say(`Run ${one.run} ${words}. It waits for that version.`);
  }
}

/** The server neither fails nor gets on when it cannot write its database. */
function checkDisk({ folder }: Settings, { run, file }: RunHeader): void {
  const full = fullDisk(folder, engineFreeMinBytes);
  if (full === null) return;
  throw new CommandError(
    `${full}\nRun ${run} stays open. It goes on with: ${ownCommand('run', file, '--run', run)}`,
    exitCodes.engine,
  );
}

/** A store that is away may come back by itself, and is told once; one that is full waits for a person. */
function tellTroubles(
  troubles: readonly StoreTrouble[],
  { run, file }: RunHeader,
  told: Set<string>,
  say: (line: string) => void,
): void {
  const full = troubles.find(({ isFull }) => isFull);
  if (full !== undefined) {
    throw new CommandError(
      `${full.message}\nRun ${run} stays open. It goes on with: ${ownCommand('run', file, '--run', run)}`,
      exitCodes.engine,
    );
  }
  for (const { activity, message } of troubles) {
    if (told.has(message)) continue;
    told.add(message);
    say(`${activity} waits, and is tried again until the store answers: ${message}`);
  }
}

/**
 * Whether the run's workflow or one of its children is about to act: a retry or a decision that came in a moment ago is
 * not in the record yet.
 */
async function isBusy(client: Client, handle: WorkflowHandle): Promise<boolean> {
  const described = await handle.describe().catch((error: unknown) => {
    if (!isNotFound(error)) throw error;
    return null;
  });
  // A server that has forgotten it is found out by the next check.
  if (described === null) return true;
  const { pendingActivities, pendingChildren, pendingWorkflowTask } = described.raw;
  if (pendingWorkflowTask || (pendingActivities?.length ?? 0) > 0) return true;
  for (const { workflowId } of pendingChildren ?? []) {
    // A child that has ended meanwhile is about to be noticed by its parent.
    if (workflowId && (await isBusy(client, client.workflow.getHandle(workflowId)).catch(() => true))) return true;
  }
  return false;
}

const noneWhileAway = (error: unknown): string[] => {
  if (error instanceof StoreUnavailableError) return [];
  throw error;
};

/** The worker runs these too. */
async function queuesOfOpenRuns(store: Store): Promise<string[]> {
  const queues: string[] = [];
  for (const { header } of await listOpenRuns(store)) {
    const plan = await readPlan(store, header.planDigest);
    if (plan !== null) queues.push(...queuesOf(plan.root));
  }
  return queues;
}

/** The worker runs every open run of the engine, not only the one that was asked for. */
async function sayOthers(
  store: Store,
  temporal: TemporalConnection,
  /** Ids of the runs of which something was said. */
  told: readonly string[],
  say: (line: string) => void,
): Promise<void> {
  for (const { header, state } of await listOpenRuns(store)) {
    // Held ones wait for a retry, whoever runs the worker.
    if (told.includes(header.run) || state.state === 'held') continue;
    const open = await isOpenWorkflow(temporal.client, header.run).catch(() => false);
    if (open) say(`Also continuing run ${header.run} (${state.state}).`);
  }
}

async function finish(
  settings: Settings,
  store: Store,
  view: RunView,
  options: RunOptions,
  say: (line: string) => void,
): Promise<ExitCode> {
  const { run, file } = view.header;
  const report = view.state === 'done' ? await writeReport(store, view, settings.folder) : null;
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ ...statusJson(view), report: report?.html ?? null }, null, 2)}\n`);
  }
  switch (view.state) {
    case 'done':
      say(
        report ? `\n${report.summary}\n\nReport: ${report.html}` : `\nDone. What it made: ${ownCommand('status', run)}`,
      );
      return exitCodes.done;
    case 'waiting':
      say(`\nRun ${run} waits for a human. While no command runs it, nothing reminds or expires.`);
      say(`It goes on with: ${ownCommand('run', file, '--run', run)}`);
      return exitCodes.waiting;
    case 'paused':
      say(`\n${pausedWords(view)}`);
      return exitCodes.waiting;
    case 'held': {
      const held = view.steps.filter((step) => step.state === 'held');
      say(`\nRun ${run} is held: ${held.map(({ path }) => path).join(', ')} gave up, and nothing else can go on.`);
      if (held.every(isHeldByInput)) {
        say(heldByInputWords(view.header, options.params));
        return exitCodes.input;
      }
      say(`Mend the cause, then: ${ownCommand('retry', run)} and ${ownCommand('run', file, '--run', run)}`);
      return exitCodes.engine;
    }
    default: {
      say(
        `\nRun ${run} ${view.state === 'failed' ? 'failed' : `is ${view.state}`}${view.record.error ? `: ${view.record.error}` : '.'}`,
      );
      // A step that was to end the run has done so: that is no fault of the engine.
      const byStep = view.state === 'failed' && view.steps.some((step) => step.state === 'failed');
      return byStep ? exitCodes.input : exitCodes.engine;
    }
  }
}

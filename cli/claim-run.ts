/**
 * One engine runs a run. Folders have embedded engines of their own, and may share a store; the record of a run says
 * which engine has it. While that one lives another refuses the run; once it is gone another takes the run over, from
 * its record, as after a lost database. What an engine still has of runs that went on elsewhere is ended before its
 * worker begins.
 */

import { dirname } from 'node:path';
import { mapInParallel } from '../artifacts/map-in-parallel.ts';
import { addEngineClaim, type RunEngine, readEngineClaim } from '../artifacts/run-engine.ts';
import { addNotice, listOpenRuns } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { readEngine } from '../deploy/embedded.ts';
import { folderPlace, identify, isAlive } from '../deploy/lock.ts';
import type { RunHeader } from '../plan/types.ts';
import { workflowIdOf } from '../workflows/messages.ts';
import { type TemporalConnection, temporalTarget } from './connect.ts';
import { isNotFound, isOpenWorkflow, openRunsOf } from './open-workflow.ts';
import { CommandError, exitCodes, ownCommand } from './output.ts';
import type { Settings } from './settings.ts';

/** Throws where another engine that lives has the run. Writes and starts nothing. */
export async function checkRunIsHere(settings: Settings, store: Store, header: RunHeader): Promise<void> {
  const claim = await readEngineClaim(store, header.run);
  if (claim === null) return;
  const { engine } = claim;
  const target = await temporalTarget(settings);
  // One server has many addresses: whether it has the run it says itself.
  const isHere =
    'address' in engine ? target !== null : target === null && engine.place === folderPlace(settings.folder);
  if (!isHere && (await lives(engine, header.run))) throw new RunElsewhereError(engine, header);
}

/** Has the record say that the run is run here from now on. Throws where another engine that lives has it. */
export async function claimRun(
  settings: Settings,
  store: Store,
  temporal: TemporalConnection,
  header: RunHeader,
): Promise<void> {
  const { run } = header;
  const here = engineHere(settings, temporal);
  const stale: RunEngine[] = [];
  await addClaim(store, run, here, async (engine) => {
    if (engine === null || isSame(engine, here) || (await isKnownHere(engine, here, temporal, run))) return true;
    if (await lives(engine, run)) throw new RunElsewhereError(engine, header);
    // Before the claim: a command that dies between the two must not leave it to be taken for the run's own.
    if (await endStale(temporal, run)) stale.push(engine);
    return true;
  });
  for (const engine of stale) await addNotice(store, run, backWords(engine));
}

/** For a command that writes the record of a run itself, because no engine knows it: what another still has is stale. */
export async function takeRun({ folder }: Settings, store: Store, header: RunHeader): Promise<void> {
  const { run } = header;
  const here: RunEngine = { folder, place: folderPlace(folder), server: identify(process.pid)! };
  await addClaim(store, run, here, async (engine) => {
    const isOther = engine !== null && !isSame(engine, here);
    if (isOther && (await lives(engine, run))) throw new RunElsewhereError(engine, header);
    return true;
  });
}

/**
 * Of the embedded engine, before its worker begins: ends the workflows of runs that went on elsewhere, and claims those
 * that are open here for the server that runs now.
 */
export async function claimOpenRuns(settings: Settings, store: Store, temporal: TemporalConnection): Promise<void> {
  if (temporal.engine === null) return;
  const here = engineHere(settings, temporal);
  const open = new Set((await listOpenRuns(store)).map(({ header }) => header.run));
  // A run that ended elsewhere may still be open here; what the store has of the others does not matter.
  const runs = new Set([...open, ...(await openRunsOf(temporal.client))]);
  await mapInParallel([...runs], (run) =>
    addClaim(store, run, here, async (engine) => {
      if (engine === null) return false;
      if (isSame(engine, here)) return open.has(run);
      await endStale(temporal, run);
      return false;
    }),
  );
}

/**
 * Adds a claim behind the newest, where that is not it already. `mayClaim` is asked with the engine of the newest, and
 * once more where another one was quicker.
 */
async function addClaim(
  store: Store,
  run: string,
  here: RunEngine,
  mayClaim: (engine: RunEngine | null) => Promise<boolean>,
): Promise<void> {
  for (;;) {
    const newest = await readEngineClaim(store, run);
    if (newest !== null && isEqual(newest.engine, here)) return;
    if (!(await mayClaim(newest?.engine ?? null)) || (await addEngineClaim(store, run, newest, here))) return;
  }
}

function engineHere(settings: Settings, temporal: TemporalConnection): RunEngine {
  if (temporal.engine === null) {
    return { address: temporal.target.options.address, namespace: temporal.target.namespace };
  }
  const engine = readEngine(settings.folder);
  if (engine === null) {
    throw new CommandError('The embedded engine has ended. Run the same command again to go on.', exitCodes.engine);
  }
  return { folder: settings.folder, place: folderPlace(settings.folder), server: engine.server };
}

function isSame(one: RunEngine, other: RunEngine): boolean {
  if ('address' in one) return 'address' in other && one.address === other.address && one.namespace === other.namespace;
  return 'place' in other && one.place === other.place;
}

const isEqual = (one: RunEngine, other: RunEngine): boolean =>
  isSame(one, other) &&
  ('address' in one ||
    ('server' in other &&
      one.folder === other.folder &&
      one.server.pid === other.server.pid &&
      one.server.started === other.server.started));

/** Of two addresses that may be those of one server, what is open here counts. */
const isKnownHere = async (
  claim: RunEngine,
  here: RunEngine,
  temporal: TemporalConnection,
  run: string,
): Promise<boolean> => 'address' in claim && 'address' in here && (await isOpenWorkflow(temporal.client, run));

/** Of another machine no process can be seen, so its embedded engine counts as gone. */
async function lives(claim: RunEngine, run: string): Promise<boolean> {
  if ('server' in claim) return isAlive(claim.server);
  const { Client, Connection } = await import('@temporalio/client');
  const { address, namespace } = claim;
  const connection = await Connection.connect({ address, connectTimeout: 3_000 }).catch(() => null);
  if (connection === null) return false;
  try {
    // One that does not say, as to somebody without a key, may well have it.
    return await isOpenWorkflow(new Client({ connection, namespace }), run).catch(() => true);
  } finally {
    await connection.close();
  }
}

/** Whether there was one. */
async function endStale(temporal: TemporalConnection, run: string): Promise<boolean> {
  const handle = temporal.client.workflow.getHandle(workflowIdOf(run));
  return await handle.terminate('The run went on in another engine.').then(
    () => true,
    (error: unknown) => {
      if (isNotFound(error)) return false;
      throw error;
    },
  );
}

/** Two engines must not run a run at once. */
export class RunElsewhereError extends CommandError {
  /** The same for a page whose decisions are kept until they can be sent. */
  readonly remedy: string;

  constructor(engine: RunEngine, { run, file }: RunHeader) {
    const [there, name, end] =
      'address' in engine
        ? [
            `is open on the Temporal server at ${engine.address} (namespace ${engine.namespace})`,
            'Name that one with --address or TEMPORAL_ADDRESS',
            null,
          ]
        : [
            `is run by the embedded engine of ${engine.folder} (process ${engine.server.pid})`,
            'Give the command there',
            'end the one that runs it',
          ];
    super(
      `Run ${run} ${there}. ${[name, end].filter(Boolean).join(', or ')}, because two engines must not run it at once. From here it is watched with "${ownCommand('watch', run)}", and "${ownCommand('run', file, '--new')}" starts another run.`,
      exitCodes.engine,
    );
    const page = ownCommand('review', run, ...('address' in engine ? ['--address', engine.address] : []));
    this.remedy =
      'address' in engine
        ? `Run ${run} ${there}, and decisions go to it there: open the page that "${page}" serves. Those of here are kept in this browser, and sent should the run come here.`
        : `Run ${run} ${there}, and decisions go to it there: open the page that "${page}" serves in ${dirname(engine.folder)}. Or end the command that runs it: those of here are kept in this browser, and sent when the run goes on here.`;
  }
}

const nameOf = (claim: RunEngine): string =>
  'address' in claim ? `the Temporal server at ${claim.address}` : `the engine of ${claim.folder}`;

const backWords = (claim: RunEngine): string =>
  `The run was last run by ${nameOf(claim)}, so what another engine still knew of it was ended, and it went on from its record.`;

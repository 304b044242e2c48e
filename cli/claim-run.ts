/**
 * One engine runs a run. Folders have embedded engines of their own, and may share a store; the record of a run says
 * which engine has it. While that one lives another refuses the run; once it is gone another takes the run over, from
 * its record, as after a lost database. What an engine still has of runs that went on elsewhere is ended before its
 * worker begins.
 */

import { mapInParallel } from '../artifacts/map-in-parallel.ts';
import { createRunEngine, type RunEngine, readRunEngine, writeRunEngine } from '../artifacts/run-engine.ts';
import { addNotice, listRuns } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { readEngine } from '../deploy/embedded.ts';
import { identify, isAlive, placeOf } from '../deploy/lock.ts';
import type { RunHeader } from '../plan/types.ts';
import { workflowIdOf } from '../workflows/messages.ts';
import { type TemporalConnection, temporalTarget } from './connect.ts';
import { isNotFound, isOpenWorkflow } from './open-workflow.ts';
import { CommandError, exitCodes, ownCommand } from './output.ts';
import { isFinal } from './run-view.ts';
import type { Settings } from './settings.ts';

/** Throws where another engine that lives has the run. Writes and starts nothing. */
export async function checkRunIsHere(settings: Settings, store: Store, header: RunHeader): Promise<void> {
  const claim = await readRunEngine(store, header.run);
  if (claim === null) return;
  const target = await temporalTarget(settings);
  // One server has many addresses: whether it has the run it says itself.
  const isHere = 'address' in claim ? target !== null : target === null && claim.place === placeOf(settings.folder);
  if (!isHere && (await lives(claim, header.run))) throw elsewhere(claim, header);
}

/** Has the record say that the run is run here from now on. Throws where another engine that lives has it. */
export async function claimRun(
  settings: Settings,
  store: Store,
  temporal: TemporalConnection,
  header: RunHeader,
): Promise<void> {
  const here = engineHere(settings, temporal);
  const claim = await createRunEngine(store, header.run, here);
  if (claim === null) return;
  // Of two addresses that may be those of one server, what is open here counts.
  const isKnownHere = 'address' in claim && 'address' in here && (await isOpenWorkflow(temporal.client, header.run));
  if (!isSame(claim, here) && !isKnownHere) {
    if (await lives(claim, header.run)) throw elsewhere(claim, header);
    if (await endStale(temporal, header.run)) await addNotice(store, header.run, backWords(claim));
  }
  if (!isEqual(claim, here)) await writeRunEngine(store, header.run, here);
}

/** For a command that writes the record of a run itself, because no engine knows it: what another still has is stale. */
export async function takeRun({ folder }: Settings, store: Store, run: string): Promise<void> {
  await writeRunEngine(store, run, { folder, place: placeOf(folder), server: identify(process.pid)! });
}

/**
 * Of the embedded engine, before its worker begins: ends the workflows of runs that went on elsewhere, and claims those
 * that are open here for the server that runs now.
 */
export async function claimOpenRuns(settings: Settings, store: Store, temporal: TemporalConnection): Promise<void> {
  if (temporal.engine === null) return;
  const here = engineHere(settings, temporal);
  // A store that is far away may hold thousands of runs, and the command waits for this.
  await mapInParallel(await listRuns(store), async ({ header: { run }, state }) => {
    const claim = await readRunEngine(store, run);
    if (claim === null) return;
    if (!isSame(claim, here)) await endStale(temporal, run);
    else if (!isFinal(state.state) && !isEqual(claim, here)) await writeRunEngine(store, run, here);
  });
}

function engineHere(settings: Settings, temporal: TemporalConnection): RunEngine {
  if (temporal.engine === null) {
    return { address: temporal.target.options.address, namespace: temporal.target.namespace };
  }
  const engine = readEngine(settings.folder);
  if (engine === null) {
    throw new CommandError('The embedded engine has ended. Run the same command again to go on.', exitCodes.engine);
  }
  return { folder: settings.folder, place: placeOf(settings.folder), server: engine.server };
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

function elsewhere(claim: RunEngine, { run, file }: RunHeader): CommandError {
  const there =
    'address' in claim
      ? `is open on the Temporal server at ${claim.address} (namespace ${claim.namespace}). Name that one with --address or TEMPORAL_ADDRESS,`
      : `is run by the embedded engine of ${claim.folder} (process ${claim.server.pid}). Give the command there, or end the one that runs it,`;
  return new CommandError(
    `Run ${run} ${there} because two engines must not run it at once. From here it is watched with "${ownCommand('watch', run)}", and "${ownCommand('run', file, '--new')}" starts another run.`,
    exitCodes.engine,
  );
}

const nameOf = (claim: RunEngine): string =>
  'address' in claim ? `the Temporal server at ${claim.address}` : `the engine of ${claim.folder}`;

const backWords = (claim: RunEngine): string =>
  `The run was last run by ${nameOf(claim)}, so what another engine still knew of it was ended, and it went on from its record.`;

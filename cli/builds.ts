/** `hardcase builds`: which builds of hardcase serve a shared server, which of them gets new runs, and moving runs to this one. */

import {
  type BuildsServer,
  buildIdOf,
  buildsOf,
  type KnownBuild,
  makeCurrent,
  moveRun,
  RunStaysError,
} from '../deploy/builds.ts';
import { buildOf } from '../deploy/move-runs.ts';
import { defaultBundlePath } from '../deploy/worker.ts';
import { connectTemporal, openExistingStore, type TemporalConnection } from './connect.ts';
import { findRun } from './find-run.ts';
import { CommandError, type ExitCode, exitCodes, ownCommand, print, printJson, table } from './output.ts';
import { isFinal } from './run-view.ts';
import { installRuntime } from './sdk-runtime.ts';
import type { Settings } from './settings.ts';

export interface BuildsOptions {
  /** This build gets the runs that begin. */
  readonly current?: string;
  /** A run that is to go on with this installation's build. */
  readonly move?: string;
  readonly json?: boolean;
}

export async function runBuilds(settings: Settings, options: BuildsOptions): Promise<ExitCode> {
  const temporal = await connectTemporal(settings);
  try {
    if (temporal.engine !== null) {
      throw new CommandError(
        '"hardcase builds" is about a Temporal server that several workers share, and none is named: set TEMPORAL_ADDRESS or --address. The embedded engine has one build, and moves open runs to it by itself.',
        exitCodes.usage,
      );
    }
    const server = serverOf(temporal);
    if (options.current !== undefined) await setCurrent(server, settings.queue, options.current);
    if (options.move !== undefined) return await move(settings, server, options.move, options.json === true);
    const builds = await buildsOf(server, settings.queue);
    if (options.json) printJson(builds);
    else print(buildsWords(builds, settings));
    return exitCodes.done;
  } finally {
    await temporal.close();
  }
}

export const serverOf = ({ connection, client, target }: TemporalConnection): BuildsServer => ({
  connection,
  client,
  namespace: target.namespace,
});

async function setCurrent(server: BuildsServer, deploymentName: string, buildId: string): Promise<void> {
  const known = await buildsOf(server, deploymentName);
  if (!known.some((build) => build.buildId === buildId)) {
    throw new CommandError(
      `--current: the server knows no build "${buildId}". It knows ${known.map((build) => build.buildId).join(', ') || 'none'}; a worker makes its own known.`,
      exitCodes.input,
    );
  }
  const why = await makeCurrent(server, { deploymentName, buildId });
  if (why === null) return;
  throw new CommandError(
    `--current: build ${buildId} cannot take new runs yet: ${why} Start its workers for every queue that the current build serves first.`,
    exitCodes.input,
  );
}

async function move(settings: Settings, server: BuildsServer, name: string, json: boolean): Promise<ExitCode> {
  const store = await openExistingStore(settings);
  const { header, state } = await findRun(store, name);
  const { run } = header;
  if (isFinal(state.state)) {
    throw new CommandError(`--move: the run ${run} is ${state.state}, so nothing of it goes on.`, exitCodes.input);
  }
  const bundlePath = defaultBundlePath();
  const version = { deploymentName: settings.queue, buildId: buildIdOf(await buildOf(bundlePath)) };
  if (!(await buildsOf(server, settings.queue)).some(({ buildId }) => buildId === version.buildId)) {
    throw new CommandError(
      `--move: no worker of this build, ${version.buildId}, has been there. Start one first: ${ownCommand('worker')}`,
      exitCodes.input,
    );
  }
  await installRuntime(settings);
  const { moved, stay } = await moveRun(server, run, bundlePath, version).catch((error: unknown) => {
    if (!(error instanceof RunStaysError)) throw error;
    throw new CommandError(
      `Run ${run} stays with the build that began it, whose workers must run on: its history does not replay with ${version.buildId} (${error.message}).`,
      exitCodes.input,
      error,
    );
  });
  if (json) printJson({ run, build: version.buildId, moved, stay });
  else {
    print(
      `Run ${run} goes on with build ${version.buildId}${stay.length === 0 ? '.' : ', but for what is open of it:'}`,
    );
    for (const { workflowId, why } of stay) {
      print(`  ${workflowId} ends where it began (${why}). What begins after it begins in the new build.`);
    }
  }
  return exitCodes.done;
}

function buildsWords(builds: readonly KnownBuild[], { queue }: Settings): string {
  if (builds.length === 0) {
    return `No worker of the queues ${queue}-* has been there with a build. Start one: ${ownCommand('worker')}`;
  }
  const words = {
    current: 'current: runs that begin go here',
    draining: 'open runs are left: its workers must run on',
    drained: 'no open run is left: its workers may go',
    waiting: 'no run has come here so far',
  };
  return table(builds.map(({ buildId, state }) => [buildId, words[state]]));
}

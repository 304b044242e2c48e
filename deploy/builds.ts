/**
 * Builds of hardcase that work side by side for a server that others share, by Temporal's Worker Versioning: a run stays
 * with the build that began it, runs that begin go to the current build, and a run moves where its histories replay.
 * https://docs.temporal.io/production-deployment/worker-deployments/worker-versioning
 */

import type { Client, Connection } from '@temporalio/client';
import type { Build } from '../plan/types.ts';
import { queueName, workflowIdOf } from '../workflows/messages.ts';
import { openWorkflow, problemOfReplay } from './move-runs.ts';

/** A build, as the server knows it: a worker deployment version. */
export interface Deployment {
  /** The prefix of the queues. */
  readonly deploymentName: string;
  readonly buildId: string;
}

export const buildIdOf = ({ id, version }: Build): string => `${version}-${id}`;

export interface KnownBuild {
  readonly buildId: string;
  readonly isCurrent: boolean;
  /** `draining` while runs of it are open after another became current; `drained` when none is. */
  readonly state: 'current' | 'draining' | 'drained' | 'waiting';
}

export interface BuildsServer {
  readonly connection: Connection;
  readonly client: Client;
  readonly namespace: string;
}

// temporal.api.enums.v1.VersionDrainageStatus
const draining = 1;
const drained = 2;
// temporal.api.workflow.v1.VersioningOverride.PinnedOverrideBehavior
const pinned = 1;
// gRPC's NOT_FOUND, and FAILED_PRECONDITION: workers of some queue are not there yet.
const notYet = [5, 9];

/** Newest first; empty where no worker of a build has been there. */
export async function buildsOf({ connection, namespace }: BuildsServer, deploymentName: string): Promise<KnownBuild[]> {
  const answer = await connection.workflowService
    .describeWorkerDeployment({ namespace, deploymentName })
    .catch((error: { code?: number }) => {
      if (error.code === notYet[0]) return null;
      throw error;
    });
  const info = answer?.workerDeploymentInfo;
  const current = info?.routingConfig?.currentDeploymentVersion?.buildId;
  const summaries = [...(info?.versionSummaries ?? [])];
  const at = (one: (typeof summaries)[number]) => Number(one.createTime?.seconds ?? 0);
  return summaries
    .sort((a, b) => at(b) - at(a))
    .flatMap(({ deploymentVersion, drainageInfo }) => {
      const buildId = deploymentVersion?.buildId;
      if (!buildId) return [];
      const isCurrent = buildId === current;
      const status = drainageInfo?.status;
      const old = status === draining ? 'draining' : status === drained ? 'drained' : 'waiting';
      return [{ buildId, isCurrent, state: isCurrent ? ('current' as const) : (old as KnownBuild['state']) }];
    });
}

/**
 * Runs that begin go to this build from now on. Null; or why not yet: the server does not know its workers, or it has none
 * for a queue that the current build serves.
 */
export async function makeCurrent(
  { connection, namespace }: BuildsServer,
  { deploymentName, buildId }: Deployment,
): Promise<string | null> {
  try {
    await connection.workflowService.setWorkerDeploymentCurrentVersion({ namespace, deploymentName, buildId });
    return null;
  } catch (error) {
    const { code, details, message } = error as { code?: number; details?: string; message: string };
    if (code !== undefined && notYet.includes(code)) return details ?? message;
    throw error;
  }
}

// Polls of a living worker last a minute.
const livingMs = 70_000;
const knownWaitMs = 30_000;

/**
 * As `makeCurrent`, where no build is current, or none of the current build's workers lives. Null; or the build that is
 * current. Waits until the server knows the build's workers, which it does a moment after they began to poll.
 */
export async function makeCurrentIfFree(server: BuildsServer, version: Deployment): Promise<string | null> {
  const { deploymentName, buildId } = version;
  const deadline = Date.now() + knownWaitMs;
  for (;;) {
    const known = await buildsOf(server, deploymentName);
    const current = known.find(({ isCurrent }) => isCurrent)?.buildId;
    if (current === buildId) return null;
    if (current !== undefined && (await isServed(server, { deploymentName, buildId: current }))) return current;
    const isKnown = known.some((build) => build.buildId === buildId);
    if (isKnown && (await makeCurrent(server, version)) === null) return null;
    if (Date.now() > deadline) return current ?? 'none';
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

/** Whether a worker of the build has asked for workflows of late. */
async function isServed({ connection, namespace }: BuildsServer, version: Deployment): Promise<boolean> {
  const { pollers } = await connection.workflowService.describeTaskQueue({
    namespace,
    taskQueue: { name: queueName(version.deploymentName, 'workflows') },
    taskQueueType: 1,
  });
  return (pollers ?? []).some(
    ({ deploymentOptions, lastAccessTime }) =>
      deploymentOptions?.buildId === version.buildId &&
      Date.now() - Number(lastAccessTime?.seconds ?? 0) * 1_000 < livingMs,
  );
}

/** What became of a run that was to move to this build. */
export interface MovedRun {
  readonly moved: readonly string[];
  /** Workflow ids of rounds, legs and searches that end where they began; what begins after them begins here. */
  readonly stay: readonly { readonly workflowId: string; readonly why: string }[];
}

/** Moves an open run to the build, each of its workflows that replays. Throws where its root does not. */
export async function moveRun(
  server: BuildsServer,
  run: string,
  bundlePath: string,
  version: Deployment,
): Promise<MovedRun> {
  const moved: string[] = [];
  const stay: { workflowId: string; why: string }[] = [];
  const move = async (workflowId: string): Promise<void> => {
    const own = await openWorkflow(server.client, workflowId);
    if (own === null) return;
    const why = await problemOfReplay(bundlePath, [own.history]);
    if (why === null) {
      await pin(server, workflowId, version);
      moved.push(workflowId);
    } else if (workflowId === workflowIdOf(run)) throw new RunStaysError(why);
    else stay.push({ workflowId, why });
    for (const child of own.children) await move(child);
  };
  await move(workflowIdOf(run));
  return { moved, stay };
}

/** The run's root does not replay with this build. */
export class RunStaysError extends Error {}

async function pin({ connection, namespace }: BuildsServer, workflowId: string, version: Deployment): Promise<void> {
  await connection.workflowService.updateWorkflowExecutionOptions({
    namespace,
    workflowExecution: { workflowId },
    workflowExecutionOptions: { versioningOverride: { pinned: { behavior: pinned, version } } },
    updateMask: { paths: ['versioning_override'] },
  });
}

/**
 * Open runs that another build of hardcase began: each is replayed against this build's workflows. Where its histories
 * replay, it goes on here, and its record says so; else it stays as it is until that build is back.
 */

import { readFile } from 'node:fs/promises';
import type { Client } from '@temporalio/client';
import { ReplayError, Worker } from '@temporalio/worker';
import { packageVersion } from '../activities/environment.ts';
import { sha256Hex } from '../artifacts/digest.ts';
import { addNotice, listOpenRuns, writeRunState } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import type { Build } from '../plan/types.ts';
import { workflowIdOf } from '../workflows/messages.ts';

export interface HeldRun {
  readonly run: string;
  readonly build: Build;
  readonly why: string;
}

/** The workflows' code decides what a history can go on with, whatever the version says. */
export async function buildOf(bundlePath: string): Promise<Build> {
  return { id: sha256Hex(await readFile(bundlePath)).slice(0, 12), version: packageVersion() };
}

export const buildName = ({ id, version }: Build): string => `hardcase ${version} (build ${id})`;

/** Answers the runs that cannot go on with this build. */
export async function moveOpenRuns(
  client: Client,
  store: Store,
  bundlePath: string,
  own: Build,
): Promise<readonly HeldRun[]> {
  const held: HeldRun[] = [];
  for (const { header, state } of await listOpenRuns(store)) {
    const { run } = header;
    const { build } = state;
    if (build === undefined || build.id === own.id) continue;
    const histories = await historiesOf(client, workflowIdOf(run));
    if (histories.length === 0) continue;
    const why = await problemOfReplay(bundlePath, histories);
    if (why !== null) {
      held.push({ run, build, why });
      continue;
    }
    await writeRunState(store, run, { build: own });
    await addNotice(
      store,
      run,
      `The run was begun by ${buildName(build)} and goes on with ${buildName(own)}: its histories replay with it.`,
    );
  }
  return held;
}

export interface WorkflowHistory {
  readonly workflowId: string;
  readonly history: unknown;
}

/** Of the workflow and of its open children, where it is open. */
async function historiesOf(client: Client, workflowId: string): Promise<WorkflowHistory[]> {
  const own = await openWorkflow(client, workflowId);
  if (own === null) return [];
  const below = await Promise.all(own.children.map((child) => historiesOf(client, child)));
  return [own.history, ...below.flat()];
}

/** With the ids of its open children; null where it is not open. */
export async function openWorkflow(
  client: Client,
  workflowId: string,
): Promise<{ readonly history: WorkflowHistory; readonly children: readonly string[] } | null> {
  const handle = client.workflow.getHandle(workflowId);
  const described = await handle.describe().catch(() => null);
  if (described?.status.name !== 'RUNNING') return null;
  const children = (described.raw.pendingChildren ?? []).map((child) => child.workflowId ?? '');
  return { history: { workflowId, history: await handle.fetchHistory() }, children };
}

/** What does not replay, or null. */
export async function problemOfReplay(
  bundlePath: string,
  histories: readonly WorkflowHistory[],
): Promise<string | null> {
  const results = Worker.runReplayHistories({ workflowBundle: { codePath: bundlePath } }, histories);
  for await (const { workflowId, error } of results) {
    if (error === undefined) continue;
    const why = error instanceof ReplayError ? error.message : String(error);
    return `${workflowId}: ${why.split('\n')[0]}`;
  }
  return null;
}

/**
 * Histories of whole runs of the shipped pipelines, recorded with activities that only answer what their kind gives. A
 * build whose workflows replay them can go on with the runs of the build that recorded them.
 *
 *     node dist/test/workflows/record-histories.js     records those of this version anew, into test/histories/VERSION/
 */

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { WorkflowHandle } from '@temporalio/client';
import proto from '@temporalio/proto';
import { enterGroup, type GroupEntry } from '../../activities/groups.ts';
import { sha256Hex } from '../../artifacts/digest.ts';
import type { WorkflowHistory } from '../../deploy/move-runs.ts';
import { compilePipeline, parsePipeline } from '../../plan/compile.ts';
import { stepKinds, type ValueType } from '../../plan/step-kinds.ts';
import type { ArtifactRef, Json, Plan, StepRequest } from '../../plan/types.ts';
import { artifactParamTypes } from '../../spec/types.ts';
import { testEnvironment } from '../small-plans.ts';

/** The sources' root, from the sources and from `dist/`. */
export const root = join(import.meta.dirname, import.meta.url.endsWith('.ts') ? '../..' : '../../..');
const folder = join(root, 'test', 'histories');

const { History } = proto.temporal.api.history.v1;

interface EncodedHistory {
  readonly workflowId: string;
  /** Protocol buffer, base64. */
  readonly history: string;
}

/** The shipped pipelines, by name; not those parts that only others can run. */
export function shippedPlans(): { readonly name: string; readonly plan: Plan }[] {
  const files = readdirSync(join(root, 'pipelines'), { recursive: true }).map((name) =>
    join('pipelines', String(name)),
  );
  return (
    files
      // Tests beside them are no pipelines.
      .filter((file) => file.endsWith('.yaml') && !file.endsWith('.test.yaml'))
      .sort()
      .flatMap((file) => {
        const read = (path: string) => ({ text: readFileSync(join(root, path), 'utf8') });
        const pipeline = parsePipeline({ file, ...read(file) }, read);
        const types = Object.values(pipeline.params).map(({ type }) => type);
        if (types.some((type) => artifactParamTypes.some((each) => each === type))) return [];
        const tree: ArtifactRef = { artifact: 'tree', digest: '0'.repeat(64), bytes: 0 };
        const folders = Object.entries(pipeline.params).filter(([, { type }]) => type === 'path');
        const { plan } = compilePipeline(pipeline, {
          params: Object.fromEntries(folders.map(([name]) => [name, tree])),
        });
        if (plan === undefined) throw new Error(`${file} does not compile.`);
        return [{ name: basename(file, '.yaml'), plan }];
      })
  );
}

/** Activities without a store: steps give values of the types of their kind's outputs. */
export function answeringActivities(): { [name: string]: (request: never) => Promise<unknown> } {
  const nothing = async () => undefined;
  const outputsOf = ({ kind, path, ...step }: StepRequest) => {
    const outputs = step.outputs ??
      stepKinds.get(kind)?.outputs ?? { AP: 'number', flops: 'number', parameters: 'number' };
    return Object.fromEntries(
      Object.entries(outputs).map(([name, type]) => [name, valueOfType(type, `${path}.${name}`)]),
    );
  };
  const run = async (request: StepRequest) => ({ outputs: outputsOf(request), reused: false });
  const kinds = [...stepKinds.keys(), 'capacity-rung', 'capacity-trial', 'choose-capacity'];
  return {
    ...Object.fromEntries(kinds.map((kind) => [kind, run])),
    'open-run': async () => testEnvironment,
    'record-run': nothing,
    'record-step': nothing,
    'record-notice': nothing,
    'record-operation': nothing,
    'keep-early': nothing,
    'reset-steps': nothing,
    'close-run': nothing,
    'check-queue': async () => true,
    'count-images': async () => 2,
    'count-waiting': async () => 0,
    'reuse-step': async () => null,
    'finish-step': async ({ result }: { result: unknown }) => result,
    'enter-group': (entry: GroupEntry) => enterGroup({} as never, entry),
    'tell-group': nothing,
    'is-running': async () => true,
    'begin-foreign': async () => ({ seed: 1, fingerprint: '0'.repeat(64), store: 'store' }),
    'finish-foreign': ({ step }: { step: StepRequest }) => run(step),
    'open-approval': async ({ path, now }: { path: string; now: string }) => ({ approval: { path, openedAt: now } }),
    'close-approval': async ({ given }: { given: { answer: Json } }) => given.answer,
    'open-gate': async () => ({ undecided: 1 }),
    'append-decisions': async ({ batches }: { batches: { batch: string }[] }) => ({
      undecided: 0,
      refused: [],
      written: batches.map(({ batch }) => ({ batch, accepted: 1, repeated: 0 })),
    }),
    'apply-decisions': ({ step }: { step: StepRequest }) => run(step),
  };
}

function valueOfType(type: ValueType | 'any' | 'secret', name: string): Json {
  if (type === 'number') return 0.5;
  if (type === 'boolean') return true;
  if (typeof type === 'string') return name;
  if ('list' in type) return [valueOfType(type.list, name)];
  return { artifact: type.artifact, digest: sha256Hex(name), bytes: 1 };
}

/** The workflow's history and those of all its children, ended ones too. */
export async function wholeHistory(
  handle: WorkflowHandle,
  childOf: (workflowId: string, runId: string) => WorkflowHandle,
): Promise<WorkflowHistory[]> {
  const history = await handle.fetchHistory();
  const all: WorkflowHistory[] = [{ workflowId: handle.workflowId, history }];
  for (const event of history.events ?? []) {
    const child = event.childWorkflowExecutionStartedEventAttributes?.workflowExecution;
    if (child?.workflowId && child.runId)
      all.push(...(await wholeHistory(childOf(child.workflowId, child.runId), childOf)));
  }
  return all;
}

export function writeHistories(version: string, name: string, histories: readonly WorkflowHistory[]): void {
  const encoded = histories.map(({ workflowId, history }) => ({
    workflowId,
    history: Buffer.from(History.encode(history as never).finish()).toString('base64'),
  }));
  mkdirSync(join(folder, version), { recursive: true });
  writeFileSync(join(folder, version, `${name}.json.gz`), gzipSync(JSON.stringify(encoded), { level: 9 }));
}

/** All that were recorded, of every version. */
export function readHistories(): { readonly name: string; readonly histories: WorkflowHistory[] }[] {
  const files = readdirSync(folder, { recursive: true }).map(String);
  return files
    .filter((file) => file.endsWith('.json.gz'))
    .sort()
    .map((file) => ({
      name: file.replace('.json.gz', ''),
      histories: (JSON.parse(gunzipSync(readFileSync(join(folder, file))).toString()) as EncodedHistory[]).map(
        ({ workflowId, history }) => ({ workflowId, history: History.decode(Buffer.from(history, 'base64')) }),
      ),
    }));
}

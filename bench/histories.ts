/**
 * How long histories become: runs on a real server, with the real interpreter and steps that do nothing, that are as wide
 * and as long as a pipeline may be. `npm run bench -- histories [CASE]…` prints the longest history of any workflow of each
 * run, and the most activities that one workflow had open at once. Ends with 1 where Temporal's suggestion was passed.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import type { AnyStepImplementation, StepContext } from '../activities/context.ts';
import { readApproval, writeApproval } from '../artifacts/approval-record.ts';
import { saveDataset, saveJson } from '../artifacts/codecs.ts';
import { sha256Hex } from '../artifacts/digest.ts';
import { openFolderStore } from '../artifacts/folder-store.ts';
import { readDecisions, readGate } from '../artifacts/gate-record.ts';
import { createRun } from '../artifacts/run-record.ts';
import type { Store } from '../artifacts/store.ts';
import { startTemporalDevServer } from '../deploy/servers.ts';
import { startWorker } from '../deploy/worker.ts';
import type { Annotation, Candidate, Decision } from '../detection/types.ts';
import { canonicalJson } from '../plan/canonical.ts';
import { eventsMax, renewAfterEvents, wornEvents } from '../plan/limits.ts';
import type {
  ActivityStep,
  ApproveStep,
  FanOutStep,
  GateStep,
  Json,
  PipelineStep,
  Plan,
  PlannedScope,
  PlannedStep,
  RepeatStep,
  SearchStep,
} from '../plan/types.ts';
import {
  type AnswerMessage,
  answerName,
  type DecideMessage,
  decideName,
  queueName,
  type RunArguments,
  workflowIdOf,
} from '../workflows/messages.ts';

const queuePrefix = 'bench';
const pendingMax = 500;

const step = (id: string, kind: string, parameters: { readonly [name: string]: Json } = {}): ActivityStep => ({
  type: 'activity',
  id,
  kind,
  version: 1,
  needs: [],
  with: parameters,
  queue: 'cpu',
  timeoutMs: 600_000,
  heartbeatMs: 60_000,
  retry: { max: 1, initialMs: 50, factor: 2, maxMs: 1_000 },
  onFailure: 'hold',
});

const legs = (id: string, of: FanOutStep['legs'], kind = 'make'): FanOutStep => {
  const value: Json = { $: 'matrix' in of ? 'matrix.a' : 'item' };
  return { type: 'fan-out', id, needs: [], legs: of, concurrency: 100, scope: { steps: [step('', kind, { value })] } };
};

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

const rounds: RepeatStep = {
  type: 'repeat',
  id: 'rounds',
  needs: [],
  max: 2_000,
  carry: { model: null as unknown as Json, dataset: null as unknown as Json },
  next: { model: { $: 'steps.train.model' }, dataset: { $: 'steps.train.dataset' }, gain: { $: 'steps.train.value' } },
  scope: { steps: [step('train', 'make', { value: { $: 'round.index' } })] },
};

const trials: SearchStep = {
  ...step('search', 'search-capacity', { depth: numbers(25), width: numbers(20), epochs: 1 }),
  type: 'search',
};

/** One candidate each, in a gate of a round. */
const decisionsCount = 50_000;
/** Of a loop that asks for an approval in each. */
const approvalRounds = 400;

const review: RepeatStep = {
  type: 'repeat',
  id: 'rounds',
  needs: [],
  max: 1,
  carry: {},
  next: {},
  scope: { steps: [{ ...step('review', 'review-labels'), type: 'gate' }] },
};

const form = { properties: { go: { type: 'boolean' as const } }, required: ['go'] };
const approvals: RepeatStep = {
  ...review,
  max: approvalRounds,
  scope: {
    steps: [{ type: 'approve', kind: 'approve', version: 1, id: 'ok', form, needs: [], with: {}, onFailure: 'hold' }],
  },
};

const gatesCount = 2_000;
/** Of those, some that are answered before they open, and some while they wait; the time of the others runs out. */
const gatesEarly = 100;
const gatesAnswered = 100;
const sideBySide: FanOutStep = {
  ...legs('ask', { matrix: numbers(gatesCount).map((a) => ({ name: `a=${a}`, values: { a } })) }),
  scope: {
    steps: [
      {
        ...(approvals.scope.steps[0] as ApproveStep),
        id: '',
        with: {
          after: { expire: { in: { $: `matrix.a <= ${gatesAnswered} ? "10d" : "10m"` } } },
        },
        expired: { go: false },
      },
    ],
  },
};

/** So many legs, each a list of so many approvals. */
const nestedLegs = 100;
const nestedGates = 25;
/** Of each list, the first is answered while it waits, and the last before it opens; the time of the others runs out. */
const nested: FanOutStep = {
  ...legs('outer', { forEach: numbers(nestedLegs) }),
  scope: {
    steps: [
      {
        ...legs('inner', { forEach: numbers(nestedGates) }),
        scope: {
          steps: [
            {
              ...(approvals.scope.steps[0] as ApproveStep),
              id: '',
              with: {
                after: { expire: { in: { $: `item in [1, ${nestedGates}] ? "10d" : string(item * 20) + "s"` } } },
              },
              expired: { go: false },
            },
          ],
        },
      },
    ],
  },
};

/** Legs of a batch, each of which asks so often, one question after another. */
interface AskingLegs {
  readonly legs: number;
  readonly rounds: number;
  /** Legs whose questions a person answers one by one. In the others the time runs out, at times of their own. */
  readonly answered: number;
}

const loops: AskingLegs = { legs: 100, rounds: 8, answered: 40 };
const longLoops: AskingLegs = { legs: 40, rounds: 25, answered: 10 };
/** In a file each, whose own end must not be cut. */
const loopsWithEnds: AskingLegs = { legs: 100, rounds: 4, answered: 40 };

/** `leg`: what the steps see as the number of the leg. */
const loopOfGates = ({ rounds, answered }: AskingLegs, leg: string): RepeatStep => {
  const time = `${leg} <= ${answered} ? "10d" : string(5 + (${leg} * 7 + round.index * 13) % 60) + "s"`;
  const [asks] = approvals.scope.steps as [ApproveStep];
  return {
    ...approvals,
    max: rounds,
    next: { by: { $: 'steps.ok.by' } },
    scope: { steps: [{ ...asks, with: { after: { expire: { in: { $: time } } } }, expired: { go: false } }] },
  };
};
const askingLegs = (count: number, one: PlannedStep): FanOutStep => ({
  ...legs('ask', { matrix: numbers(count).map((a) => ({ name: `a=${a}`, values: { a } })) }),
  scope: { steps: [one] },
  outputs: {},
});
const loopInFile: PipelineStep = {
  type: 'pipeline',
  id: 'file',
  pipeline: 'file',
  needs: [],
  params: { a: { $: 'matrix.a' } },
  outputs: {},
  scope: { steps: [loopOfGates(loopsWithEnds, 'params.a')], finally: [step('tidy', 'make', { value: 1 })] },
};

const looksCount = 1_000;
/** Of those, some that are decided before they open, and some one by one while they wait; the time of the others runs out. */
const looksEarly = 300;
const looksDecided = 300;

const aboutLoops = ({ legs, rounds, answered }: AskingLegs): string =>
  `${legs} legs with a loop of ${rounds} approvals each, ${answered * rounds} answered one by one`;

interface Case {
  readonly about: string;
  readonly steps: PlannedScope['steps'];
  /** Steps that take what must lie in the store first. */
  readonly prepared?: (store: Store) => Promise<PlannedScope['steps']>;
  /** What people do meanwhile. */
  readonly people?: (handle: WorkflowHandle, store: Store) => Promise<void>;
}

const passedRounds = 2_000;

const heldLegs = 2_000;
let held = 0;

const cases: { readonly [name: string]: Case } = {
  rounds: { about: '2,000 rounds', steps: [rounds] },
  matrix: {
    about: 'a matrix of 5,000 legs',
    steps: [legs('tune', { matrix: numbers(5_000).map((a) => ({ name: `a=${a}`, values: { a } })) })],
  },
  lists: {
    about: 'two lists of 5,000 legs side by side',
    steps: [legs('first', { forEach: numbers(5_000) }), legs('second', { forEach: numbers(5_000) })],
  },
  search: { about: 'a capacity search of 500 trials', steps: [trials] },
  decisions: {
    about: '50,000 decisions: by 500, in lists, one by one',
    steps: [],
    prepared: preparedReview,
    people: decideAll,
  },
  approvals: {
    about: `${approvalRounds} rounds that ask for an approval each`,
    steps: [approvals],
    people: approveAll,
  },
  gates: {
    about: `${gatesCount} approvals side by side, ${gatesEarly} answered early, ${gatesAnswered} while they wait`,
    steps: [sideBySide],
    people: answerSome,
  },
  nested: {
    about: `${nestedLegs} lists of ${nestedGates} approvals in a list, one of each answered early and one while it waits`,
    steps: [nested],
    people: answerNested,
  },
  loops: {
    about: aboutLoops(loops),
    steps: [askingLegs(loops.legs, loopOfGates(loops, 'matrix.a'))],
    people: (handle, store) => answerLoops(handle, store, 'loops', loops, ''),
  },
  'long-loops': {
    about: aboutLoops(longLoops),
    steps: [askingLegs(longLoops.legs, loopOfGates(longLoops, 'matrix.a'))],
    people: (handle, store) => answerLoops(handle, store, 'long-loops', longLoops, ''),
  },
  ends: {
    about: `${aboutLoops(loopsWithEnds)}, in files with a finally`,
    steps: [askingLegs(loopsWithEnds.legs, loopInFile)],
    people: (handle, store) => answerLoops(handle, store, 'ends', loopsWithEnds, '.file'),
  },
  reviews: {
    about: `${looksCount} reviews side by side, ${looksEarly} decided early, ${looksDecided} while they wait`,
    steps: [],
    prepared: preparedReviews,
    people: decideSome,
  },
  passed: {
    about: `${passedRounds} rounds that were approved before`,
    steps: [{ ...approvals, max: passedRounds }],
    prepared: preparedApprovals,
  },
  held: {
    about: `${heldLegs} legs that are held, and tried again by one retry`,
    steps: [legs('tune', { forEach: numbers(heldLegs) }, 'stumble')],
    people: async (handle) => {
      while (held < heldLegs) await pause(500);
      for (let retried = 0; retried < heldLegs; await pause(2_000)) {
        const answer = handle.executeUpdate<{ steps: readonly string[] }, [object]>('retry', {
          args: [{ by: 'bench' }],
        });
        // Not yet: the word of the last ones is on its way up.
        const { steps } = await answer.catch(() => ({ steps: [] }));
        retried += steps.length;
      }
    },
  },
};

interface Pending {
  activities: number;
  children: number;
}

/** An image with so many boxes, each of which a reviewer is asked about. `image`: its bytes. */
async function reviewed(store: Store, image: string, count: number): Promise<{ readonly [name: string]: Json }> {
  const digest = await store.putObject(Buffer.from(image));
  const annotations = numbers(count).map(
    (i): Annotation => ({ id: `b${i}`, imageId: 1, categoryId: 1, box: [i * 30, 10, i * 30 + 20, 30] }),
  );
  const width = (count + 1) * 30;
  const dataset = await saveDataset(store, {
    categories: [{ id: 1, name: 'apple' }],
    images: [{ id: 1, fileName: 'a.png', width, height: 100, digest, split: 'train', group: '1' }],
    labels: { parent: null, author: 'import', note: '', annotations },
  });
  const candidates = annotations.map(
    (annotation, i): Candidate => ({
      id: `c${i}`,
      type: 'spurious',
      annotation,
      rank: i / count,
      imageId: 1,
      imageDigest: digest,
    }),
  );
  const saved = await saveJson(store, 'candidates', candidates);
  return { dataset, candidates: saved, reviewer: 'human' } as unknown as GateStep['with'];
}

async function preparedReview(store: Store): Promise<PlannedScope['steps']> {
  const values = await reviewed(store, 'image', decisionsCount);
  const [asks] = review.scope.steps;
  return [{ ...review, scope: { steps: [{ ...asks, with: values } as GateStep] } }];
}

/** A leg for each gate, with an image of its own, because nobody is asked twice about one. */
async function preparedReviews(store: Store): Promise<PlannedScope['steps']> {
  const items: Json[] = [];
  for (const i of numbers(looksCount)) {
    const isDecided = i <= looksDecided || i > looksCount - looksEarly;
    items.push({ ...(await reviewed(store, `look ${i}`, 1)), expire: isDecided ? '10d' : '3m' });
  }
  const [asks] = review.scope.steps;
  const after: Json = { expire: { in: { $: 'item.expire' } } };
  const values: GateStep['with'] = {
    dataset: { $: 'item.dataset' },
    candidates: { $: 'item.candidates' },
    reviewer: 'human',
    after,
  };
  const step = { ...asks, id: '', with: values } as GateStep;
  return [{ ...legs('look', { forEach: items }), scope: { steps: [step] } }];
}

/** The last ones before they open, and the first ones when all wait, as quickly as a script can. Throws where one was lost, or counted twice. */
async function decideSome(handle: WorkflowHandle, store: Store): Promise<void> {
  const decide = async (i: number) => {
    const message: DecideMessage = {
      gate: `look[${i}]`,
      batch: 'b',
      by: 'bench',
      decisions: [{ candidateId: 'c0', verdict: 'reject' }],
    };
    await untilTaken(() => handle.executeUpdate<object, [DecideMessage]>(decideName, { args: [message] }), 'is closed');
  };
  await planIsThere(handle);
  for (let i = looksCount; i > looksCount - looksEarly; i--) await decide(i);
  const isOpen = async (i: number) => (await readGate(store, 'reviews', `look[${i}]`)) !== null;
  while (!(await isOpen(looksCount))) await pause(500);
  for (let i = 1; i <= looksDecided; i++) await decide(i);
  await handle.result();
  for (const i of numbers(looksCount)) {
    const decisions = (await readDecisions(store, 'reviews', `look[${i}]`)).length;
    const isDecided = i <= looksDecided || i > looksCount - looksEarly;
    if (decisions !== (isDecided ? 1 : 0)) throw new Error(`look[${i}] has ${decisions} decisions.`);
  }
}

/** A run whose plan is fetched from the store takes nothing before. */
async function planIsThere(handle: WorkflowHandle): Promise<void> {
  while (!(await handle.describe()).raw.pendingChildren?.length) await pause(200);
}

/** In messages of 500, by a list in the store, and one by one. */
async function decideAll(handle: WorkflowHandle, store: Store): Promise<void> {
  const decisions = numbers(decisionsCount).map((i): Decision => ({ candidateId: `c${i - 1}`, verdict: 'reject' }));
  const send = async (batch: string, more: Partial<DecideMessage>) => {
    await planIsThere(handle);
    await handle.executeUpdate<object, [DecideMessage]>(decideName, {
      args: [{ gate: 'rounds[1].review', batch, by: 'bench', ...more }],
    });
  };
  for (let from = 0; from < 20_000; from += 500) {
    await send(`many-${from}`, { decisions: decisions.slice(from, from + 500) });
  }
  for (const [from, to] of [
    [20_000, 40_000],
    [40_000, decisionsCount - 100],
  ]) {
    const reference = await store.putObject(Buffer.from(canonicalJson(decisions.slice(from, to) as never)));
    await send(`list-${from}`, { reference });
  }
  for (const decision of decisions.slice(-100)) await send(`one-${decision.candidateId}`, { decisions: [decision] });
}

/** Each as soon as the one before has been taken, so most come before their gate is open. */
async function approveAll(handle: WorkflowHandle): Promise<void> {
  for (const round of numbers(approvalRounds)) await say(handle, `rounds[${round}].ok`);
}

/** Answers a gate that waits, or that has not opened yet, once. */
async function say(handle: WorkflowHandle, gate: string): Promise<void> {
  const message: AnswerMessage = { gate, by: 'bench', answer: { go: true } };
  await untilTaken(
    () => handle.executeUpdate<object, [AnswerMessage]>(answerName, { args: [message] }),
    'no more answers',
  );
}

/** Sends again where the history that it was sent to may just have ended, until it is refused as one too many. */
async function untilTaken(send: () => Promise<object>, tooMany: string): Promise<void> {
  const taken = () =>
    send().then(
      () => true,
      (error: { readonly cause?: Error }) => error.cause?.message.includes(tooMany) ?? false,
    );
  while (!(await taken())) await pause(200);
}

async function whenOpen(store: Store, run: string, gate: string): Promise<void> {
  while ((await readApproval(store, run, gate))?.state !== 'open') await pause(100);
}

/** Throws where an answer was lost. */
async function expectAnswer(store: Store, run: string, gate: string, isByPeople: boolean): Promise<void> {
  const by = (await readApproval(store, run, gate))?.given?.by;
  if (by !== (isByPeople ? 'bench' : 'nobody')) throw new Error(`${gate} was answered by ${by}.`);
}

/** The last ones before they open, and the first ones when all wait. */
async function answerSome(handle: WorkflowHandle, store: Store): Promise<void> {
  const pathOf = (a: number) => `ask[a=${a}]`;
  await planIsThere(handle);
  for (let a = gatesCount; a > gatesCount - gatesEarly; a--) await say(handle, pathOf(a));
  await whenOpen(store, 'gates', pathOf(gatesCount - gatesEarly));
  for (let a = 1; a <= gatesAnswered; a++) await say(handle, pathOf(a));
  await handle.result();
  for (const a of numbers(gatesCount)) {
    await expectAnswer(store, 'gates', pathOf(a), a <= gatesAnswered || a > gatesCount - gatesEarly);
  }
}

/** The last of each list before it opens, and the first as it opens. */
async function answerNested(handle: WorkflowHandle, store: Store): Promise<void> {
  const pathOf = (leg: number, gate: number) => `outer[${leg}].inner[${gate}]`;
  await planIsThere(handle);
  for (const leg of numbers(nestedLegs)) await say(handle, pathOf(leg, nestedGates));
  for (const leg of numbers(nestedLegs)) {
    await whenOpen(store, 'nested', pathOf(leg, 1));
    await say(handle, pathOf(leg, 1));
  }
  await handle.result();
  for (const leg of numbers(nestedLegs)) {
    for (const gate of numbers(nestedGates)) {
      await expectAnswer(store, 'nested', pathOf(leg, gate), gate === 1 || gate === nestedGates);
    }
  }
}

/** One after another, as they open. */
async function answerLoops(
  handle: WorkflowHandle,
  store: Store,
  run: string,
  asking: AskingLegs,
  within: string,
): Promise<void> {
  const pathOf = (a: number, round: number) => `ask[a=${a}]${within}.rounds[${round}].ok`;
  for (const round of numbers(asking.rounds)) {
    for (const a of numbers(asking.answered)) {
      await whenOpen(store, run, pathOf(a, round));
      await say(handle, pathOf(a, round));
    }
  }
  await handle.result();
  for (const a of numbers(asking.legs)) {
    for (const round of numbers(asking.rounds)) {
      await expectAnswer(store, run, pathOf(a, round), a <= asking.answered);
    }
  }
}

/** The record has the answer to each round's question. */
async function preparedApprovals(store: Store): Promise<PlannedScope['steps']> {
  for (const round of numbers(passedRounds)) {
    const path = `rounds[${round}].ok`;
    const message = `${path} waits for an answer.`;
    const shown = sha256Hex(canonicalJson({ message, form }));
    const given = { answer: { go: true }, by: 'bench', at: new Date().toISOString(), via: 'update' } as const;
    await writeApproval(store, 'passed', { path, state: 'answered', openedAt: given.at, message, form, given, shown });
  }
  return cases.passed!.steps;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const artifact = (path: string): Json => ({ artifact: 'model', digest: sha256Hex(path), bytes: 1 });
const stumbled = new Set<string>();

const implementations = {
  make: async ({ path }: StepContext, { value }: { value: Json }) => ({
    value,
    model: artifact(path),
    dataset: artifact(path),
  }),
  stumble: async ({ path }: StepContext) => {
    if (stumbled.has(path)) return {};
    stumbled.add(path);
    held++;
    throw new Error('It stumbles once.');
  },
  'capacity-trial': async (_: StepContext, { width, depth }: { width: number; depth: number }) => {
    const AP = width * depth;
    return { AP, AP50: AP, trainingLoss: 1, parameters: AP, flops: AP, seconds: 1 };
  },
  'choose-capacity': async (_: StepContext, { trials }: { trials: readonly { readonly AP: number }[] }) => ({
    AP: Math.max(...trials.map(({ AP }) => AP)),
  }),
} as unknown as { readonly [kind: string]: AnyStepImplementation };

async function start(client: Client, store: Store, run: string, root: PlannedScope): Promise<WorkflowHandle> {
  const plan: Plan = { format: 1, pipeline: 'histories', seed: 1, params: {}, root };
  const planDigest = await store.putObject(Buffer.from(canonicalJson(plan)));
  const { pipeline, seed } = plan;
  const createdAt = new Date().toISOString();
  await createRun(store, { run, pipeline, planDigest, source: planDigest, file: 'bench', params: {}, createdAt });
  const args: RunArguments = { run, pipeline, planDigest, seed, renewAfter: renewAfterEvents, wornAfter: wornEvents };
  const taskQueue = queueName(queuePrefix, 'workflows');
  return client.workflow.start(pipeline, { workflowId: workflowIdOf(run), taskQueue, args: [args] });
}

/** The most activities, and the most children, that a workflow had open at once, after its history. */
async function mostPending(client: Client, workflowId: string, runId: string): Promise<Pending> {
  const { events = [] } = await client.workflow.getHandle(workflowId, runId).fetchHistory();
  const open: Pending = { activities: 0, children: 0 };
  const most: Pending = { activities: 0, children: 0 };
  const count = (kind: keyof Pending, begins: unknown, ...ends: readonly unknown[]) => {
    if (begins) most[kind] = Math.max(most[kind], ++open[kind]);
    if (ends.some(Boolean)) open[kind]--;
  };
  for (const event of events ?? []) {
    count(
      'activities',
      event.activityTaskScheduledEventAttributes,
      event.activityTaskCompletedEventAttributes,
      event.activityTaskFailedEventAttributes,
      event.activityTaskTimedOutEventAttributes,
      event.activityTaskCanceledEventAttributes,
    );
    count(
      'children',
      event.startChildWorkflowExecutionInitiatedEventAttributes,
      event.startChildWorkflowExecutionFailedEventAttributes,
      event.childWorkflowExecutionCompletedEventAttributes,
      event.childWorkflowExecutionFailedEventAttributes,
      event.childWorkflowExecutionTimedOutEventAttributes,
      event.childWorkflowExecutionCanceledEventAttributes,
      event.childWorkflowExecutionTerminatedEventAttributes,
    );
  }
  return most;
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !Object.hasOwn(cases, name));
if (unknown.length > 0) {
  console.error(`There is no case "${unknown[0]}"; there are ${Object.keys(cases).join(', ')}.`);
  process.exit(2);
}

Runtime.install({
  shutdownSignals: [],
  logger: new DefaultLogger('ERROR'),
  telemetryOptions: { logging: { forward: {}, filter: 'ERROR' } },
});
const folder = await mkdtemp(join(tmpdir(), 'hardcase-histories-'));
const store = await openFolderStore(join(folder, 'store'));
const server = await startTemporalDevServer({
  logFile: join(folder, 'temporal.log'),
  dbFile: join(folder, 'temporal.db'),
});
const connection = await Connection.connect({ address: server.address });
const client = new Client({ connection });
const worker = await startWorker({
  connection: { address: server.address },
  namespace: 'default',
  store,
  queuePrefix,
  queues: ['workflows', 'cpu'],
  implementations,
});
let passed = false;
try {
  console.log(
    'run                                                        workflows  longest history, root  pending activities, children  seconds',
  );
  for (const name of wanted.length > 0 ? wanted : Object.keys(cases)) {
    const { about, people, prepared, ...given } = cases[name]!;
    const steps = (await prepared?.(store)) ?? given.steps;
    const began = performance.now();
    const handle = await start(client, store, name, { steps });
    await Promise.all([people?.(handle, store), handle.result()]);
    const seconds = (performance.now() - began) / 1000;
    // The list of workflows is a little behind.
    await pause(2_000);
    let workflows = 0;
    const pending: Pending = { activities: 0, children: 0 };
    let longest = { id: '', events: 0 };
    let root = 0;
    for await (const { workflowId, runId, historyLength } of client.workflow.list()) {
      if (workflowId !== workflowIdOf(name) && !workflowId.startsWith(`${workflowIdOf(name)}:`)) continue;
      workflows++;
      if (workflowId === workflowIdOf(name)) root = Math.max(root, historyLength);
      if (historyLength > longest.events) longest = { id: workflowId, events: historyLength };
      if (historyLength <= 100) continue;
      const most = await mostPending(client, workflowId, runId);
      pending.activities = Math.max(pending.activities, most.activities);
      pending.children = Math.max(pending.children, most.children);
    }
    passed ||= longest.events > eventsMax || pending.activities > pendingMax || pending.children > pendingMax;
    const cells = [
      about.padEnd(60),
      workflows,
      `${longest.events} ${longest.id}, root ${root}`.padEnd(40),
      `${pending.activities}, ${pending.children}`.padEnd(10),
      seconds.toFixed(0),
    ];
    console.log(cells.join('  '));
  }
} finally {
  await worker.shutdown();
  await connection.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}
console.log(`No workflow may have more than ${eventsMax} events, or more than ${pendingMax} activities open at once.`);
process.exit(passed ? 1 : 0);

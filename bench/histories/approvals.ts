/** Cases with approvals. */

import type { WorkflowHandle } from '@temporalio/client';
import { readApproval, writeApproval } from '../../artifacts/approval-record.ts';
import { sha256Hex } from '../../artifacts/digest.ts';
import { readOperations } from '../../artifacts/run-record.ts';
import type { Store } from '../../artifacts/store.ts';
import { canonicalJson } from '../../plan/canonical.ts';
import type { ApproveStep, FanOutStep, PipelineStep, PlannedScope, PlannedStep, RepeatStep } from '../../plan/types.ts';
import { type AnswerMessage, answerName, type OperateMessage, type OperationName } from '../../workflows/messages.ts';
import { type Case, legs, numbers, pause, planIsThere, repeat, step, untilTaken } from './case.ts';

/** Of a loop that asks for an approval in each. */
const approvalRounds = 400;
const passedRounds = 2_000;

const form = { properties: { go: { type: 'boolean' as const } }, required: ['go'] };
/** `expire`: when its time runs out, an expression. */
const ask = (id: string, expire?: string): ApproveStep => ({
  type: 'approve',
  kind: 'approve',
  version: 1,
  id,
  form,
  needs: [],
  with: expire === undefined ? {} : { after: { expire: { in: { $: expire } } } },
  onFailure: 'hold',
  ...(expire === undefined ? {} : { expired: { go: false } }),
});

const gatesCount = 2_000;
/** Of those, some that are answered before they open, and some while they wait; the time of the others runs out. */
const gatesEarly = 100;
const gatesAnswered = 100;
const sideBySide: FanOutStep = {
  ...legs('ask', { matrix: numbers(gatesCount).map((a) => ({ name: `a=${a}`, values: { a } })) }),
  scope: { steps: [ask('', `matrix.a <= ${gatesAnswered} ? "10d" : "10m"`)] },
};

/** So many legs, each a list of so many approvals. */
const nestedLegs = 100;
const nestedGates = 25;
/** Of each list, the first is answered while it waits, and the last before it opens; the time of the others runs out. */
const inner: FanOutStep = {
  ...legs('inner', { forEach: numbers(nestedGates) }),
  scope: { steps: [ask('', `item in [1, ${nestedGates}] ? "10d" : string(item * 20) + "s"`)] },
};
const nested: FanOutStep = { ...legs('outer', { forEach: numbers(nestedLegs) }), scope: { steps: [inner] } };

/** Legs of a batch, each of which asks so often, one question after another. */
interface AskingLegs {
  readonly legs: number;
  readonly rounds: number;
  /** Legs whose questions a person answers one by one. In the others the time runs out, at times of their own. */
  readonly answered: number;
}

const loops: AskingLegs = { legs: 100, rounds: 8, answered: 40 };
const longLoops: AskingLegs = { legs: 40, rounds: 25, answered: 10 };
const pausedLoops: AskingLegs = { legs: 60, rounds: 4, answered: 0 };
/** Each is followed by a resume. */
const pauses = 200;
/** In a file each, whose own end must not be cut. */
const loopsWithEnds: AskingLegs = { legs: 100, rounds: 4, answered: 40 };

/** `leg`: what the steps see as the number of the leg. */
const loopOfGates = ({ rounds, answered }: AskingLegs, leg: string): RepeatStep => {
  const time = `${leg} <= ${answered} ? "10d" : string(5 + (${leg} * 7 + round.index * 13) % 60) + "s"`;
  return repeat(rounds, [ask('ok', time)], { next: { by: { $: 'steps.ok.by' } } });
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

const passed = [repeat(passedRounds, [ask('ok')])];

const aboutLoops = ({ legs, rounds, answered }: AskingLegs): string =>
  `${legs} legs with a loop of ${rounds} approvals each, ${answered * rounds} answered one by one`;

export const approvalCases: { readonly [name: string]: Case } = {
  approvals: {
    about: `${approvalRounds} rounds that ask for an approval each`,
    steps: [repeat(approvalRounds, [ask('ok')])],
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
  pauses: {
    about: `${pauses} pauses and resumes of ${pausedLoops.legs} legs with a loop of ${pausedLoops.rounds} approvals each`,
    steps: [askingLegs(pausedLoops.legs, loopOfGates(pausedLoops, 'matrix.a'))],
    people: pauseOften,
  },
  passed: {
    about: `${passedRounds} rounds that were approved before`,
    steps: passed,
    prepared: preparedApprovals,
  },
};

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

/** As quickly as a script can. Throws where one is not in the record. */
async function pauseOften(handle: WorkflowHandle, store: Store): Promise<void> {
  const operate = (name: OperationName, already: string) =>
    untilTaken(() => handle.executeUpdate<object, [OperateMessage]>(name, { args: [{ by: 'bench' }] }), already);
  await planIsThere(handle);
  for (const _ of numbers(pauses)) {
    await operate('pause', 'paused already');
    await operate('resume', 'not paused');
  }
  await handle.result();
  const recorded = (await readOperations(store, 'pauses')).length;
  if (recorded !== 2 * pauses) throw new Error(`${recorded} operations are recorded.`);
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
  return passed;
}

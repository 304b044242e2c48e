/** The root's desk for answers to `approve` gates: checks them, keeps the first, and passes it on to the gate. */

import { defineSignal, defineUpdate, patched, workflowInfo } from '@temporalio/workflow';
import type { GivenAnswer } from '../artifacts/approval-record.ts';
import type { EarlyMessage } from '../artifacts/early-messages.ts';
import { canonicalJson } from '../plan/canonical.ts';
import { type Answer, completeAnswer, problemOfAnswer } from '../plan/form.ts';
import { findStep, isWithin } from '../plan/paths.ts';
import type { ApproveStep } from '../plan/types.ts';
import { approvePaths } from './approve-paths.ts';
import { type Briefing, refusalFor } from './briefing.ts';
import { takeBundle } from './bundles.ts';
import { control } from './control.ts';
import type { Mailbox } from './mailbox.ts';
import { type AnswerMessage, type AnswerReceipt, answerName } from './messages.ts';
import type { Outbox } from './outbox.ts';
import { fullWords, isFull } from './pace.ts';
import { rootStepOf } from './plan-paths.ts';
import { sendReplies } from './relay.ts';
import type { Renewal } from './renewal.ts';
import type { HandedOver, Opening, Passed, Reply } from './scope-messages.ts';
import type { RunOfPlan } from './upgrade-desk.ts';

// An update, because the sender wants to know whether the answer counts; a signal for the bare Temporal CLI.
const answerUpdate = defineUpdate<AnswerReceipt, [AnswerMessage]>(answerName);
const answerSignal = defineSignal<[AnswerMessage]>(answerName);

/** Plain data, so that it can go along where the workflow continues as new. */
interface Form {
  /** Id of the workflow that holds it open; null before it opens. */
  holder: string | null;
  /** Of its openings the newest, and when that was. */
  opening: string;
  openedAt: number;
  /** Why it takes no answers, where it does not. */
  closed: string | null;
  given: GivenAnswer | null;
  /** Whether it was found answered, so that the record has the answer. */
  found: boolean;
}

/** Of a gate that an earlier history of the run has the answer of. */
const answeredBefore = 'it has its answer, which "hardcase review show" tells';

export class ApprovalDesk {
  readonly #run: string;
  readonly #isCompiled: boolean;
  readonly #mailbox: Mailbox;
  readonly #forms = new Map<string, Form>();
  readonly #outbox: Outbox;
  /** Messages that people sent in this history, and gates that came to their end in it. */
  moved = 0;
  #isLeaving = () => false;
  readonly #briefing: Briefing;

  constructor({ run, isCompiled }: RunOfPlan, briefing: Briefing, mailbox: Mailbox, outbox: Outbox) {
    this.#briefing = briefing;
    this.#run = run;
    this.#isCompiled = isCompiled;
    this.#mailbox = mailbox;
    this.#outbox = outbox;
  }

  open(renewal: Pick<Renewal, 'isLeaving'>): void {
    this.#isLeaving = () => renewal.isLeaving;
    this.#briefing.update(answerUpdate, {
      refusalOf: (message) => refusalFor(this.#problemOf(message) ?? this.#tooEarly(message)),
      take: (message) => this.#take(message, 'update'),
    });
    this.#briefing.signal(answerSignal, (message) => {
      const problem = this.#problemOf(message);
      if (problem === null) this.#take(message, 'signal');
      else this.#note(`An answer signal was refused. ${problem}`);
    });
  }

  /** Answers of this history. What is recorded of them already does no harm to be kept once more. */
  takeBack(): EarlyMessage[][] {
    const answers = [...this.#forms].flatMap(([gate, { given, found }]) =>
      given === null || found ? [] : [{ gate, given }],
    );
    for (const [, form] of this.#forms) form.holder = null;
    const messages: EarlyMessage[][] = [];
    while (answers.length > 0) messages.push(takeBundle(answers));
    return messages;
  }

  handOver(): HandedOver['forms'] {
    return Object.fromEntries(
      // One that was found answered is found again.
      [...this.#forms].flatMap(([path, { given, closed, found }]) =>
        (given === null && closed === null) || found ? [] : [[path, closed ?? answeredBefore]],
      ),
    );
  }

  takeOver(forms: HandedOver['forms']): void {
    for (const [path, closed] of Object.entries(forms)) this.#formOf(path).closed = closed;
  }

  /** Answers what the gate is to be told at once. */
  opened({ path, holder, opening, openedAt }: Opening): Reply | null {
    const form = this.#formOf(path);
    Object.assign(form, { holder, opening, openedAt, closed: null });
    if (form.given === null) return null;
    this.moved++;
    return { path, opening, given: form.given };
  }

  planChanged(): void {
    // An answer to a gate that is not open yet, whose form is another one now, answers another question.
    for (const [path, form] of this.#forms) {
      const step = this.#stepAt(path);
      const fits = step !== null && form.given !== null && problemOfAnswer(step.form, form.given.answer) === null;
      if (form.holder === null && form.given !== null && !fits) this.#forms.delete(path);
    }
  }

  // A gate that was held after its time ran out is retried; answers that come before it is open wait.
  stepRetried(path: string): void {
    const form = this.#forms.get(path);
    if (form !== undefined) Object.assign(form, { closed: null, holder: null });
  }

  stepSkipped(path: string): void {
    for (const [gate, form] of this.#forms) if (isWithin(gate, path)) form.closed = 'its step was skipped';
  }

  stepsReset(ids: ReadonlySet<string>): void {
    for (const [path, form] of this.#forms) {
      if (ids.has(rootStepOf(path)))
        Object.assign(form, { closed: null, holder: null, opening: '', given: null, found: false });
    }
  }

  closing({ path, opening }: Opening): Reply {
    const form = this.#formOf(path);
    this.moved++;
    if (form.given === null && form.opening === opening) form.closed = 'its time ran out';
    return { path, opening, given: form.given };
  }

  /** The gate was found answered, by an earlier workflow of the run or in the run that this one was forked from. */
  answered({ path, at }: Passed, given: GivenAnswer): void {
    const form = this.#formOf(path);
    const early = form.given;
    if (form.holder !== null && at < form.openedAt) return;
    Object.assign(form, { given, found: true });
    if (early === null || canonicalJson(early.answer) === canonicalJson(given.answer)) return;
    // Runs of an earlier build have dropped such an answer without a word, and their histories say so.
    if (!patched('dropped-answers')) return;
    this.#note(
      `The answer of ${early.by} to ${path}, ${JSON.stringify(early.answer)}, does not count: ${wasAnswered(path, given)}`,
    );
  }

  #note(message: string): void {
    this.#outbox.push(() => control('record-notice', { run: this.#run, message }), { notice: message });
  }

  #tell(path: string, { holder, opening, given }: Form): void {
    const reply = { path, opening, given };
    if (holder === workflowInfo().workflowId) this.#mailbox.reply(reply);
    // A round or leg that is stopped just now begins again, and is told then.
    else if (holder !== null && !this.#isLeaving()) this.#outbox.push(() => sendReplies(holder, [reply]));
  }

  #take({ gate, by, answer, reason }: AnswerMessage, via: 'update' | 'signal'): AnswerReceipt {
    const form = this.#formOf(gate);
    this.moved++;
    if (form.given !== null) return { accepted: false };
    const complete = completeAnswer(this.#stepAt(gate)!.form, answer);
    const at = new Date().toISOString();
    form.given = { answer: complete, by, at, via, ...(reason === undefined ? {} : { reason }) };
    if (form.holder !== null) this.#tell(gate, form);
    else {
      // Until the gate opens, the answer is in no record, and would be lost with the engine's memory.
      const { given } = form;
      const early = { gate, given };
      this.#outbox.push(() => control('keep-early', { run: this.#run, messages: [early] }), { early });
    }
    return { accepted: true };
  }

  /** What an earlier workflow of the run took before the gate was open. */
  restore(gate: string, given: GivenAnswer): void {
    const form = this.#formOf(gate);
    form.given ??= given;
    if (form.holder !== null) this.#tell(gate, form);
  }

  /** Only of updates: a signal has been recorded by the time it comes, so that nothing is gained by refusing it. */
  #tooEarly({ gate }: AnswerMessage): string | null {
    const situation = { run: this.#run, isCompiled: this.#isCompiled, events: workflowInfo().historyLength };
    return problemOfEarly(gate, this.#forms.get(gate), situation);
  }

  #formOf(path: string): Form {
    let form = this.#forms.get(path);
    if (form === undefined) {
      form = { holder: null, opening: '', openedAt: 0, closed: null, given: null, found: false };
      this.#forms.set(path, form);
    }
    return form;
  }

  #stepAt(path: string): ApproveStep | null {
    const step = findStep(this.#briefing.scope, path);
    return step?.type === 'approve' ? step : null;
  }

  /** Why the message cannot be taken, or null. It may come from any client, so nothing about it is taken for granted. */
  #problemOf(message: unknown): string | null {
    if (typeof message !== 'object' || message === null || Array.isArray(message)) {
      return 'An answer message is an object with "gate", "by" and "answer".';
    }
    const { gate, by, answer, reason } = message as { readonly [name: string]: unknown };
    if (typeof by !== 'string' || by === '') return '"by" is missing; it names who answers.';
    if (reason !== undefined && typeof reason !== 'string') return '"reason" is no text.';
    const step = typeof gate === 'string' ? this.#stepAt(gate) : null;
    if (step === null) {
      const known = approvePaths(this.#briefing.scope).join(', ') || 'none';
      return `The run ${this.#run} has no approve step ${JSON.stringify(gate) ?? 'without a name'}. Its approve steps: ${known}.`;
    }
    const problem = problemOfAnswer(step.form, answer);
    if (problem !== null) return problem;
    const form = this.#forms.get(gate as string);
    const { given } = form ?? { given: null };
    if (given !== null && canonicalJson(completeAnswer(step.form, answer as Answer)) !== canonicalJson(given.answer)) {
      return wasAnswered(String(gate), given);
    }
    if (given === null && form?.closed) return `${String(gate)} takes no more answers: ${form.closed}.`;
    return null;
  }
}

/** Why a gate that is not open takes no first answer yet, or null: it would let nothing go on. `form`: absent before the gate is known. */
export function problemOfEarly(
  gate: string,
  { holder, given }: Pick<Form, 'holder' | 'given'> = { holder: null, given: null },
  { run, isCompiled, events }: { readonly run: string; readonly isCompiled: boolean; readonly events: number },
): string | null {
  if (!isFull(events, isCompiled) || holder !== null || given !== null) return null;
  return fullWords(run, `${gate} takes an answer only once it is open`, isCompiled);
}

function wasAnswered(gate: string, { by, at, answer }: GivenAnswer): string {
  return `${gate} was answered by ${by} at ${at} with ${JSON.stringify(answer)}. The first answer counts.`;
}

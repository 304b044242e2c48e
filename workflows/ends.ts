/**
 * The ends of imported files while the root wants to go on in a new history, or files to begin again. It asks down the tree
 * whether all of them may be cut; who agrees begins none until told otherwise, so that what is stopped then is not taken for
 * cancelled.
 */

import {
  condition,
  getExternalWorkflowHandle,
  type SignalDefinition,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { isWithin } from '../plan/paths.ts';
import { toLiving } from './orders.ts';
import { onPassedOn } from './pass-on.ts';
import { endsHeldSignal, holdEndsSignal, type RunFacts, releaseEndsSignal } from './scope-messages.ts';

/** `cut`: an end that runs is cut, and goes on later. `anew`: files begin again from their first step, so none may run. */
type Held = 'cut' | 'anew';

/** A child that may have ends within it. */
interface Child {
  /** Null while it starts. */
  workflowId: string | null;
  /** The path of all that it runs. */
  readonly part: string;
  hasEnded: boolean;
  /** Whether it was told to begin no end. */
  isHeld: boolean;
  /** Whether it agreed, when it was asked last. */
  answer: boolean | undefined;
}

export class Ends {
  #held: Held | null = null;
  /** Paths within which ends are held: all, but for files that begin again. */
  #within: readonly string[] = [''];
  #wasHeld = false;
  /** Counts what was wanted: an answer may come when something else is. */
  #turn = 0;
  /** Of the ends that run in this workflow, whether each may be cut. */
  readonly #running = new Set<() => boolean>();
  /** Whether the steps of the file that this workflow runs have ended, and its end has begun. */
  #areEnding = false;
  /** Those that are open, by path. */
  readonly #children = new Map<string, Child>();

  constructor() {
    setHandler(endsHeldSignal, ({ workflowId, held, turn }) => {
      // Builds before did not say what they answer.
      if (turn !== undefined && turn !== this.#turn) return;
      for (const child of this.#children.values()) if (child.workflowId === workflowId) child.answer = held;
    });
  }

  /** In a child, which may begin while ends are held. */
  receive(given: RunFacts['endsHeld']): void {
    this.#held = given === undefined ? null : given === true ? 'cut' : given;
    const answer = async (how: Held = 'cut', turn?: number) => {
      const held = await this.hold(how);
      const { parent, workflowId } = workflowInfo();
      if (parent === undefined) return;
      await tell(parent.workflowId, endsHeldSignal, { workflowId, held, turn });
    };
    onPassedOn(holdEndsSignal, answer);
    onPassedOn(releaseEndsSignal, () => this.release());
  }

  get isHeld(): boolean {
    return this.#held !== null;
  }

  /** Whether files begin again from their first step, so that nothing of their ends is kept. */
  get areAnew(): boolean {
    return this.#held === 'anew';
  }

  /** What a child is told that begins now and runs what is at the path. */
  heldIn(part: string): RunFacts['endsHeld'] {
    if (this.#held === null || !this.#within.some((outer) => isWithin(part, outer))) return undefined;
    return this.#held === 'cut' ? true : this.#held;
  }

  /** Whether files may have been stopped in this workflow, or below, whose ends did not run. */
  get wasHeld(): boolean {
    return this.#wasHeld;
  }

  /** Whether anything that is open has ends within it. */
  get areOpen(): boolean {
    return this.#children.size > 0;
  }

  /**
   * False where one runs that must not be cut, or ends were released meanwhile; then nothing is held. `within`: paths, where
   * not all are meant.
   */
  async hold(how: Held = 'cut', within: readonly string[] = ['']): Promise<boolean> {
    if (how === 'anew' && this.#areEnding) return false;
    for (const mayBeCut of this.#running) if (!mayBeCut()) return false;
    this.#held = how;
    this.#within = within;
    const turn = ++this.#turn;
    if (this.#concerned().length === 0) return true;
    this.#wasHeld = true;
    const isOff = () => this.#turn !== turn;
    // What starts from now on begins with its ends held.
    await condition(() => isOff() || this.#concerned().every(({ workflowId }) => workflowId !== null));
    // Who refused before is asked first: where it does so again, the others need not hear of it.
    const all = this.#concerned();
    for (const refused of [true, false]) {
      const some = all.filter(({ hasEnded, answer }) => !hasEnded && (answer === false) === refused);
      const agreed = !isOff() && (await this.#agree(some, how, turn));
      if (agreed && !isOff()) continue;
      if (!isOff()) await this.release();
      return false;
    }
    return true;
  }

  /** Whether all of these children begin no end, none of which runs either. False also where nobody wants it any more. */
  async #agree(children: readonly Child[], how: Held, turn: number): Promise<boolean> {
    for (const child of children) Object.assign(child, { isHeld: true, answer: undefined });
    await Promise.all(children.map(({ workflowId }) => tell(workflowId!, holdEndsSignal, how, turn)));
    const refused = () => this.#turn !== turn || children.some(({ answer }) => answer === false);
    await condition(() => refused() || children.every(({ hasEnded, answer }) => hasEnded || answer !== undefined));
    return !refused();
  }

  /** The run goes on as it is. */
  async release(): Promise<void> {
    if (!this.isHeld) return;
    this.#held = null;
    this.#turn++;
    const held = [...this.#children.values()].filter(({ workflowId, isHeld }) => isHeld && workflowId !== null);
    for (const child of held) child.isHeld = false;
    await Promise.all(held.map(({ workflowId }) => tell(workflowId!, releaseEndsSignal)));
  }

  /** Children that have what is held within them. */
  #concerned(): Child[] {
    return [...this.#children.values()].filter(({ part }) => this.heldIn(part) !== undefined);
  }

  /** `part`: the path of all that it runs. */
  childStarts(path: string, part: string): void {
    this.#children.set(path, { workflowId: null, part, hasEnded: false, isHeld: false, answer: undefined });
  }

  /** `held`: as it was told when it began. */
  async childStarted(path: string, workflowId: string, held: boolean): Promise<void> {
    Object.assign(this.#children.get(path)!, { workflowId, isHeld: held && this.isHeld });
    if (held && !this.isHeld) await tell(workflowId, releaseEndsSignal);
  }

  childEnded(path: string): void {
    const child = this.#children.get(path);
    if (child !== undefined) child.hasEnded = true;
    this.#children.delete(path);
  }

  /** Resolves once the end of a file may begin. Throws as cancelled where the run goes on in a new history before. */
  async released(): Promise<void> {
    await condition(() => !this.isHeld);
  }

  /** The steps of a file begin, or its end goes on (`areEnding`) that an earlier history cut. */
  fileBegins(areEnding: boolean): void {
    this.#areEnding = areEnding;
  }

  /** Runs the end of a file. `mayBeCut`: it is no cancelled one, which a new history would not know how to begin. */
  async run(mayBeCut: () => boolean, work: () => Promise<void>): Promise<void> {
    this.#running.add(mayBeCut);
    this.#areEnding = true;
    try {
      await work();
    } finally {
      this.#running.delete(mayBeCut);
    }
  }
}

async function tell<Arguments extends unknown[]>(
  workflowId: string,
  signal: SignalDefinition<Arguments>,
  ...args: Arguments
): Promise<void> {
  await toLiving(getExternalWorkflowHandle(workflowId).signal(signal, ...args));
}

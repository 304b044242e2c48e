/**
 * The ends of imported files while the root wants to go on in a new history, or files to begin again. It asks down the tree
 * whether all of them may be cut; who agrees begins none until told otherwise, so that what is stopped then is not taken for
 * cancelled.
 */

import { condition, getExternalWorkflowHandle, setHandler, workflowInfo } from '@temporalio/workflow';
import { isWithin, toLiving } from './orders.ts';
import { onPassedOn } from './pass-on.ts';
import { endsHeldSignal, holdEndsSignal, type RunFacts, releaseEndsSignal } from './scope-messages.ts';

/** `cut`: an end that runs is cut, and goes on later. `anew`: files begin again from their first step, so none may run. */
type Held = 'cut' | 'anew';

/** A child that is open. */
interface Child {
  /** Null while it starts. */
  readonly workflowId: string | null;
  /** The path of all that it runs. */
  readonly part: string;
}

export class Ends {
  #held: Held | null = null;
  /** Paths within which ends are held: all, but for files that begin again. */
  #within: readonly string[] = [''];
  #wasHeld = false;
  /** Of the ends that run in this workflow, whether each may be cut. */
  readonly #running = new Set<() => boolean>();
  /** Whether the steps of the file that this workflow runs have ended, and its end has begun. */
  #areEnding = false;
  /** Children that may have ends within them, by path. */
  readonly #children = new Map<string, Child>();
  /** What they answered, by workflow id. */
  readonly #answers = new Map<string, boolean>();

  constructor() {
    setHandler(endsHeldSignal, ({ workflowId, held }) => void this.#answers.set(workflowId, held));
  }

  /** In a child, which may begin while ends are held. */
  receive(given: RunFacts['endsHeld']): void {
    this.#held = given === undefined ? null : given === true ? 'cut' : given;
    const answer = async (how: Held = 'cut') => {
      const held = await this.hold(how);
      const { parent, workflowId } = workflowInfo();
      if (parent === undefined) return;
      await toLiving(getExternalWorkflowHandle(parent.workflowId).signal(endsHeldSignal, { workflowId, held }));
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

  /** False where one runs that must not be cut; then nothing is held. `within`: paths, where not all are meant. */
  async hold(how: Held = 'cut', within: readonly string[] = ['']): Promise<boolean> {
    if (how === 'anew' && this.#areEnding) return false;
    for (const mayBeCut of this.#running) if (!mayBeCut()) return false;
    this.#held = how;
    this.#within = within;
    if (this.#concerned().length === 0) return true;
    this.#wasHeld = true;
    // What starts from now on begins with its ends held.
    await condition(() => this.#concerned().every(([, { workflowId }]) => workflowId !== null));
    const asked = this.#concerned().map(([path, { workflowId }]) => [path, workflowId!] as const);
    for (const [, id] of asked) this.#answers.delete(id);
    // As earlier builds said it, so that their histories replay.
    const words: [] | [Held] = how === 'cut' ? [] : [how];
    await Promise.all(asked.map(([, id]) => toLiving(getExternalWorkflowHandle(id).signal(holdEndsSignal, ...words))));
    const isOpen = ([path, id]: readonly [string, string]) => this.#children.get(path)?.workflowId === id;
    const refused = () => asked.some(([, id]) => this.#answers.get(id) === false);
    await condition(() => refused() || asked.every((one) => this.#answers.has(one[1]) || !isOpen(one)));
    if (!refused() && this.isHeld) return true;
    await this.release();
    return false;
  }

  /** The run goes on as it is. */
  async release(): Promise<void> {
    if (!this.isHeld) return;
    const ids = this.#concerned().flatMap(([, { workflowId }]) => workflowId ?? []);
    this.#held = null;
    await Promise.all(ids.map((id) => toLiving(getExternalWorkflowHandle(id).signal(releaseEndsSignal))));
  }

  #concerned(): [string, Child][] {
    return [...this.#children].filter(([, { part }]) => this.heldIn(part) !== undefined);
  }

  /** `part`: the path of all that it runs. */
  childStarts(path: string, part: string): void {
    this.#children.set(path, { workflowId: null, part });
  }

  /** `held`: as it was told when it began. */
  async childStarted(path: string, workflowId: string, part: string, held: boolean): Promise<void> {
    this.#children.set(path, { workflowId, part });
    if (held && !this.isHeld) await toLiving(getExternalWorkflowHandle(workflowId).signal(releaseEndsSignal));
  }

  childEnded(path: string): void {
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

/**
 * The ends of imported files while the root wants to go on in a new history. It asks down the tree whether all of them may be
 * cut; who agrees begins none until told otherwise, so that what is stopped then is not taken for cancelled.
 */

import { condition, getExternalWorkflowHandle, setHandler, workflowInfo } from '@temporalio/workflow';
import { toLiving } from './orders.ts';
import { onPassedOn } from './pass-on.ts';
import { endsHeldSignal, holdEndsSignal, releaseEndsSignal } from './scope-messages.ts';

export class Ends {
  #isHeld = false;
  #wasHeld = false;
  /** Of the ends that run in this workflow, whether each may be cut. */
  readonly #running = new Set<() => boolean>();
  /** Children that may have ends within them, by path; null while one starts. */
  readonly #children = new Map<string, string | null>();
  /** What they answered, by workflow id. */
  readonly #answers = new Map<string, boolean>();

  constructor() {
    setHandler(endsHeldSignal, ({ workflowId, held }) => void this.#answers.set(workflowId, held));
  }

  /** In a child, which may begin while ends are held. */
  receive(isHeld: boolean): void {
    this.#isHeld = isHeld;
    const answer = async () => {
      const held = await this.hold();
      const { parent, workflowId } = workflowInfo();
      if (parent === undefined) return;
      await toLiving(getExternalWorkflowHandle(parent.workflowId).signal(endsHeldSignal, { workflowId, held }));
    };
    onPassedOn(holdEndsSignal, answer);
    onPassedOn(releaseEndsSignal, () => this.release());
  }

  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Whether files may have been stopped in this workflow, or below, whose ends did not run. */
  get wasHeld(): boolean {
    return this.#wasHeld;
  }

  /** Whether anything that is open has ends within it. */
  get areOpen(): boolean {
    return this.#children.size > 0;
  }

  /** False where one runs that must not be cut; then nothing is held. */
  async hold(): Promise<boolean> {
    for (const mayBeCut of this.#running) if (!mayBeCut()) return false;
    this.#isHeld = true;
    if (!this.areOpen) return true;
    this.#wasHeld = true;
    // What starts from now on begins with its ends held.
    await condition(() => ![...this.#children.values()].includes(null));
    const asked = [...this.#children] as [string, string][];
    for (const [, id] of asked) this.#answers.delete(id);
    await Promise.all(asked.map(([, id]) => toLiving(getExternalWorkflowHandle(id).signal(holdEndsSignal))));
    const isOpen = ([path, id]: [string, string]) => this.#children.get(path) === id;
    const refused = () => asked.some(([, id]) => this.#answers.get(id) === false);
    await condition(() => refused() || asked.every((one) => this.#answers.has(one[1]) || !isOpen(one)));
    if (!refused() && this.#isHeld) return true;
    await this.release();
    return false;
  }

  /** The run goes on as it is. */
  async release(): Promise<void> {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    const ids = [...this.#children.values()].filter((id) => id !== null);
    await Promise.all(ids.map((id) => toLiving(getExternalWorkflowHandle(id).signal(releaseEndsSignal))));
  }

  childStarts(path: string): void {
    this.#children.set(path, null);
  }

  /** `held`: as it was told when it began. */
  async childStarted(path: string, workflowId: string, held: boolean): Promise<void> {
    this.#children.set(path, workflowId);
    if (held && !this.#isHeld) await toLiving(getExternalWorkflowHandle(workflowId).signal(releaseEndsSignal));
  }

  childEnded(path: string): void {
    this.#children.delete(path);
  }

  /** Resolves once the end of a file may begin. Throws as cancelled where the run goes on in a new history before. */
  async released(): Promise<void> {
    await condition(() => !this.#isHeld);
  }

  /** Runs the end of a file. `mayBeCut`: it is no cancelled one, which a new history would not know how to begin. */
  async run(mayBeCut: () => boolean, work: () => Promise<void>): Promise<void> {
    this.#running.add(mayBeCut);
    try {
      await work();
    } finally {
      this.#running.delete(mayBeCut);
    }
  }
}

/** The training graph for every size of batch, and the one state that moves from graph to graph. */

import type { Architecture } from '../types.ts';
import { borrowSession, returnSession } from './sessions.ts';
import { trainGraphDefinition } from './trace-apart.ts';
import type { GraphSession } from './traced-graph.ts';
import type { GraphOptions, TrainState } from './train-graph.ts';

export interface TrainGraphs {
  /** The graph for batches of this side, holding the state. */
  at(inputSize: number): GraphSession;
  load(state: TrainState): void;
  save(): TrainState;
  /** Hands the graph back to those that idle. */
  close(): void;
}

/** A net has no weight that depends on the size of its input, so the state fits every one of the graphs. */
export function openTrainGraphs(architecture: Architecture, options: GraphOptions, folder?: string): TrainGraphs {
  let current: { readonly inputSize: number; readonly key: string; readonly session: GraphSession } | null = null;
  /** The state while no graph holds it. */
  let loose: TrainState | null = null;

  const close = (): void => {
    if (current !== null) returnSession(current.key, current.session);
    current = null;
  };

  return {
    at(inputSize) {
      if (current?.inputSize !== inputSize) {
        if (current !== null) loose = current.session.save();
        close();
        const sized = { ...architecture, imageSize: inputSize };
        const key = `train ${JSON.stringify([sized, options])}`;
        current = { inputSize, key, session: borrowSession(key, () => trainGraphDefinition(sized, options), folder) };
      }
      if (loose !== null) current.session.load(loose);
      loose = null;
      return current.session;
    },
    load(state) {
      loose = state;
    },
    save() {
      if (loose !== null) return loose;
      if (current === null) throw new Error('Internal error: the training has no state yet.');
      return current.session.save();
    },
    close,
  };
}

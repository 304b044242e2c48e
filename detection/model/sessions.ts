/** Loaded graphs, kept for the next user of the same one: loading takes most of a second, training a trial a few. */

import type { GraphDefinition } from './graph-definition.ts';
import { GraphSession } from './traced-graph.ts';

/** Idle graphs kept in all. Each holds its weights and TensorFlow's plan for it, some tens of megabytes. */
const IDLE_MAX = 4;

const idle: { key: string; session: GraphSession }[] = [];

/**
 * A session of the graph that `key` stands for, used by nobody else until `returnSession`. Its variables hold what the last user
 * left: load them first.
 */
export function borrowSession(key: string, build: () => GraphDefinition, folder?: string): GraphSession {
  const at = idle.findIndex((entry) => entry.key === key);
  const [found] = at < 0 ? [] : idle.splice(at, 1);
  return found?.session ?? new GraphSession(build(), folder);
}

export function returnSession(key: string, session: GraphSession): void {
  idle.push({ key, session });
  while (idle.length > IDLE_MAX) idle.shift()!.session.dispose();
}

/** Frees all idle sessions. */
export function disposeSessions(): void {
  for (const { session } of idle.splice(0)) session.dispose();
}

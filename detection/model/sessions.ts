/** Loaded graphs, kept for the next user of the same one: loading takes most of a second, training a trial a few. */

import type { GraphDefinition } from './graph-definition.ts';
import { GraphSession } from './traced-graph.ts';

/** Room for the idle graphs of all users, oldest out first: a dozen sizes of a multi-scale training of a million weights. */
export const IDLE_MAX_BYTES = 1.5 * 2 ** 30;
/**
 * A graph takes so much, and so many times its variables for TensorFlow's plan and buffers: 115 MB were measured for training a
 * million weights, 350 MB for four million.
 */
const PLAN_BYTES = 40 * 2 ** 20;
const COPIES = 3.5;

interface Idle {
  readonly key: string;
  readonly session: GraphSession;
}

const idle: Idle[] = [];
const bytesOf = new WeakMap<GraphSession, number>();

/**
 * A session of the graph that `key` stands for, used by nobody else until `returnSession`. Its variables hold what the last user
 * left: load them first.
 */
export function borrowSession(key: string, build: () => GraphDefinition, folder?: string): GraphSession {
  const at = idle.findIndex((entry) => entry.key === key);
  const [found] = at < 0 ? [] : idle.splice(at, 1);
  if (found !== undefined) return found.session;
  const definition = build();
  const session = new GraphSession(definition, folder);
  bytesOf.set(session, PLAN_BYTES + COPIES * variableBytes(definition));
  return session;
}

export function returnSession(key: string, session: GraphSession): void {
  idle.push({ key, session });
  while (idle.length > 1 && idleBytes() > IDLE_MAX_BYTES) idle.shift()!.session.dispose();
}

/** What the idle graphs take, by estimate. */
export function idleBytes(): number {
  return idle.reduce((sum, { session }) => sum + bytesOf.get(session)!, 0);
}

function variableBytes({ signatures }: GraphDefinition): number {
  const sizes = signatures.load?.inputs.map(({ shape }) => shape.reduce((a, b) => a * b, 4)) ?? [];
  return sizes.reduce((a, b) => a + b, 0);
}

/**
 * Traces large training graphs in a process of their own. An eager step holds every tensor of forward and backward at once, which
 * TensorFlow never gives back; the graph itself gets by with half of that (M at 320 px: 1.1 instead of 1.9 GB at the peak).
 */

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { deserialize, serialize } from 'node:v8';
import type { Architecture } from '../types.ts';
import type { GraphDefinition } from './graph-definition.ts';
import { channelsAt } from './network.ts';
import { buildTrainGraph, type GraphOptions } from './train-graph.ts';

export interface TraceOrder {
  readonly architecture: Architecture;
  readonly options: GraphOptions;
}

/** What an eager step may take here; for less, starting a process (about 1.5 s) is not worth it. */
const IN_PROCESS_MAX_BYTES = 150 * 2 ** 20;
/** Bytes of an eager step for each byte of the stem's output at the input's full size: 13 to 17 were measured. */
const STEP_FACTOR = 16;
/** The definition of a graph is far below; Node's own default is one mebibyte. */
const ANSWER_MAX_BYTES = 2 ** 30;

/** The same definition wherever it is traced. */
export function trainGraphDefinition(architecture: Architecture, options: GraphOptions): GraphDefinition {
  // Sources that were not compiled, as in tests, cannot be run by Node alone.
  const isCompiled = !import.meta.url.endsWith('.ts');
  const isLarge = eagerStepBytes(architecture, options) > IN_PROCESS_MAX_BYTES;
  return isCompiled && isLarge ? traceApart({ architecture, options }) : buildTrainGraph(architecture, options);
}

/** Roughly what an eager step of training takes. */
export function eagerStepBytes(architecture: Architecture, { batchSize }: Pick<GraphOptions, 'batchSize'>): number {
  return STEP_FACTOR * batchSize * architecture.imageSize ** 2 * channelsAt(architecture, 1) * 4;
}

function traceApart(order: TraceOrder): GraphDefinition {
  const entry = fileURLToPath(new URL('./trace-process.js', import.meta.url));
  const { error, status, signal, output } = spawnSync(process.execPath, [entry], {
    input: serialize(order),
    stdio: ['pipe', 'ignore', 'pipe', 'pipe'],
    maxBuffer: ANSWER_MAX_BYTES,
  });
  const answer = output?.[3];
  if (error === undefined && status === 0 && answer) return deserialize(answer as unknown as Buffer) as GraphDefinition;
  // Of a stack only what is above it tells why.
  const lines = String(output?.[2] ?? '')
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^\s+at /.test(line));
  const said = lines.slice(-5).join('\n');
  const how = error?.message ?? `it ended with ${signal ?? `status ${status}`}`;
  throw new Error(`The process that traces the training graph failed: ${how}. It said:\n${said}`);
}

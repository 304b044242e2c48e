/** A process that traces one training graph and ends: `trace-apart.ts` asks on standard input and reads from descriptor 3. */

import { readFileSync, writeSync } from 'node:fs';
import { deserialize, serialize } from 'node:v8';
import type { TraceOrder } from './trace-apart.ts';
import { buildTrainGraph } from './train-graph.ts';

const ANSWER = 3;

const { architecture, options } = deserialize(readFileSync(0)) as TraceOrder;
const answer = serialize(buildTrainGraph(architecture, options));
for (let at = 0; at < answer.length; ) at += writeSync(ANSWER, answer, at);

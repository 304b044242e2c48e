/** The workflow bundle's one entry: its default export runs any pipeline, and the rounds and searches within. */

import type { RunArguments } from './messages.ts';
import { runPipeline } from './run-pipeline.ts';
import { runRound } from './run-round.ts';
import type { RoundArguments, SearchArguments } from './scope-messages.ts';
import { runTrials } from './search-capacity.ts';

// Temporal calls the default export for every workflow type, so that each pipeline shows under its own name.
export default async function interpret(args: RunArguments | RoundArguments | SearchArguments): Promise<unknown> {
  if (!('role' in args)) return runPipeline(args);
  if (args.role === 'round') return runRound(args);
  return runTrials(args);
}

/** The workflow bundle's one entry: its default export runs any pipeline, and the rounds, legs and searches within. */

import type { RunArguments } from './messages.ts';
import { runOwedEnd, runSomeOwedEnds } from './owed-ends.ts';
import { runBatch } from './run-batch.ts';
import { runAllLegs } from './run-fan-out.ts';
import { type GroupArguments, runGroup } from './run-group.ts';
import { runLeg } from './run-leg.ts';
import { runRoundsChild } from './run-loop.ts';
import { runPart } from './run-parts.ts';
import { runPipeline } from './run-pipeline.ts';
import { runRound } from './run-round.ts';
import type {
  AllLegsArguments,
  BatchArguments,
  EndArguments,
  EndsArguments,
  LegArguments,
  PartArguments,
  RoundArguments,
  RoundsArguments,
  SearchArguments,
} from './scope-messages.ts';
import { runTrials } from './search-capacity.ts';

// Temporal calls the default export for every workflow type, so that each pipeline shows under its own name.
export default async function interpret(
  args:
    | RunArguments
    | RoundArguments
    | RoundsArguments
    | AllLegsArguments
    | BatchArguments
    | LegArguments
    | EndArguments
    | EndsArguments
    | PartArguments
    | SearchArguments
    | GroupArguments,
): Promise<unknown> {
  if (!('role' in args)) return runPipeline(args);
  switch (args.role) {
    case 'round':
      return runRound(args);
    case 'rounds':
      return runRoundsChild(args);
    case 'legs':
      return runAllLegs(args);
    case 'batch':
      return runBatch(args);
    case 'part':
      return runPart(args);
    case 'leg':
    case 'pipeline':
      return runLeg(args);
    case 'end':
      return runOwedEnd(args);
    case 'ends':
      return runSomeOwedEnds(args);
    case 'search':
      return runTrials(args);
    case 'group':
      return runGroup(args);
  }
}

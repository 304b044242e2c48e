/** `pipeline`: the steps of another file as a child workflow, which sees its params and nothing of what is around it. */

import type { PipelineStep } from '../plan/types.ts';
import { control } from './control.ts';
import type { ScopeContext } from './execute-step.ts';
import { inPlaceOf, runChild } from './run-child.ts';
import { leftBehind } from './run-leg.ts';
import { runToItsEnd } from './run-to-its-end.ts';
import type { LegResult, Values } from './scope-messages.ts';

/** Answers the values of the file's `outputs`, as far as they are there. */
export async function runImport(
  step: PipelineStep,
  path: string,
  params: Values,
  context: ScopeContext,
): Promise<Values> {
  const { run } = context;
  const begun = { path, kind: 'pipeline', state: 'running', with: params } as const;
  const ending = await control('record-step', { run, change: begun });
  const { scope, outputs } = step;
  const bindings = { steps: {}, params };
  const values = await inPlaceOf(context, path, async () =>
    // A leg whose only step it is is a workflow of its own already.
    path === context.path
      ? leftBehind({ outputs }, await runToItsEnd(scope, context, bindings, { ending }))
      : runChild<LegResult>(context, path, {
          role: 'pipeline',
          step: { scope, outputs },
          bindings,
          ...(ending === undefined ? {} : { ending }),
        }),
  );
  const made = values ?? {};
  await control('record-step', { run, change: { path, kind: 'pipeline', state: 'done', outputs: made } });
  return made;
}

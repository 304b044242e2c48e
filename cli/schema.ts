/** `hardcase schema`: prints the JSON Schema of pipeline files, or of one step kind's parameters. */

import { publishedSchema, schemaOf, stepKindNames } from '../spec/schemas.ts';
import { nearestName } from '../spec/suggest.ts';
import { CommandError, type ExitCode, exitCodes, printJson } from './output.ts';

export async function runSchema(kind?: string): Promise<ExitCode> {
  if (kind === undefined) {
    printJson(publishedSchema('pipeline.schema.json'));
    return exitCodes.done;
  }
  const kinds = stepKindNames();
  if (!kinds.includes(kind)) {
    const nearest = nearestName(kind, kinds);
    const question = nearest === null ? '' : ` Did you mean "${nearest}"?`;
    throw new CommandError(
      `There is no step kind "${kind}".${question} Step kinds: ${kinds.join(', ')}.`,
      exitCodes.usage,
    );
  }
  // With the shared recipe put in place, so that one document says everything.
  printJson(schemaOf(`steps/${kind}.schema.json`));
  return exitCodes.done;
}

/** Whether the trainings of a run computed as its first worker would have: only then does the run give the same bytes again. */

import type { RunEnvironment } from '../plan/types.ts';
import type { ReportInput } from './types.ts';

/** What decides the last bits. The number of threads is chosen for each training, and kept for it. */
const decisive = ['cpu', 'tensorflow', 'oneDnn'] as const;

interface Trainings extends Pick<ReportInput, 'curves'> {
  readonly state: Pick<ReportInput['state'], 'environment'>;
}

/** A sentence for each kind of machine that is another one than the run began with. */
export function otherMachines({ curves, state: { environment } }: Trainings): string[] {
  if (environment === undefined) return [];
  const trainings = new Map<string, string[]>();
  for (const { path, value } of curves) {
    // Curves that another program drew, as an activity of its own may, need not say where.
    const here: RunEnvironment | undefined = value.environment;
    const words = here === undefined ? '' : differences(environment, here);
    if (words !== '') trainings.set(words, [...(trainings.get(words) ?? []), path]);
  }
  return [...trainings].map(
    ([words, paths]) =>
      `${paths.join(', ')} ${paths.length === 1 ? 'was' : 'were'} trained on another kind of machine than the run began with (${words}): on one machine alone the last bits of the weights may be others.`,
  );
}

function differences(first: RunEnvironment, here: RunEnvironment): string {
  const settings = decisive.filter((name) => first[name] !== here[name]);
  return settings.map((name) => `${name} ${String(here[name])} instead of ${String(first[name])}`).join('; ');
}

/** Cases that are wide or long, and what their steps do. */

import type { AnyStepImplementation, StepContext } from '../../activities/context.ts';
import { sha256Hex } from '../../artifacts/digest.ts';
import type { Json, SearchStep } from '../../plan/types.ts';
import { type Case, legs, numbers, pause, repeat, step } from './case.ts';

const rounds = repeat(2_000, [step('train', 'make', { value: { $: 'round.index' } })], {
  carry: { model: null as unknown as Json, dataset: null as unknown as Json },
  next: { model: { $: 'steps.train.model' }, dataset: { $: 'steps.train.dataset' }, gain: { $: 'steps.train.value' } },
});

const trials: SearchStep = {
  ...step('search', 'search-capacity', { depth: numbers(25), width: numbers(20), epochs: 1 }),
  type: 'search',
};

const heldLegs = 2_000;
let held = 0;

export const shapeCases: { readonly [name: string]: Case } = {
  rounds: { about: '2,000 rounds', steps: [rounds] },
  matrix: {
    about: 'a matrix of 5,000 legs',
    steps: [legs('tune', { matrix: numbers(5_000).map((a) => ({ name: `a=${a}`, values: { a } })) })],
  },
  lists: {
    about: 'two lists of 5,000 legs side by side',
    steps: [legs('first', { forEach: numbers(5_000) }), legs('second', { forEach: numbers(5_000) })],
  },
  search: { about: 'a capacity search of 500 trials', steps: [trials] },
  held: {
    about: `${heldLegs} legs that are held, and tried again by one retry`,
    steps: [legs('tune', { forEach: numbers(heldLegs) }, 'stumble')],
    people: async (handle) => {
      while (held < heldLegs) await pause(500);
      for (let retried = 0; retried < heldLegs; await pause(2_000)) {
        const answer = handle.executeUpdate<{ steps: readonly string[] }, [object]>('retry', {
          args: [{ by: 'bench' }],
        });
        // Not yet: the word of the last ones is on its way up.
        const { steps } = await answer.catch(() => ({ steps: [] }));
        retried += steps.length;
      }
    },
  },
};

const artifact = (path: string): Json => ({ artifact: 'model', digest: sha256Hex(path), bytes: 1 });
const stumbled = new Set<string>();

export const implementations = {
  make: async ({ path }: StepContext, { value }: { value: Json }) => ({
    value,
    model: artifact(path),
    dataset: artifact(path),
  }),
  stumble: async ({ path }: StepContext) => {
    if (stumbled.has(path)) return {};
    stumbled.add(path);
    held++;
    throw new Error('It stumbles once.');
  },
  'capacity-trial': async (_: StepContext, { width, depth }: { width: number; depth: number }) => {
    const AP = width * depth;
    return { AP, AP50: AP, trainingLoss: 1, parameters: AP, flops: AP, seconds: 1 };
  },
  'choose-capacity': async (_: StepContext, { trials }: { trials: readonly { readonly AP: number }[] }) => ({
    AP: Math.max(...trials.map(({ AP }) => AP)),
  }),
} as unknown as { readonly [kind: string]: AnyStepImplementation };

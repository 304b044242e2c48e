/** Folds of a dataset, so that a model can be asked about images it was not trained on. */

import { hashSeed } from './random.ts';
import type { ImageEntry } from './types.ts';

/** What a training left out: fold `without` of `of`, counted from 1. */
export type Fold = {
  readonly without: number;
  readonly of: number;
};

/** The fold of an image, 1 to `of`. Images of one group share it, and it does not depend on which others there are. */
export function foldOf({ group }: Pick<ImageEntry, 'group'>, of: number): number {
  return 1 + (hashSeed('fold', group) % of);
}

/**
 * The fold that nothing in a model has seen, of what its training left out and what is known of the model that it began with
 * (`null`: it began from scratch, or from weights of other images).
 */
export function foldUnseen(fold: Fold | undefined, init: { readonly fold?: Fold } | null): Fold | undefined {
  if (fold === undefined || init === null) return fold;
  return init.fold?.of === fold.of && init.fold.without === fold.without ? fold : undefined;
}

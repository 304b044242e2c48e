/** The code of every step kind, and of the parts of a capacity search. */

import { capacityRung } from './capacity-rung.ts';
import { capacityTrial } from './capacity-trial.ts';
import { chooseCapacity } from './choose-capacity.ts';
import { compareModels } from './compare-models.ts';
import type { AnyStepImplementation, StepImplementation } from './context.ts';
import { detect } from './detect.ts';
import { evaluate } from './evaluate.ts';
import { exportFiles } from './export.ts';
import { importDataset } from './import-dataset.ts';
import { importModel } from './import-model.ts';
import { merge } from './merge.ts';
import { mine } from './mine.ts';
import { profileLoss } from './profile-loss.ts';
import { promote } from './promote.ts';
import { quarantine } from './quarantine.ts';
import { report } from './report.ts';
import { synthesize } from './synthesize.ts';
import { trackForgetting } from './track-forgetting.ts';
import { train } from './train.ts';

export const stepImplementations: { readonly [kind: string]: AnyStepImplementation } = {
  'capacity-rung': capacityRung,
  'capacity-trial': asStep(capacityTrial),
  'choose-capacity': chooseCapacity,
  'compare-models': compareModels,
  detect,
  evaluate,
  export: exportFiles,
  'import-dataset': importDataset,
  'import-model': importModel,
  merge,
  mine,
  'profile-loss': profileLoss,
  quarantine: asStep(quarantine),
  report,
  synthesize,
  promote,
  'track-forgetting': trackForgetting,
  train,
};

/** Outputs that are plain data, but whose type the compiler does not know as JSON. */
export function asStep<With, Outputs extends object>(
  implementation: StepImplementation<With, Outputs>,
): AnyStepImplementation {
  return implementation as unknown as AnyStepImplementation;
}

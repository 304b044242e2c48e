/** What steps of compiled workflows are: which activity runs them, where, and how often it is tried. */

import type { Answer, Form } from '../../plan/form.ts';
import type {
  ActivityStep,
  ApproveStep,
  ArtifactKind,
  ArtifactRef,
  ForeignStep,
  GateStep,
  KindStep,
  SearchStep,
} from '../../plan/types.ts';

/** A reference to an immutable object of the store. */
export type Artifact<Kind extends ArtifactKind> = ArtifactRef & { readonly artifact: Kind };

type Own<Step extends KindStep> = Omit<Step, 'type' | 'id' | 'needs' | 'when' | 'with' | 'group'>;

/** A step without its place in a pipeline. `Outputs` is what it gives. */
export interface Kind<Outputs> {
  readonly step: Omit<
    ActivityStep | GateStep | SearchStep | ForeignStep | ApproveStep,
    'id' | 'needs' | 'when' | 'with'
  >;
  /** Not there; for the type checker alone. */
  readonly outputs?: Outputs;
}

type Options<Step extends KindStep> = Omit<Own<Step>, 'kind' | 'onFailure'> & Partial<Pick<Step, 'onFailure'>>;

/** A step that is one activity. `options`: version, queue, timeouts, retries. */
export const activity = <Outputs>(kind: string, options: Options<ActivityStep>): Kind<Outputs> => ({
  step: { type: 'activity', kind, onFailure: 'hold', ...options } as Kind<Outputs>['step'],
});

/** `review-labels`: an activity that opens the gate, a wait for people, an activity that applies what they decided. */
export const reviewGate = <Outputs>(kind: string, options: Options<GateStep>): Kind<Outputs> => ({
  step: { type: 'gate', kind, onFailure: 'hold', ...options } as Kind<Outputs>['step'],
});

/** `search-capacity`: a child workflow with an activity for each trial. */
export const capacitySearch = <Outputs>(kind: string, options: Options<SearchStep>): Kind<Outputs> => ({
  step: { type: 'search', kind, onFailure: 'hold', ...options } as Kind<Outputs>['step'],
});

/** An activity of another program on a queue of its own. */
export const foreignActivity = <Outputs>(
  name: string,
  options: Omit<Options<ForeignStep>, 'activity'>,
): Kind<Outputs> => ({
  step: {
    type: 'foreign',
    kind: `activity:${name}`,
    activity: name,
    onFailure: 'hold',
    ...options,
  } as Kind<Outputs>['step'],
});

/** `approve`: a person's answer to a form, which comes as an update or a signal. */
export const approvalForm = <Outputs>(
  form: Form,
  options: { readonly version: number; readonly expired?: 'hold' | 'fail' | Answer },
): Kind<Outputs> => {
  const onFailure = options.expired === 'fail' ? 'fail' : 'hold';
  return { step: { type: 'approve', kind: 'approve', form, onFailure, ...options } as Kind<Outputs>['step'] };
};

/** The same with other timeouts, retries, or another queue. */
export const withOptions = <Outputs>(
  { step }: Kind<Outputs>,
  options: Partial<Options<ActivityStep>>,
): Kind<Outputs> => ({
  step: { ...step, ...options } as Kind<Outputs>['step'],
});

const second = 1_000;
export const seconds = (count: number): number => count * second;
export const minutes = (count: number): number => count * 60 * second;
export const hours = (count: number): number => count * 3_600 * second;
export const days = (count: number): number => count * 86_400 * second;

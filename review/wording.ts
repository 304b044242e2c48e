/** What a reviewer is asked, in words: the same on the page and on the command line. */

import type { CandidateType } from '../detection/types.ts';
import type { PreviewJson } from './api.ts';

export interface Wording {
  readonly question: string;
  /** Why it is asked. */
  readonly because: string;
  /** What `accept` does: the model is right. */
  readonly accept: string;
  /** What `reject` does: the label is right. */
  readonly reject: string;
}

/** `label` and `detected` are names of categories, where there is a label, a detection. */
export function wordingOf(type: CandidateType, label: string | undefined, detected: string | undefined): Wording {
  switch (type) {
    case 'missing':
      return {
        question: `Is this ${withArticle(detected)}?`,
        because: 'The model sees one here, and there is no label.',
        accept: 'Yes, add the label',
        reject: 'No, leave it unlabelled',
      };
    case 'spurious':
      return {
        question: `Is this really ${withArticle(label)}?`,
        because: 'There is a label, and the model sees nothing here.',
        accept: 'No, remove the label',
        reject: 'Yes, keep the label',
      };
    case 'badly-located':
      return {
        question: 'Which box fits better?',
        because: 'The model puts its box elsewhere than the label.',
        accept: 'The model’s, move the label',
        reject: 'The label’s, keep it',
      };
    case 'wrong-class':
      return {
        question: `${capital(detected)} or ${label ?? 'as labelled'}?`,
        because: 'The model names another category than the label.',
        accept: `${capital(detected)}, change the label`,
        reject: `${capital(label)}, keep the label`,
      };
    case 'duplicate':
      return {
        question: 'Is one target labelled twice?',
        because: 'Two labels lie on nearly the same place.',
        accept: 'Yes, remove this label',
        reject: 'No, keep both',
      };
  }
}

/** Where the model's box is hidden: `accept` begins the answer that says what is right. */
export function blindWordingOf(type: CandidateType, label: string | undefined): Wording {
  const because = 'What the model sees is hidden here. Look for yourself.';
  switch (type) {
    case 'wrong-class':
      return {
        question: `Is this ${withArticle(label)}?`,
        because,
        accept: 'No: choose the class',
        reject: `Yes, keep ${label ?? 'the label'}`,
      };
    case 'missing':
      return {
        question: 'Is anything here without a label?',
        because,
        accept: 'Yes: draw its box',
        reject: 'No, nothing is missing',
      };
    default:
      return {
        question: `Does the box fit the ${label ?? 'target'}?`,
        because,
        accept: 'No: correct it',
        reject: 'Yes, keep it',
      };
  }
}
/** Below this expected rise of AP (0..1) it is said that one may stop. */
const worthwhile = 0.001;

export const isEnough = ({ high }: NonNullable<PreviewJson['gainLeft']>): boolean => high !== null && high < worthwhile;

export const typeWords: { readonly [type in CandidateType]: string } = {
  missing: 'missing label',
  spurious: 'label on nothing',
  'badly-located': 'badly located',
  'wrong-class': 'wrong class',
  duplicate: 'duplicate',
};

function withArticle(name: string | undefined): string {
  if (name === undefined) return 'a target';
  return `${/^[aeiou]/i.test(name) ? 'an' : 'a'} ${name}`;
}

function capital(name: string | undefined): string {
  const text = name ?? 'this';
  return text.charAt(0).toUpperCase() + text.slice(1);
}

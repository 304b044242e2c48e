/** What several people said of one place and do not agree on, for who settles it: a button for each answer. */

import type { Decision } from '../../detection/types.ts';
import type { CandidateJson } from '../api.ts';
import type { Wording } from '../wording.ts';
import { h } from './dom.ts';

export type OpinionJson = NonNullable<CandidateJson['opinions']>[number];

/** What the opinion says, in the words of the buttons that gave it. */
export function opinionWords(
  { verdict, box, categoryId }: OpinionJson,
  words: Wording,
  name: (id: number) => string,
): string {
  switch (verdict) {
    case 'accept':
      return words.accept;
    case 'reject':
      return words.reject;
    case 'ignore':
      return 'It cannot be told';
    case 'add':
    case 'edit':
      return [box && 'Another box', categoryId !== undefined && name(categoryId)].filter(Boolean).join(', ');
  }
}

/** `choose` gets the opinion that the one who settles takes over. */
export function opinionList(
  opinions: readonly OpinionJson[],
  words: Wording,
  name: (id: number) => string,
  choose: (opinion: OpinionJson) => void,
): HTMLElement {
  return h(
    'div.opinions',
    { role: 'group', 'aria-label': 'What others said' },
    h(
      'p.because',
      {},
      `${opinions.length} people have looked and do not agree. Your answer settles it: take one of theirs, or give your own.`,
    ),
    ...opinions.map((opinion, index) => {
      const text = opinionWords(opinion, words, name);
      return h(
        'button.answer',
        { 'data-opinion': index + 1, 'aria-keyshortcuts': String(index + 1), onclick: () => choose(opinion) },
        h('kbd', { 'aria-hidden': true }, String(index + 1)),
        h('span', {}, text, opinion.reason !== undefined && h('small', {}, ` “${opinion.reason}”`)),
      );
    }),
  );
}

/** The decision that takes an opinion over, without its reason: that was another person's. */
export const takenOver = ({
  verdict,
  box,
  categoryId,
}: OpinionJson): Pick<Decision, 'verdict' | 'box' | 'categoryId'> => ({
  verdict,
  ...(box === undefined ? {} : { box }),
  ...(categoryId === undefined ? {} : { categoryId }),
});

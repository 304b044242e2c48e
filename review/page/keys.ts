/** The keys of the page: one list that the keyboard handler, the buttons and the help overlay share. */

export type Action =
  | 'accept'
  | 'reject'
  | 'edit'
  | 'draw'
  | 'add'
  | 'category'
  | 'ignore'
  | 'skip'
  | 'comment'
  | 'alike'
  | 'undo'
  | 'save'
  | 'cancel'
  | 'zoomIn'
  | 'zoomOut'
  | 'fit'
  | 'whole'
  | 'bare'
  | 'others'
  | 'queue'
  | 'help';

export interface KeyRow {
  readonly action: Action;
  /** As `KeyboardEvent.key`, lower case. */
  readonly keys: readonly string[];
  readonly shown: string;
  readonly words: string;
}

export const keyRows: readonly KeyRow[] = [
  { action: 'accept', keys: ['a'], shown: 'A', words: 'The model is right' },
  { action: 'reject', keys: ['r'], shown: 'R', words: 'The label is right' },
  { action: 'edit', keys: ['e'], shown: 'E', words: 'Correct the box: drag it, or use the arrow keys' },
  { action: 'category', keys: ['c'], shown: 'C', words: 'Another class; then its number' },
  { action: 'draw', keys: ['d'], shown: 'D', words: 'Draw the right box' },
  { action: 'add', keys: ['n'], shown: 'N', words: 'A new label where nobody asked: draw it, or use the arrow keys' },
  { action: 'ignore', keys: ['i'], shown: 'I', words: 'Cannot be told (too small, a crowd): an ignore region' },
  { action: 'skip', keys: ['s'], shown: 'S', words: 'Later' },
  { action: 'comment', keys: ['m'], shown: 'M', words: 'A comment for this decision' },
  { action: 'alike', keys: ['g'], shown: 'G', words: 'The same mistake in other images: decide all at once' },
  {
    action: 'undo',
    keys: ['u', 'z', 'backspace'],
    shown: 'U',
    words: 'Take the last decision back, before it is sent',
  },
  { action: 'save', keys: ['enter'], shown: 'Enter', words: 'Save the corrected box' },
  { action: 'cancel', keys: ['escape'], shown: 'Esc', words: 'Leave the correction, or this help' },
  { action: 'zoomIn', keys: ['+', '='], shown: '+', words: 'Closer (also the wheel, or two fingers)' },
  { action: 'zoomOut', keys: ['-'], shown: '−', words: 'Farther' },
  { action: 'fit', keys: ['0'], shown: '0', words: 'Back to the crop' },
  { action: 'whole', keys: ['w'], shown: 'W', words: 'The whole image' },
  { action: 'bare', keys: [' '], shown: 'Space', words: 'Hide all boxes while it is held' },
  { action: 'others', keys: ['l'], shown: 'L', words: 'The other labels on and off' },
  { action: 'queue', keys: ['q'], shown: 'Q', words: 'All that waits' },
  { action: 'help', keys: ['?', 'h'], shown: '?', words: 'This help' },
];

export function actionOf(event: KeyboardEvent): Action | null {
  if (event.altKey) return null;
  const key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) return key === 'z' ? 'undo' : null;
  return keyRows.find(({ keys }) => keys.includes(key))?.action ?? null;
}

export const rowOf = (action: Action): KeyRow => keyRows.find((row) => row.action === action)!;
export const shownKey = (action: Action): string => rowOf(action).shown;

/** Where keys are letters of a text, they are no commands. */
export const isTyping = (event: KeyboardEvent): boolean =>
  event.target instanceof HTMLElement && event.target.closest('input, textarea, select') !== null;

/** The overlay with all keys and what the colours mean. */

import { colours } from './canvas.ts';
import { h } from './dom.ts';
import { keyRows } from './keys.ts';

export function createHelp(): HTMLDialogElement {
  const swatch = (colour: string, dashed: boolean, words: string) => {
    const sample = h('span.swatch', { 'aria-hidden': true });
    sample.style.borderColor = colour;
    sample.style.borderStyle = dashed ? 'dashed' : 'solid';
    return h('li', {}, sample, words);
  };
  const dialog = h(
    'dialog.help',
    { 'aria-label': 'Help' },
    h(
      'header',
      {},
      h('h2', {}, 'How this works'),
      h('button.quiet', { onclick: () => dialog.close(), 'aria-label': 'Close the help' }, 'Close'),
    ),
    h(
      'p',
      {},
      'Each question is a place where the model and the labels do not agree. Look at the picture, and say which of them is right. ',
      'Your answer is kept at once, can be taken back for six seconds, and is then sent. The training goes on when all are answered.',
    ),
    h(
      'ul.legend',
      {},
      swatch(colours.label, false, 'the label in question'),
      swatch(colours.detection, true, 'what the model sees'),
      swatch('#9aa3ad', true, 'other labels'),
    ),
    h(
      'dl.keys',
      {},
      ...keyRows.flatMap(({ shown, words }) => [h('dt', {}, h('kbd', {}, shown)), h('dd', {}, words)]),
      h('dt', {}, h('kbd', {}, '←↑↓→')),
      h(
        'dd',
        {},
        'Move the picture; in a correction the box, with Shift its lower right corner, with Ctrl ten times as far',
      ),
    ),
  );
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  return dialog;
}

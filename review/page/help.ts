/** The overlay with all keys and what the colours mean. */

import { colours } from './canvas.ts';
import { h, icon } from './dom.ts';
import { keyRows } from './keys.ts';

export function createHelp(): HTMLDialogElement {
  const swatch = (colour: string, dashes: string, words: string) => h('li', {}, lineSample(colour, dashes), words);
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
      swatch(colours.label, '', 'the label in question'),
      swatch(colours.detection, '9 5', 'what the model sees'),
      swatch('#9aa3ad', '2 4', 'other labels'),
      swatch(colours.drawn, '11 4 2 4', 'labels that reviewers added'),
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

/** A box as the picture shows it: colour and dashes. */
function lineSample(colour: string, dashes: string): SVGSVGElement {
  const sample = icon('M1 5h30v14h-30z');
  sample.setAttribute('viewBox', '0 0 32 24');
  sample.setAttribute('class', 'swatch');
  sample.style.stroke = colour;
  if (dashes !== '') sample.style.strokeDasharray = dashes;
  return sample;
}

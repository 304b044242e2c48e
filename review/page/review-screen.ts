/** One gate: a question at a time, its picture, and the answers. */

import { iou } from '../../detection/box.ts';
import { type DrawnBox, drawnAmong, isDrawn } from '../../detection/decisions.ts';
import type { Box, CandidateType, Decision, Verdict } from '../../detection/types.ts';
import type { CandidateJson, DrawnBoxJson, GateJson, GateSummary, SessionJson } from '../api.ts';
import { blindWordingOf, typeWords, type Wording, wordingOf } from '../wording.ts';
import { CandidateCanvas, seenBy } from './canvas.ts';
import { askAboutCluster } from './cluster-dialog.ts';
import type { Connection } from './connection.ts';
import { announce, h, icon, signs } from './dom.ts';
import { type Action, actionOf, shownKey } from './keys.ts';
import type { Screen } from './main.ts';
import { Minimap } from './minimap.ts';
import { opinionList, takenOver } from './opinions.ts';
import { type Outbox, undoMs } from './outbox.ts';
import { Pace, timeLeft } from './pace.ts';
import { PreviewLine } from './preview-line.ts';
import { Supply } from './supply.ts';

export interface ReviewScreenOptions {
  readonly connection: Connection;
  readonly session: SessionJson;
  readonly gate: GateJson;
  readonly client: string;
  readonly outbox: Outbox;
  readonly toQueue: () => void;
  readonly tools: HTMLElement;
  readonly help: () => void;
}

/** How the answer begins that says what is right, where there is nothing to accept. */
const blindActions: { readonly [type in CandidateType]: Action } = {
  missing: 'draw',
  'wrong-class': 'category',
  'badly-located': 'edit',
  spurious: 'edit',
  duplicate: 'edit',
};

/** The view has come to rest for so long before a part at full resolution is fetched. */
const restMs = 220;

const newDrawnId = (): string =>
  `drawn-${Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, '0')).join('')}`;

export function createReviewScreen(options: ReviewScreenOptions): Screen {
  const { connection, session, gate, client, outbox } = options;
  const { run } = gate;
  const mayDecide = session.role !== 'viewer';
  const names = new Map(gate.categories.map(({ id, name }) => [id, name]));
  const pace = new Pace();
  /** What was decided here and may be taken back. */
  const decided = new Map<string, CandidateJson>();
  let progress: GateSummary = gate;
  let current: CandidateJson | null = null;
  let shownAt = performance.now();
  let categoryId: number | null = null;
  let comment = '';
  let goOn: string | undefined;
  /** The box that is drawn is a label of its own, and no answer to the question. */
  let adding = false;
  /** Drawn here, by image: what was fetched before does not know of it. */
  const drawnHere = new Map<number, DrawnBoxJson[]>();
  let restTimer = 0;

  // Elements.

  const stage = h('canvas.stage-canvas', { role: 'img', tabindex: 0, 'aria-label': 'The picture in question' });
  const map = h('canvas.minimap', { role: 'img', 'aria-label': 'The whole image, and where the question lies in it' });
  const type = h('span.badge');
  const question = h('h1', { tabindex: -1 });
  const because = h('p.because');
  const facts = h('dl.facts');
  const meter = h('div.meter', { role: 'progressbar', 'aria-label': 'decided', 'aria-valuemin': 0 }, h('span'));
  const count = h('b');
  const speed = h('span.speed');
  const state = h('span.state', { role: 'status' });
  const heldBack = h('p.held-back', { role: 'alert', hidden: true });
  const hint = h('div.hint', { hidden: true });
  const veil = h(
    'div.veil',
    {},
    h('span.spinner', { 'aria-hidden': true }),
    h('span', {}, 'The picture is on its way …'),
  );
  const toasts = h('div.toasts', { role: 'alert' });
  const categories = h('div.categories', { hidden: true, role: 'group', 'aria-label': 'Class' });
  const commentInput = h('input', {
    type: 'text',
    maxlength: 500,
    placeholder: 'Comment, then Enter',
    'aria-label': 'Comment',
  });
  const commentRow = h('div.comment', { hidden: true }, commentInput);
  const finished = h('div.finished', { hidden: true });
  const differing = h('div', { hidden: true });

  const button = (action: Action, words: string, kind: string) =>
    h(
      `button.${kind}` as 'button',
      { 'data-action': action, 'aria-keyshortcuts': shownKey(action), onclick: () => act(action) },
      h('kbd', { 'aria-hidden': true }, shownKey(action)),
      h('span', {}, words),
    );
  const accept = button('accept', '', 'answer');
  const reject = button('reject', '', 'answer');
  const answers = h('div.answers', { role: 'group', 'aria-label': 'Answer' }, accept, reject);
  const more = h(
    'div.more',
    { role: 'group', 'aria-label': 'More answers' },
    button('edit', 'Correct box', 'small'),
    button('draw', 'Draw box', 'small'),
    button('add', 'Add a label', 'small'),
    gate.categories.length > 1 && button('category', 'Class', 'small'),
    button('ignore', 'Can’t tell', 'small'),
    button('skip', 'Later', 'small'),
    button('comment', 'Comment', 'small'),
  );
  const alike = button('alike', 'All like this', 'small');
  more.append(alike);
  const save = button('save', '', 'answer');
  const editBar = h(
    'div.answers.editing',
    { hidden: true, role: 'group', 'aria-label': 'Correction' },
    save,
    button('cancel', 'Back', 'answer'),
  );
  const undo = button('undo', 'Undo', 'quiet');
  const unsent = () => outbox.pending(run, gate.gate).map(({ decision }) => decision);
  const preview = new PreviewLine(connection, run, gate.gate, unsent);
  const zoomBar = h(
    'div.zoom',
    { role: 'group', 'aria-label': 'View' },
    ...(
      [
        ['zoomIn', 'closer', 'Closer'],
        ['zoomOut', 'farther', 'Farther'],
        ['fit', 'crop', 'Back to the crop'],
        ['whole', 'whole', 'The whole image'],
      ] as const
    ).map(([action, sign, words]) =>
      h('button.quiet.icon', { 'aria-label': words, title: words, onclick: () => act(action) }, icon(signs[sign])),
    ),
  );

  const element = h(
    'div.screen.review',
    {},
    h(
      'header.bar',
      {},
      h(
        'button.quiet',
        { onclick: options.toQueue, 'aria-label': 'All that waits', title: 'All that waits (Q)' },
        icon(signs.back),
      ),
      h('span.where', {}, h('b', {}, gate.gate), h('span.sub', {}, run)),
      h('div.middle', {}, meter, h('span.counts', {}, count, speed)),
      state,
      undo,
      options.tools,
    ),
    heldBack,
    h(
      'main',
      { id: 'main' },
      h('section.stage', { 'aria-label': 'Picture' }, stage, veil, hint, zoomBar, finished),
      h(
        'aside.panel',
        {},
        map,
        h('div.ask', {}, type, question, because),
        differing,
        answers,
        editBar,
        categories,
        commentRow,
        more,
        preview.element,
        facts,
      ),
    ),
    toasts,
  );

  // Parts.

  const canvas = new CandidateCanvas(stage, {
    edited: () => {
      if (editBar.hidden) beginEdit(canvas.editBox);
      else showEdit();
    },
    moved: () => {
      paintMap();
      clearTimeout(restTimer);
      restTimer = window.setTimeout(() => void sharpen(), restMs);
    },
  });
  const minimap = new Minimap(map, (x, y) => canvas.centreOn(x, y));
  const stopListening = outbox.listen({
    changed: () => {
      preview.changed();
      refresh();
    },
    confirmed: (answer, ofRun, ofGate) => {
      if (ofRun !== run || ofGate !== gate.gate) return;
      progress = answer.progress;
      goOn = answer.goOn ?? goOn;
      refresh();
    },
    refused: ({ candidateId, why }, kept) => {
      if (kept.run === run && kept.gate === gate.gate) {
        decided.delete(candidateId);
        forgetDrawn(kept.decision);
      }
      toast(`Not taken (${candidateId.slice(0, 6)}): ${why ?? 'the run refused it'}`);
    },
  });
  const answersOf = (decisions: readonly Decision[]) => decisions.filter((decision) => !isDrawn(decision));
  const pendingIds = () => answersOf(unsent()).map(({ candidateId }) => candidateId);
  // Of an earlier page of this browser, and not sent yet.
  for (const drawn of drawnAmong(unsent())) keepDrawn(drawn);
  const supply = new Supply(connection, run, gate.gate, client, pendingIds, {
    changed: () => present(),
    pictured: (id) => {
      if (id === current?.id) showPicture();
    },
    progress: (next) => {
      progress = next;
      refresh();
    },
  });
  const stopWatching = connection.onChange(() => refresh());
  const onTheme = () => {
    canvas.paint();
    paintMap();
  };
  addEventListener('themechange', onTheme);
  const clock = window.setInterval(() => refresh(), 1_000);

  // What is shown.

  function present(): void {
    const next = supply.current;
    if (next?.id === current?.id && next !== null) return;
    current = next;
    endEdit();
    comment = '';
    commentRow.hidden = true;
    if (current === null) {
      canvas.clear();
      minimap.show(null, null, null);
      refresh();
      return;
    }
    shownAt = performance.now();
    const { label, detection, iou: overlap, image } = current;
    const labelName = label && nameOf(label.categoryId);
    const detectedName = detection && nameOf(detection.categoryId);
    const words = wordingOfCurrent(current);
    alike.hidden = current.cluster === undefined;
    type.textContent = current.blind ? 'look for yourself' : typeWords[current.type];
    accept.lastElementChild!.textContent = words.accept;
    reject.lastElementChild!.textContent = words.reject;
    facts.replaceChildren(
      ...fact('label', labelName ?? 'none', 'label'),
      ...fact(
        'model',
        detection
          ? `${detectedName}, ${Math.round(detection.score * 100)} % sure`
          : current.blind
            ? 'hidden here'
            : 'sees nothing',
        'detection',
      ),
      ...(overlap === undefined ? [] : fact('overlap', `${Math.round(overlap * 100)} % (IoU)`)),
      ...fact('image', image.fileName),
      ...fact('size', `${image.width} × ${image.height}, ${image.split}`),
    );
    showOpinions(current, words);
    stage.setAttribute('aria-label', describe(current));
    announce(`${words.question} ${words.because} ${describe(current)}`);
    canvas.show(current, { label: labelName, detection: detectedName });
    canvas.drawn = drawnIn(current).map(({ box }) => box);
    showPicture();
    refresh();
  }

  /** For who settles what others do not agree on. */
  function showOpinions({ opinions }: CandidateJson, words: Wording): void {
    differing.hidden = opinions === undefined;
    if (opinions === undefined) return;
    differing.replaceChildren(
      opinionList(opinions, words, nameOf, (opinion) => {
        const { verdict, ...edit } = takenOver(opinion);
        decide(verdict, edit);
      }),
    );
  }

  function showPicture(): void {
    if (current === null) return;
    const pictures = supply.picturesOf(current);
    canvas.picture(pictures);
    paintMap();
    veil.hidden = pictures.crop !== null;
    veil.classList.toggle('problem', pictures.problem !== null);
    veil.lastElementChild!.textContent =
      pictures.problem ??
      (connection.state === 'online'
        ? 'The picture is on its way …'
        : 'The picture comes as soon as the server answers.');
    refresh();
  }

  function paintMap(): void {
    if (current === null) return;
    const others = [...current.others, ...drawnIn(current)];
    minimap.show({ ...current, others }, supply.picturesOf(current).whole, seenBy(canvas, current));
  }

  /** Full resolution, where more is to be seen than the crop and the shrunk image show. */
  async function sharpen(): Promise<void> {
    const candidate = current;
    if (candidate === null) return;
    const seen = seenBy(canvas, candidate);
    const { whole } = supply.picturesOf(candidate);
    if (seen === null || whole === null || connection.state !== 'online') return;
    const [x1, y1, x2, y2] = seen;
    const [cx1, cy1, cx2, cy2] = candidate.crop;
    const withinCrop = x1 >= cx1 && y1 >= cy1 && x2 <= cx2 && y2 <= cy2;
    const shrunk = candidate.image.width / whole.width;
    if (withinCrop || shrunk < 1.05 || canvas.view.scale * shrunk * devicePixelRatio < 1.1) return;
    const bitmap = await supply.part(candidate, seen).catch(() => null);
    if (bitmap !== null && current === candidate) canvas.detail(bitmap, seen);
    else bitmap?.close();
  }

  function refresh(): void {
    const pending = outbox.pending(run, gate.gate);
    const left = Math.max(0, progress.yours - pendingIds().length);
    const done = progress.asked - left;
    (meter.firstElementChild as HTMLElement).style.width =
      `${progress.asked === 0 ? 100 : (100 * done) / progress.asked}%`;
    meter.setAttribute('aria-valuenow', String(done));
    meter.setAttribute('aria-valuemax', String(progress.asked));
    count.textContent = `${done} of ${progress.asked}`;
    const seconds = pace.seconds;
    speed.textContent =
      seconds === null || left === 0 ? '' : ` · ${seconds.toFixed(1)} s each · ${timeLeft(left * seconds)} left`;
    const { errorsLeft } = progress;
    meter.title =
      errorsLeft === undefined ? '' : `about ${Math.round(errorsLeft)} label errors are expected in the rest`;
    showState(pending.length);
    const pictured = current !== null && supply.picturesOf(current).crop !== null;
    stage.dataset.candidate = current?.id ?? '';
    stage.dataset.pictured = String(pictured);
    for (const one of element.querySelectorAll<HTMLButtonElement>('.answers button, .opinions button, .more button')) {
      const needsPicture = !['skip', 'cancel'].includes(one.dataset.action ?? '');
      one.disabled = !mayDecide || current === null || (needsPicture && !pictured);
    }
    undo.disabled = !mayDecide || pending.length === 0;
    showFinished(pending.length);
  }

  function showState(pending: number): void {
    const why = pending === 0 ? '' : outbox.heldBack;
    if (heldBack.textContent !== why) heldBack.textContent = why;
    heldBack.hidden = why === '';
    const words = { online: '', away: 'no connection', locked: 'no access' }[connection.state];
    const kept = pending === 0 ? '' : `${pending} kept here`;
    state.dataset.state =
      connection.state !== 'online' ? connection.state : why !== '' ? 'away' : pending === 0 ? 'saved' : 'sending';
    const text =
      connection.state === 'online'
        ? pending === 0
          ? progress.decided > 0
            ? 'all saved'
            : 'ready'
          : why === ''
            ? `${pending} to send`
            : kept
        : [words, kept].filter(Boolean).join(' · ');
    if (state.textContent !== text) state.textContent = text;
    state.title = connection.why;
  }

  function showFinished(pending: number): void {
    const nothing = current === null;
    finished.hidden = !nothing;
    answers.parentElement!.classList.toggle('over', nothing);
    if (!nothing) return;
    veil.hidden = true;
    const left = progress.asked - progress.decided - pendingIds().length;
    // Answers of one's own that are not yet confirmed are among them.
    const ofOthers = progress.asked - progress.decided - progress.yours;
    const key = [
      connection.state,
      outbox.heldBack,
      pending,
      left,
      ofOthers,
      supply.exhausted,
      supply.elsewhere,
      progress.state,
      goOn,
    ].join();
    if (finished.dataset.key === key) return;
    finished.dataset.key = key;
    const title =
      connection.state !== 'online' && left > 0
        ? 'No connection'
        : left <= 0 || progress.state === 'closed'
          ? 'All decided'
          : supply.exhausted
            ? 'Others have the rest'
            : 'One moment …';
    const text =
      connection.state !== 'online'
        ? `What you decided is kept in this browser (${pending}) and sent as soon as the server answers.`
        : outbox.heldBack !== '' && pending > 0
          ? `What you decided is kept in this browser (${pending}) and sent as soon as the run can be reached.`
          : pending > 0
            ? `Your last ${pending === 1 ? 'answer goes' : `${pending} answers go`} out in a few seconds. Until then they can be taken back.`
            : left <= 0 || progress.state === 'closed'
              ? goOn === undefined
                ? 'The run goes on with the corrected labels. Thank you.'
                : `Nothing runs it at the moment. It goes on with:`
              : supply.exhausted
                ? othersWords(ofOthers)
                : 'The next questions are on their way.';
    finished.replaceChildren(
      h('h2', {}, title),
      h('p', {}, text),
      ...(pending === 0 && left <= 0 && goOn !== undefined ? [h('pre', {}, goOn)] : []),
      h(
        'div.row',
        {},
        pending > 0 && h('button.primary', { onclick: () => void outbox.flush(true) }, 'Send now'),
        pending > 0 && h('button.small', { onclick: () => act('undo') }, 'Undo the last'),
        h(pending > 0 ? 'button.small' : 'button.primary', { onclick: options.toQueue }, 'All that waits'),
      ),
    );
    if (title !== 'One moment …') announce(`${title}. ${text}`);
  }

  /** Why there is nothing for this person although not all is decided. */
  function othersWords(ofOthers: number): string {
    const { toSettle = 0, adjudicators } = progress;
    const parts = [
      supply.elsewhere > 0 && `${supply.elsewhere} are with other reviewers; what they leave comes here.`,
      ofOthers - toSettle > 0 && `${ofOthers - toSettle} wait for the opinion of somebody else.`,
      toSettle > 0 &&
        ofOthers > 0 &&
        `${toSettle} must be settled by ${adjudicators?.join(' or ') ?? 'somebody who gave no opinion'}, because opinions differ.`,
    ];
    return parts.filter(Boolean).join(' ') || 'What others leave comes here.';
  }

  // What is done.

  function act(action: Action): void {
    switch (action) {
      case 'accept':
        // Nothing of the model is in sight that could be accepted: the answer says by itself what is right.
        if (current?.blind && editBar.hidden) act(blindActions[current.type]);
        else if (editBar.hidden) decide(action);
        return;
      case 'reject':
      case 'ignore':
        if (editBar.hidden) decide(action);
        return;
      case 'edit': {
        const box = canvas.editBox ?? startBox();
        if (box === null) act('draw');
        else beginEdit(box);
        return;
      }
      case 'draw':
      case 'add':
        if (!canDecide()) return;
        endEdit();
        adding = action === 'add';
        editBar.hidden = false;
        answers.hidden = true;
        canvas.draw();
        showEdit();
        if ((adding || current?.blind) && gate.categories.length > 1) showCategories();
        return;
      case 'category':
        if (!canDecide() || gate.categories.length < 2) return;
        if (canvas.editBox === null) beginEdit(startBox());
        showCategories();
        return;
      case 'save':
        saveEdit();
        return;
      case 'cancel':
        endEdit();
        commentRow.hidden = true;
        return;
      case 'skip':
        endEdit();
        supply.skip();
        present();
        return;
      case 'comment':
        if (!canDecide()) return;
        commentRow.hidden = false;
        commentInput.value = comment;
        commentInput.focus();
        return;
      case 'alike':
        void decideAlike();
        return;
      case 'undo':
        takeBack();
        return;
      case 'zoomIn':
        canvas.zoom(1.4);
        return;
      case 'zoomOut':
        canvas.zoom(1 / 1.4);
        return;
      case 'fit':
        canvas.fit();
        return;
      case 'whole':
        canvas.fitImage();
        return;
      case 'bare':
        canvas.bare = true;
        return;
      case 'others':
        canvas.toggleOthers();
        return;
      case 'queue':
        options.toQueue();
        return;
      case 'help':
        options.help();
    }
  }

  /** Nothing is decided about a picture that was not there to be seen. */
  function canDecide(): boolean {
    return mayDecide && current !== null && supply.picturesOf(current).crop !== null;
  }

  function decide(verdict: Verdict, edit: Pick<Decision, 'box' | 'categoryId'> = {}): void {
    if (!canDecide() || current === null) return;
    performance.mark('decided');
    const candidate = current;
    const tookMs = performance.now() - shownAt;
    pace.add(tookMs);
    decided.set(candidate.id, candidate);
    if (decided.size > 300) decided.delete(decided.keys().next().value!);
    outbox.add(run, gate.gate, [
      {
        candidateId: candidate.id,
        verdict,
        ...edit,
        ...(comment === '' ? {} : { reason: comment }),
        seconds: Math.round(tookMs / 100) / 10,
        ...(candidate.opinions === undefined ? {} : { settles: true }),
        saw: candidate.saw,
      },
    ]);
    flash(verdict);
    supply.next();
    present();
    canvas.onPainted(() => performance.measure('next candidate', 'decided'));
  }

  function takeBack(): void {
    const kept = outbox.undo(run, gate.gate);
    if (kept.length === 0) {
      toast(`Decisions can be taken back for ${undoMs / 1000} seconds; after that they count.`);
      return;
    }
    for (const { decision } of kept.reverse()) {
      forgetDrawn(decision);
      const candidate = decided.get(decision.candidateId);
      if (candidate !== undefined) supply.putBack(candidate);
    }
    announce(kept.length === 1 ? 'Taken back.' : `${kept.length} answers taken back.`);
    present();
  }

  async function decideAlike(): Promise<void> {
    const cluster = current?.cluster;
    if (!canDecide() || current === null || cluster === undefined) return;
    const words = wordingOfCurrent(current);
    const began = performance.now();
    const members = await supply.cluster(cluster).catch(() => null);
    if (members === null) {
      toast('The others cannot be fetched just now.');
      return;
    }
    const chosen = await askAboutCluster(members, words, (candidate) => supply.crop(candidate));
    if (chosen === null || chosen.candidates.length === 0) return;
    for (const candidate of chosen.candidates) decided.set(candidate.id, candidate);
    const seconds = Math.round((performance.now() - began) / 100 / chosen.candidates.length) / 10;
    outbox.add(
      run,
      gate.gate,
      chosen.candidates.map(({ id, saw }) => ({ candidateId: id, verdict: chosen.verdict, seconds, saw })),
    );
    supply.drop(new Set(chosen.candidates.map(({ id }) => id)));
    announce(`${chosen.candidates.length} decided at once.`);
    present();
  }

  // Corrections.

  /** Where the model is right about the place it is the model's box that is corrected, else the label's. */
  function startBox(): Box | null {
    return current?.detection?.box ?? current?.label?.box ?? null;
  }

  function beginEdit(box: Box | null): void {
    if (!canDecide() || box === null) return;
    editBar.hidden = false;
    answers.hidden = true;
    canvas.edit(box);
    showEdit();
    if (gate.categories.length > 1) showCategories();
  }

  function showEdit(): void {
    hint.hidden = false;
    more.hidden = true;
    if (adding) {
      question.textContent = 'What has no label?';
      because.textContent = 'Draw a box around a target that nobody asked about. The question comes back afterwards.';
    }
    save.lastElementChild!.textContent = adding ? 'Add this label' : 'Save this box';
    hint.textContent = canvas.isDrawing
      ? `Draw the box${adding ? ' of a target that has no label' : ''}: drag from corner to corner, or press an arrow key`
      : 'Drag edges and corners, or use the arrow keys (Shift: the lower right corner). Enter saves.';
  }

  function showCategories(): void {
    const chosen = categoryOfEdit();
    categories.hidden = false;
    categories.replaceChildren(
      ...gate.categories.map(({ id, name }, index) =>
        h(
          'button.small',
          { 'aria-pressed': id === chosen ? 'true' : 'false', onclick: () => choose(id) },
          index < 9 && h('kbd', { 'aria-hidden': true }, String(index + 1)),
          h('span', {}, name),
        ),
      ),
    );
  }

  function choose(id: number): void {
    categoryId = id;
    showCategories();
    announce(`Class ${nameOf(id)}. Enter saves.`);
  }

  function saveEdit(): void {
    const box = canvas.editBox;
    if (editBar.hidden || box === null || current === null) return;
    const category = categoryOfEdit();
    if (category === undefined) {
      toast('Choose the class too: press its number.');
      return;
    }
    if (adding) {
      const { type: asked, detection } = current;
      if (asked === 'missing' && detection && detection.categoryId === category && iou(detection.box, box) >= 0.5) {
        toast('That is the target in question. Its own answers add it, with this box or another.');
      } else addLabel(current, box, category);
      return;
    }
    decide('edit', { box, ...(category === undefined ? {} : { categoryId: category }) });
  }

  function categoryOfEdit(): number | undefined {
    const only = gate.categories.length === 1 ? gate.categories[0]!.id : undefined;
    return categoryId ?? current?.label?.categoryId ?? current?.detection?.categoryId ?? only;
  }

  /** A decision of its own: the question stays as it is. */
  function addLabel({ image }: CandidateJson, box: Box, category: number): void {
    const drawn: DrawnBox = {
      candidateId: newDrawnId(),
      verdict: 'add',
      imageId: image.id,
      box,
      categoryId: category,
      ...(comment === '' ? {} : { reason: comment }),
    };
    keepDrawn(drawn);
    outbox.add(run, gate.gate, [drawn]);
    endEdit();
    if (current !== null) canvas.drawn = drawnIn(current).map(({ box: own }) => own);
    paintMap();
    announce(`A label ${nameOf(category)} is added. The question is still open.`);
  }

  function keepDrawn({ candidateId: id, imageId, box, categoryId: category }: DrawnBox): void {
    drawnHere.set(imageId, [...(drawnHere.get(imageId) ?? []), { id, box, categoryId: category }]);
  }

  function forgetDrawn({ candidateId, imageId }: Decision): void {
    if (imageId === undefined) return;
    drawnHere.set(
      imageId,
      (drawnHere.get(imageId) ?? []).filter(({ id }) => id !== candidateId),
    );
    if (current !== null) canvas.drawn = drawnIn(current).map(({ box }) => box);
  }

  function drawnIn({ image, drawn }: CandidateJson): DrawnBoxJson[] {
    const known = new Set(drawn.map(({ id }) => id));
    return [...drawn, ...(drawnHere.get(image.id) ?? []).filter(({ id }) => !known.has(id))];
  }

  function endEdit(): void {
    adding = false;
    more.hidden = false;
    if (current !== null) {
      const words = wordingOfCurrent(current);
      question.textContent = words.question;
      because.textContent = words.because;
    }
    canvas.edit(null);
    categoryId = null;
    editBar.hidden = true;
    answers.hidden = false;
    categories.hidden = true;
    hint.hidden = true;
  }

  commentInput.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' || event.key === 'Escape') {
      if (event.key === 'Enter') comment = commentInput.value.trim();
      commentRow.hidden = comment === '';
      stage.focus();
      event.preventDefault();
      event.stopPropagation();
    }
  });

  // Small things.

  function wordingOfCurrent({ type, label, detection, blind }: CandidateJson): Wording {
    if (blind) return blindWordingOf(type, label && nameOf(label.categoryId));
    return wordingOf(type, label && nameOf(label.categoryId), detection && nameOf(detection.categoryId));
  }

  function nameOf(id: number): string {
    return names.get(id) ?? `class ${id}`;
  }

  function fact(name: string, value: string, kind = ''): HTMLElement[] {
    return [
      h('dt', {}, name),
      kind === '' ? h('dd', { title: value }, value) : h('dd', { 'data-kind': kind, title: value }, value),
    ];
  }

  function describe({ label, detection, image, blind }: CandidateJson): string {
    const place = (box: Box) =>
      `${Math.round(box[0])}, ${Math.round(box[1])} to ${Math.round(box[2])}, ${Math.round(box[3])}`;
    return [
      `Image ${image.fileName}.`,
      label ? `Label ${nameOf(label.categoryId)} at ${place(label.box)}.` : 'No label.',
      detection
        ? `The model sees ${nameOf(detection.categoryId)} at ${place(detection.box)}, score ${Math.round(detection.score * 100)} percent.`
        : blind
          ? 'What the model sees is hidden.'
          : 'The model sees nothing.',
    ].join(' ');
  }

  function flash(verdict: Verdict): void {
    stage.parentElement!.dataset.flash = '';
    void stage.offsetWidth;
    stage.parentElement!.dataset.flash = verdict;
  }

  function toast(text: string): void {
    const note = h('div.toast', {}, text);
    toasts.append(note);
    setTimeout(() => note.remove(), 8_000);
  }

  const steps: { readonly [key: string]: readonly [number, number] } = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, -1],
    ArrowDown: [0, 1],
  };

  const onKeyUp = (event: KeyboardEvent) => {
    if (event.key === ' ') canvas.bare = false;
  };
  addEventListener('keyup', onKeyUp);
  if (!mayDecide) toast(`You are a ${session.role} here: you can look, and not decide.`);
  refresh();

  return {
    element,
    close: () => {
      supply.close();
      preview.close();
      stopListening();
      stopWatching();
      clearInterval(clock);
      clearTimeout(restTimer);
      removeEventListener('keyup', onKeyUp);
      removeEventListener('themechange', onTheme);
    },
    key: (event) => {
      const step = steps[event.key];
      if (step !== undefined) {
        const [dx, dy] = step;
        const far = event.ctrlKey ? 10 : 1;
        // Drawn by keyboard, a box begins in the middle.
        if (canvas.isDrawing && canvas.editBox === null) {
          canvas.edit(canvas.middle);
          showEdit();
        } else if (canvas.editBox === null) canvas.panBy(-dx * 60 * far, -dy * 60 * far);
        else canvas.nudge(event.shiftKey ? 'se' : 'move', dx * far, dy * far);
        return true;
      }
      const digit = /^[1-9]$/.test(event.key) ? Number(event.key) : 0;
      if (!categories.hidden && digit > 0) {
        const chosen = gate.categories[digit - 1];
        if (chosen !== undefined) choose(chosen.id);
        return true;
      }
      if (digit > 0 && editBar.hidden) {
        const opinion = differing.querySelector<HTMLButtonElement>(`[data-opinion="${digit}"]`);
        if (!differing.hidden && opinion !== null && !event.repeat) opinion.click();
        return true;
      }
      const action = actionOf(event);
      if (action === null) return false;
      // Enter and Space press the button that has the focus, unless a correction waits for Enter.
      const onButton = event.target instanceof HTMLButtonElement;
      if (onButton && ((action === 'save' && editBar.hidden) || action === 'bare')) return false;
      if (action === 'save' && editBar.hidden) return false;
      // A key that is held down decides once.
      if (event.repeat && !['zoomIn', 'zoomOut'].includes(action)) return true;
      act(action);
      return true;
    },
  };
}

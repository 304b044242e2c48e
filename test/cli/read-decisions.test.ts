import { expect, test } from 'vitest';
import { readDecisionFile, readDecisionWords } from '../../cli/read-decisions.ts';

test('verdicts on the command line become decisions', () => {
  expect(readDecisionWords(['3f2a=accept', '91bc=edit:10,12.5,44,40', 'aa00=edit:1,2,3,4:ripe cherry'])).toEqual([
    { candidate: '3f2a', verdict: 'accept', place: 'argument 1 ("3f2a=accept")' },
    { candidate: '91bc', verdict: 'edit', box: [10, 12.5, 44, 40], place: 'argument 2 ("91bc=edit:10,12.5,44,40")' },
    {
      candidate: 'aa00',
      verdict: 'edit',
      box: [1, 2, 3, 4],
      category: 'ripe cherry',
      place: 'argument 3 ("aa00=edit:1,2,3,4:ripe cherry")',
    },
  ]);
});

test('a label that nobody asked about names its image, whatever signs the file name has', () => {
  expect(readDecisionWords(['image:a=b/7.png=add:1,2,3,4:ripe cherry'])).toMatchObject([
    { candidate: 'image:a=b/7.png', image: 'a=b/7.png', verdict: 'add', box: [1, 2, 3, 4], category: 'ripe cherry' },
  ]);
  expect(readDecisionFile('a.json', '[{"image": 7, "verdict": "add", "box": [1, 2, 3, 4]}]')).toMatchObject([
    { image: '7', verdict: 'add' },
  ]);
  expect(readDecisionFile('a.csv', 'candidate,verdict,x1,y1,x2,y2,image\n,add,1,2,3,4,7.png\n')).toMatchObject([
    { image: '7.png', verdict: 'add' },
  ]);
  expect(() => readDecisionWords(['3f2a=add:1,2,3,4', 'image:7.png=add', 'image:7.png=reject'])).toThrow(
    [
      'No decision was sent:',
      '  argument 1 ("3f2a=add:1,2,3,4"): "add" is about an image, as in image:photo.png=add:10,12,44,40:cherry; a file has "image".',
      '  argument 2 ("image:7.png=add"): "add" takes a box x1,y1,x2,y2 in pixels with x2 > x1 and y2 > y1, and has none.',
      '  argument 3 ("image:7.png=reject"): only "add" takes an image.',
    ].join('\n'),
  );
});

test('every problem on the command line is told at once', () => {
  const words = ['accept', 'a=acept', 'b=edit', 'c=edit:4,4,1,1', 'd=reject:1,2,3,4', 'e=edit:1,,3,4'];
  expect(() => readDecisionWords(words)).toThrow(
    [
      'No decision was sent:',
      '  argument 1 ("accept"): expected CANDIDATE=VERDICT, for example 3f2a=accept.',
      '  argument 2 ("a=acept"): "acept" is no verdict. Did you mean "accept"? Verdicts: accept, reject, edit, ignore, add.',
      '  argument 3 ("b=edit"): "edit" takes a box x1,y1,x2,y2 in pixels with x2 > x1 and y2 > y1, and has none.',
      '  argument 4 ("c=edit:4,4,1,1"): "edit" takes a box x1,y1,x2,y2 in pixels with x2 > x1 and y2 > y1 (is [4,4,1,1]).',
      '  argument 5 ("d=reject:1,2,3,4"): only "edit" and "add" take a box.',
      '  argument 6 ("e=edit:1,,3,4"): "edit" takes a box x1,y1,x2,y2 in pixels with x2 > x1 and y2 > y1 (is [1,null,3,4]).',
    ].join('\n'),
  );
});

test('a CSV file may quote its cells, leave columns out, and end its lines as Windows does', () => {
  const csv =
    'candidate,verdict,x1,y1,x2,y2,reason\r\n3f2a,accept,,,,,"clear, even ""at night"""\r\n\r\n91bc,edit,1,2,3,4,\r\n';
  expect(readDecisionFile('answers.csv', csv)).toEqual([
    { candidate: '3f2a', verdict: 'accept', reason: 'clear, even "at night"', place: 'answers.csv:2' },
    { candidate: '91bc', verdict: 'edit', box: [1, 2, 3, 4], place: 'answers.csv:4' },
  ]);
  expect(() => readDecisionFile('answers.csv', 'id,verdict\na,accept\n')).toThrow(
    'answers.csv:1: unknown column "id". Expected a first line with names out of candidate,verdict,x1,y1,x2,y2,category,reason,image.',
  );
});

test('a JSON file may spell decisions as the messages do', () => {
  const json =
    '[{"candidateId":"3f2a","verdict":"edit","box":[1,2,3,4],"categoryId":2},{"candidate":"9","verdict":"no"}]';
  expect(() => readDecisionFile('answers.json', json)).toThrow('answers.json[1]: "no" is no verdict.');
  expect(readDecisionFile('answers.json', json.replace('"no"', '"ignore"'))).toEqual([
    { candidate: '3f2a', verdict: 'edit', box: [1, 2, 3, 4], category: '2', place: 'answers.json[0]' },
    { candidate: '9', verdict: 'ignore', place: 'answers.json[1]' },
  ]);
  expect(() => readDecisionFile('answers.json', '{}')).toThrow('should hold a list');
  expect(() => readDecisionFile('answers.json', '[')).toThrow('answers.json is no JSON');
});

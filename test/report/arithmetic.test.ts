import { expect, test } from 'vitest';
import type { Curves } from '../../artifacts/types.ts';
import type { RunEnvironment } from '../../plan/types.ts';
import { otherMachines } from '../../report/arithmetic.ts';

const environment: RunEnvironment = {
  threads: 1,
  tensorflow: '2.18',
  oneDnn: true,
  cpu: 'Xeon',
  hardcase: '0.1.0',
  node: '20',
};
const curvesOf = (fields: object) => ({ path: 'model', value: fields as Curves });

test('curves that do not say on which machine they were drawn count as none, and others are still named', () => {
  const own = curvesOf({ head: 'of another program' });
  expect(otherMachines({ curves: [own], state: { environment } })).toEqual([]);
  const elsewhere = curvesOf({ environment: { ...environment, cpu: 'EPYC' } });
  expect(otherMachines({ curves: [own, elsewhere], state: { environment } })).toEqual([
    'model was trained on another kind of machine than the run began with (cpu EPYC instead of Xeon): on one machine alone the last bits of the weights may be others.',
  ]);
});

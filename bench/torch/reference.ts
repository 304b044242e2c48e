/** The same step by PyTorch in float64. */

import type { NetworkLayout, WeightSpec } from '../../detection/model/network.ts';
import type { NamedArray, TorchProcess, Values } from './client.ts';
import { type ParityCase, type ParityInputs, type ParityResult, STEPS_BEFORE } from './parity-cases.ts';

export async function referenceStep(
  torch: TorchProcess,
  { architecture, options }: ParityCase,
  { layout, state, batch, targets, settings }: ParityInputs,
  dtype: 'float32' | 'float64' = 'float64',
): Promise<ParityResult> {
  const weights = [...cut(layout.parameters, state.weights!), ...cut(layout.statistics, state.statistics!)];
  const slots = ['slot1', 'slot2'].filter((slot) => state[slot] !== undefined);
  await torch.open({
    architecture,
    options,
    weights,
    dtype,
    threads: 1,
    average: true,
    state: [
      ...slots.flatMap((slot) => cut(layout.parameters, state[slot]!, `${slot}/`)),
      ...cut(layout.parameters, state.emaWeights!, 'average/'),
      ...cut(layout.statistics, state.emaStatistics!, 'average/'),
    ],
    step: STEPS_BEFORE,
  });
  await torch.sendBatch(batch.pixels, architecture.imageSize, targets);
  const { gradientNorm, ...terms } = await torch.step({ ...settings, norm: true });
  const gradients = await torch.gradients();
  const after = await torch.state();
  return {
    report: { ...terms, gradientNorm: gradientNorm! },
    gradient: join(layout.parameters, gradients),
    state: {
      weights: join(layout.parameters, after),
      statistics: join(layout.statistics, after),
      ...Object.fromEntries(slots.map((slot) => [slot, join(layout.parameters, after, `${slot}/`)])),
      emaWeights: join(layout.parameters, after, 'average/'),
      emaStatistics: join(layout.statistics, after, 'average/'),
    },
  };
}

function cut(specs: readonly WeightSpec[], flat: Float32Array, prefix = '') {
  let offset = 0;
  return specs.map(({ name, shape, size }) => {
    offset += size;
    return { name: `${prefix}${name}`, shape, data: flat.slice(offset - size, offset) };
  });
}

function join(specs: NetworkLayout['parameters'], arrays: ReadonlyMap<string, NamedArray>, prefix = ''): Float64Array {
  const flat = new Float64Array(specs.reduce((sum, { size }) => sum + size, 0));
  let offset = 0;
  for (const { name, size } of specs) {
    const data: Values = arrays.get(`${prefix}${name}`)!.data;
    flat.set(data, offset);
    offset += size;
  }
  return flat;
}

/** The same step by PyTorch in float64. */
import { STEPS_BEFORE } from './parity-cases.js';
export async function referenceStep(torch, { architecture, options }, { layout, state, batch, targets, settings }) {
  const weights = [...cut(layout.parameters, state.weights), ...cut(layout.statistics, state.statistics)];
  const slots = ['slot1', 'slot2'].filter((slot) => state[slot] !== undefined);
  await torch.open({
    architecture,
    options,
    weights,
    dtype: 'float64',
    threads: 1,
    average: true,
    state: [
      ...slots.flatMap((slot) => cut(layout.parameters, state[slot], `${slot}/`)),
      ...cut(layout.parameters, state.emaWeights, 'average/'),
      ...cut(layout.statistics, state.emaStatistics, 'average/'),
    ],
    step: STEPS_BEFORE,
  });
  await torch.sendBatch(batch.pixels, architecture.imageSize, targets);
  const { gradientNorm, ...terms } = await torch.step({ ...settings, norm: true });
  const gradients = await torch.gradients();
  const after = await torch.state();
  return {
    report: { ...terms, gradientNorm: gradientNorm },
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
function cut(specs, flat, prefix = '') {
  let offset = 0;
  return specs.map(({ name, shape, size }) => {
    offset += size;
    return { name: `${prefix}${name}`, shape, data: flat.slice(offset - size, offset) };
  });
}
function join(specs, arrays, prefix = '') {
  const flat = new Float64Array(specs.reduce((sum, { size }) => sum + size, 0));
  let offset = 0;
  for (const { name, size } of specs) {
    const data = arrays.get(`${prefix}${name}`).data;
    flat.set(data, offset);
    offset += size;
  }
  return flat;
}
//# sourceMappingURL=reference.js.map

import { createMemoryStore } from './memory-store.ts';
import { describeStore } from './store-contract.ts';

const store = createMemoryStore();

describeStore('The store of tests', {
  open: async () => store,
  damage: async (digest, bytes) => {
    store.objects.set(digest, bytes);
  },
});

/** How the page is bundled: two files beside index.html, named by content, nothing inline. */

import { join } from 'node:path';
import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  base: './',
  logLevel: 'warn',
  build: {
    outDir: join(import.meta.dirname, '../../dist/review-page'),
    emptyOutDir: true,
    target: 'es2022',
    // Small files as data: addresses would need a looser content security policy.
    assetsInlineLimit: 0,
    modulePreload: false,
  },
});

/** A proxier of its own process that is killed after so many operations: `node mortal-process.js MANIFESTS OPERATIONS`. */

import { systemDependencies } from '../../../lib/proxier/dependencies.ts';
import { Proxier } from '../../../lib/proxier/proxier.ts';
import { makeSources } from '../../../lib/proxier/sources.ts';
import type { ReconcileInit } from '../../../lib/reconcile/protocol.ts';
import { Reconciler } from '../../../lib/reconcile/reconciler.ts';
import { kernelEffects } from '../../../lib/reconcile/worker-module.ts';
import { openInlineHost } from '../../../lib/thread/inline-host.ts';
import { Lifetime, mortalEffects } from '../mortal.ts';

const [manifests = '', operations = ''] = process.argv.slice(2);
const life = new Lifetime(new Int32Array([Number(operations)]), () => process.kill(process.pid, 'SIGKILL'));
const module = {
  createHandler: (init: ReconcileInit) => new Reconciler(init, mortalEffects(kernelEffects(init), life)),
};
const proxier = new Proxier(
  { manifests, nodeName: 'node-a', families: ['IPv4'] },
  {
    ...systemDependencies,
    makeSources,
    openHost: (init, _thread, options) => openInlineHost(module, init, options),
  },
);
await proxier.run();
process.stdout.write('ready\n');

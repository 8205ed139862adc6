/** A proxier of its own process that is killed after so many operations: `node mortal-process.js OPERATIONS OPTIONS`, these as JSON. */

import { systemDependencies } from '../../../lib/proxier/dependencies.ts';
import type { ProxierOptions } from '../../../lib/proxier/options.ts';
import { Proxier } from '../../../lib/proxier/proxier.ts';
import { makeSources } from '../../../lib/proxier/sources.ts';
import type { ReconcileInit } from '../../../lib/reconcile/protocol.ts';
import { Reconciler } from '../../../lib/reconcile/reconciler.ts';
import { kernelEffects } from '../../../lib/reconcile/worker-module.ts';
import { openInlineHost } from '../../../lib/thread/inline-host.ts';
import { Lifetime, mortalEffects } from '../mortal.ts';

const [operations = '', optionsText = ''] = process.argv.slice(2);
const proxierOptions: ProxierOptions = JSON.parse(optionsText);
const life = new Lifetime(new Int32Array([Number(operations)]), () => process.kill(process.pid, 'SIGKILL'));
const module = {
  createHandler: (init: ReconcileInit) => new Reconciler(init, mortalEffects(kernelEffects(init), life)),
};
const proxier = new Proxier(proxierOptions, {
  ...systemDependencies,
  makeSources,
  openHost: (init, _thread, options) => openInlineHost(module, init, options),
});
await proxier.run();
process.stdout.write('ready\n');

/** A Proxier with its worker, as an agent runs it; on the kernel there is, or on one in memory that is in the worker, too. */

import type { Source } from '../../lib/kube/source.ts';
import { systemDependencies } from '../../lib/proxier/dependencies.ts';
import type { ProxierSettings } from '../../lib/proxier/options.ts';
import { Proxier } from '../../lib/proxier/proxier.ts';
import { openPiscinaHost } from '../../lib/thread/piscina-host.ts';
import type { ScenarioOptions } from './facts.ts';

export function proxierOver(
  source: Source,
  { routes, fake }: ScenarioOptions,
  settings: ProxierSettings = {},
): Proxier {
  const options = {
    nodeName: 'bench',
    families: ['IPv4'],
    clusterCIDR: '10.244.0.0/16',
    vipBinding: routes ? 'local-route' : 'address',
    source,
    ...settings,
  } as const;
  if (!fake) return new Proxier(options);
  return new Proxier(options, {
    ...systemDependencies,
    openHost: (init, _thread, hostOptions) =>
      openPiscinaHost(new URL('./fake-worker-module.js', import.meta.url), init, hostOptions),
    claimNode: async () => ({ lock: undefined, others: [] }),
    adminSocketPath: async () => undefined,
  });
}

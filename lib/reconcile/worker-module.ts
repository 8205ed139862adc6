/** The reconciler on the real kernel: what the worker loads. */
import { cpus, networkInterfaces } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import { parseAddress } from '../address.ts';
import { detectIptables } from '../kernel/iptables.ts';
import { openSession } from '../kernel/linux-session.ts';
import { ProcSysctls } from '../kernel/sysctl.ts';
import type { Handler } from '../thread/host.ts';
import type { IpAddress } from '../types.ts';
import type { ReconcileEffects } from './effects.ts';
import { isNodeAddress } from './node-addresses.ts';
import { vipLink } from './observed.ts';
import type { ReconcileInit, ReconcileReply, ReconcileRequest } from './protocol.ts';
import { Reconciler } from './reconciler.ts';

export function createHandler(init: ReconcileInit): Handler<ReconcileRequest, ReconcileReply> {
  return new Reconciler(init, kernelEffects(init));
}

/** Opens nothing yet: without privileges, or without the addon, a plan against nothing still works. */
export function kernelEffects(init: Pick<ReconcileInit, 'iptables' | 'families'>): ReconcileEffects {
  return {
    openSession: () => openSession(),
    openIptables: ({ probe, signal }) =>
      detectIptables({ backend: init.iptables, families: init.families, probe, signal }),
    sysctls: new ProcSysctls(),
    cores: cpus().length,
    interfaceAddresses,
    random: Math.random,
    turn: () => setImmediate(),
    nowMicros: () => performance.now() * 1000,
  };
}

function interfaceAddresses(): IpAddress[] {
  const found = new Set<IpAddress>();
  for (const [link, infos] of Object.entries(networkInterfaces())) {
    if (link === vipLink) continue;
    for (const info of infos ?? []) {
      const address = parseAddress(info.address);
      if (address !== undefined && isNodeAddress(address)) found.add(address);
    }
  }
  return [...found].sort();
}

/** A whole proxier over a fake kernel, for embedders' own tests. */
import { type Clock, systemClock } from '../proxier/clock.ts';
import type { ProxierOptions } from '../proxier/options.ts';
import { Proxier } from '../proxier/proxier.ts';
import { makeSources } from '../proxier/sources.ts';
import type { ReconcileEffects } from '../reconcile/effects.ts';
import { nodeAddresses } from '../reconcile/node-addresses.ts';
import { vipLink } from '../reconcile/observed.ts';
import type { ReconcileInit } from '../reconcile/protocol.ts';
import { Reconciler } from '../reconcile/reconciler.ts';
import { openInlineHost } from '../thread/inline-host.ts';
import { FakeIptables } from './fake-iptables.ts';
import type { FakeKernel } from './fake-kernel.ts';
import { FakeSysctls } from './fake-sysctls.ts';

/** What else the proxier touches. */
export interface FakeNodeParts {
  /** Default: empty tables, whose rules find their sets in the kernel. */
  readonly iptables?: FakeIptables;
  /** Default: those of a fresh network namespace. */
  readonly sysctls?: FakeSysctls;
  /** Default: the machine's. */
  readonly clock?: Clock;
}

/**
 * A Proxier that is the real one in everything but this: its kernel, iptables and sysctls are the fakes (of this machine nothing is read
 * or written), it runs in this thread whatever `thread` says, and no other proxier is in its way. Several may work on one kernel after
 * each other, as restarts of a proxier do.
 *
 * @throws InvalidArgumentError as the constructor of Proxier.
 */
export function fakeProxier(options: ProxierOptions, kernel: FakeKernel, parts: FakeNodeParts = {}): Proxier {
  const { iptables = new FakeIptables(kernel), sysctls = new FakeSysctls(), clock = systemClock } = parts;
  const effects: ReconcileEffects = {
    openSession: () => kernel.session(),
    openIptables: async () => iptables,
    sysctls,
    cores: 2,
    interfaceAddresses: () => nodeAddresses(kernel.outside.addresses.values(), vipLink),
    random: Math.random,
    nowMicros: () => performance.now() * 1000,
  };
  const module = { createHandler: (init: ReconcileInit): Reconciler => new Reconciler(init, effects) };
  return new Proxier(options, {
    clock,
    makeSources,
    claimNode: async () => ({ lock: undefined, others: [] }),
    adminSocketPath: async () => undefined,
    openHost: (init, _thread, hostOptions) => openInlineHost(module, init, hostOptions),
  });
}

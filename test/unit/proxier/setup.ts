/** A proxier on a kernel in memory: the real reconciler in this thread, time by hand, an ObjectSource for a cluster. */
import { parseAddress } from '../../../lib/address.ts';
import { ObjectSource } from '../../../lib/kube/object-source.ts';
import type { ProxierDependencies } from '../../../lib/proxier/dependencies.ts';
import type { ProxierSettings } from '../../../lib/proxier/options.ts';
import type { Claim } from '../../../lib/proxier/other-proxiers.ts';
import { Proxier } from '../../../lib/proxier/proxier.ts';
import { makeSources } from '../../../lib/proxier/sources.ts';
import type { ReconcileInit, ReconcileReply, ReconcileRequest } from '../../../lib/reconcile/protocol.ts';
import { Reconciler } from '../../../lib/reconcile/reconciler.ts';
import { FakeIptables } from '../../../lib/testing/fake-iptables.ts';
import { FakeKernel, type FakeKernelOptions } from '../../../lib/testing/fake-kernel.ts';
import { FakeSysctls } from '../../../lib/testing/fake-sysctls.ts';
import { type InlineHost, openInlineHost } from '../../../lib/thread/inline-host.ts';
import { ManualClock } from './manual-clock.ts';

export class FakeNode {
  readonly clock: ManualClock = new ManualClock();
  readonly kernel: FakeKernel;
  readonly iptables: FakeIptables;
  readonly sysctls: FakeSysctls = new FakeSysctls();
  readonly hosts: InlineHost<ReconcileRequest, ReconcileReply>[] = [];
  readonly requests: ReconcileRequest[] = [];
  /** An error: the claim rejects with it. */
  claim: Claim | Error = { lock: undefined, others: [] };
  /** What a request waits for before it is carried out: a slow machine. */
  before: (request: ReconcileRequest) => Promise<void> = async () => {};

  constructor(options: FakeKernelOptions = {}) {
    this.kernel = new FakeKernel(options);
    this.iptables = new FakeIptables(this.kernel);
    this.kernel.outside.addLink('eth0', '', true);
    const address = parseAddress('192.168.1.10');
    if (address === undefined) throw new RangeError('192.168.1.10');
    this.kernel.outside.apply({ verb: 'add-address', address: { link: 'eth0', address, prefixLength: 24 } });
  }

  get dependencies(): ProxierDependencies {
    return {
      clock: this.clock,
      makeSources,
      claimNode: async () => {
        if (this.claim instanceof Error) throw this.claim;
        return this.claim;
      },
      adminSocketPath: async () => undefined,
      openHost: async (init, _thread, options) => {
        const host = await openInlineHost(
          { createHandler: (given: ReconcileInit) => this.#handler(given) },
          init,
          options,
        );
        this.hosts.push(host);
        return host;
      },
    };
  }

  /** Writes that reached the kernel, of whatever kind. */
  get writes(): number {
    return this.kernel.log.length + this.iptables.log.length;
  }

  proxier(source: ObjectSource, settings: ProxierSettings = {}): Proxier {
    return new Proxier({ nodeName: 'n1', families: ['IPv4'], ...settings, source }, this.dependencies);
  }

  #handler(init: ReconcileInit): { handle(request: ReconcileRequest): Promise<ReconcileReply>; close(): void } {
    const reconciler = new Reconciler(init, {
      openSession: () => this.kernel.session(),
      openIptables: async () => this.iptables,
      sysctls: this.sysctls,
      cores: 2,
      interfaceAddresses: () => [],
      random: () => 0,
      nowMicros: () => 0,
    });
    return {
      handle: async (request) => {
        this.requests.push(request);
        await this.before(request);
        return reconciler.handle(request);
      },
      close: () => reconciler.close(),
    };
  }
}

/** A source that holds `default/web` with two endpoints, and has said that this is all. */
export function webSource(): ObjectSource {
  const source = new ObjectSource();
  source.apply(service('web', '10.96.0.10'));
  source.apply(slice('web', ['10.244.1.5', '10.244.2.7']));
  source.synced();
  return source;
}

export function service(name: string, clusterIP: string): object {
  return {
    kind: 'Service',
    metadata: { name, namespace: 'default', uid: name },
    spec: { clusterIP, clusterIPs: [clusterIP], ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
  };
}

export function slice(of: string, addresses: readonly string[]): object {
  return {
    kind: 'EndpointSlice',
    metadata: { name: `${of}-1`, namespace: 'default', labels: { 'kubernetes.io/service-name': of } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
  };
}

/** A reconciler on the fake kernel under a virtual clock: nothing here waits for real time. */
import { parseAddress } from '../../../lib/address.ts';
import type { KernelSession } from '../../../lib/kernel/session.ts';
import { sumReports } from '../../../lib/proxier/reports.ts';
import type { ExplainAnswer, StatusAnswer } from '../../../lib/reconcile/answers.ts';
import type {
  ReconcileEvent,
  ReconcileInit,
  ReconcileReply,
  ReconcileRequest,
  SyncReport,
} from '../../../lib/reconcile/protocol.ts';
import { Reconciler } from '../../../lib/reconcile/reconciler.ts';
import { EndpointBit, type ObjectRecord, type ServiceBody, type ServicePortBody } from '../../../lib/records.ts';
import { FakeIptables } from '../../../lib/testing/fake-iptables.ts';
import { type FakeKernel, FakeKernel as Kernel } from '../../../lib/testing/fake-kernel.ts';
import { FakeSysctls } from '../../../lib/testing/fake-sysctls.ts';
import type { InlineHost } from '../../../lib/thread/inline-host.ts';
import { openInlineHost } from '../../../lib/thread/inline-host.ts';
import type { IpAddress, Protocol } from '../../../lib/types.ts';
import { defaultInit } from '../../harness/default-init.ts';

export function ip(text: string): IpAddress {
  const address = parseAddress(text);
  if (address === undefined) throw new RangeError(text);
  return address;
}

/** The hand of somebody else: a virtual service with a destination that nobody asked us for. */
export function foreignService(kernel: FakeKernel, address: string, port: number, protocol: Protocol = 'tcp'): void {
  const key = { protocol, address: ip(address), port };
  const destination = { address: ip('10.9.9.9'), port: 1, weight: 5, forward: 'masquerade' } as const;
  kernel.outside.apply({ verb: 'create-service', service: { key, scheduler: 'wlc', flags: 0, timeoutSeconds: 0 } });
  kernel.outside.apply({ verb: 'create-destination', key, destination });
}

/** A kernel with an interface of the node, `eth0 192.168.1.10`. */
export function newKernel(options: ConstructorParameters<typeof Kernel>[0] = {}): FakeKernel {
  const kernel = new Kernel(options);
  kernel.outside.addLink('eth0', '', true);
  bindOutside(kernel, 'eth0', '192.168.1.10', 24);
  return kernel;
}

export function bindOutside(kernel: FakeKernel, link: string, address: string, prefixLength: number): void {
  kernel.outside.apply({ verb: 'add-address', address: { link, address: ip(address), prefixLength } });
}

export interface ServiceOptions {
  readonly protocol?: Protocol;
  readonly port?: number;
  readonly nodePort?: number;
  readonly createdMs?: number;
  /** What else the Service has. */
  readonly body?: Partial<ServiceBody>;
  readonly drainTimeoutMs?: number;
}

let seq = 0;
const base = (kind: string, key: string): { source: string; seq: number; key: string; uid: string } => {
  seq += 1;
  return { source: 'test', seq, key, uid: `${kind} ${key}` };
};

export function service(key: string, clusterIP: string | null, options: ServiceOptions = {}): ObjectRecord {
  const { protocol = 'tcp', port = 80, nodePort = 0, createdMs = 1, drainTimeoutMs } = options;
  const ports: ServicePortBody[] = [{ name: 'p', protocol, port, nodePort }];
  const body: ServiceBody | null =
    clusterIP === null
      ? null
      : {
          createdMs,
          clusterIPs: [ip(clusterIP)],
          ports,
          externalIPs: [],
          loadBalancerIPs: [],
          sourceRanges: [],
          hasSourceRanges: false,
          affinitySeconds: 0,
          internalPolicyLocal: false,
          externalPolicyLocal: false,
          healthCheckNodePort: 0,
          ...options.body,
          ...(drainTimeoutMs === undefined ? {} : { tuning: { drainTimeoutMs } }),
        };
  return { ...base('service', key), kind: 'service', body };
}

/** With a load balancer IP that only these may reach. */
export function restricted(key: string, clusterIP: string, vip: string, ...sourceRanges: string[]): ObjectRecord {
  return service(key, clusterIP, { body: { loadBalancerIPs: [ip(vip)], sourceRanges, hasSourceRanges: true } });
}

export function slice(
  key: string,
  of: string,
  addresses: readonly string[] | null,
  options: { readonly protocol?: Protocol; readonly local?: boolean; readonly weights?: readonly number[] } = {},
): ObjectRecord {
  const { protocol = 'tcp', local = false, weights } = options;
  const condition = EndpointBit.ready | EndpointBit.serving | (local ? EndpointBit.local : 0);
  const body =
    addresses === null
      ? null
      : {
          service: of,
          family: 'IPv4' as const,
          ports: [{ name: 'p', protocol, port: 8080 }],
          addresses: addresses.map(ip),
          conditions: addresses.map(() => condition),
          ...(weights && { weights }),
        };
  return { ...base('slice', key), kind: 'slice', body };
}

export class World {
  readonly kernel: FakeKernel;
  readonly iptables: FakeIptables;
  readonly sysctls: FakeSysctls = new FakeSysctls();
  /** Counts from the next start after {@link die} on. */
  init: ReconcileInit;
  readonly events: ReconcileEvent[] = [];
  nowMs = 1_000_000;
  /** When the reconciler wants to be called; undefined = nothing waits. */
  wakeAtMs: number | undefined;
  #host: InlineHost<ReconcileRequest, ReconcileReply> | undefined;
  readonly #openSession: () => KernelSession;

  /** @param openSession Of another kernel than `kernel`, which then serves the rules alone. */
  constructor(
    kernel: FakeKernel = newKernel(),
    init: Partial<ReconcileInit> = {},
    openSession: () => KernelSession = () => kernel.session(),
  ) {
    this.kernel = kernel;
    this.#openSession = openSession;
    this.iptables = new FakeIptables(kernel);
    this.init = { ...defaultInit, ...init };
  }

  async send(request: ReconcileRequest): Promise<ReconcileReply> {
    this.#host ??= await openInlineHost(
      {
        createHandler: (init: ReconcileInit) =>
          new Reconciler(init, {
            openSession: this.#openSession,
            openIptables: async () => this.iptables,
            sysctls: this.sysctls,
            cores: 4,
            interfaceAddresses: () => [ip('192.168.1.10')],
            random: () => 0,
            turn: () => new Promise((resolve) => setImmediate(resolve)),
            nowMicros: () => 0,
          }),
      },
      this.init,
    );
    const reply = await this.#host.call(request);
    this.events.push(...reply.events);
    if (request.kind !== 'plan' && request.kind !== 'status' && request.kind !== 'explain') {
      this.wakeAtMs = reply.wakeInMs === undefined ? undefined : this.nowMs + reply.wakeInMs;
    }
    return reply;
  }

  start(): Promise<SyncReport> {
    return this.#report({ kind: 'start', nowMs: this.nowMs });
  }

  /** Says these records, with every source synced. */
  async say(...records: ObjectRecord[]): Promise<SyncReport> {
    return this.#report({ kind: 'records', nowMs: this.nowMs, message: { records, allSynced: true } });
  }

  /** The same before every source has synced. */
  async hint(...records: ObjectRecord[]): Promise<ReconcileReply> {
    return this.send({ kind: 'records', nowMs: this.nowMs, message: { records, allSynced: false } });
  }

  resync(): Promise<SyncReport> {
    return this.#report({ kind: 'resync', nowMs: this.nowMs });
  }

  async status(limit = 1000): Promise<StatusAnswer> {
    const { status } = await this.send({ kind: 'status', nowMs: this.nowMs, date: new Date(this.nowMs), limit });
    if (status === undefined) throw new Error('status was answered without a status');
    return status;
  }

  async explain(key: string): Promise<ExplainAnswer> {
    const { explanation } = await this.send({ kind: 'explain', nowMs: this.nowMs, date: new Date(this.nowMs), key });
    if (explanation === undefined) throw new Error('explain was answered without an explanation');
    return explanation;
  }

  /** Lets time pass, calling `tick` whenever the reconciler asked for it. Returns the reports of those ticks. */
  async pass(ms: number): Promise<SyncReport[]> {
    const endMs = this.nowMs + ms;
    const reports: SyncReport[] = [];
    let ticksAtOnce = 0;
    while (this.wakeAtMs !== undefined && this.wakeAtMs <= endMs) {
      ticksAtOnce = this.wakeAtMs > this.nowMs ? 0 : ticksAtOnce + 1;
      if (ticksAtOnce > 20) throw new Error('the reconciler asks to be called again and again at once');
      this.nowMs = Math.max(this.nowMs, this.wakeAtMs);
      const { report } = await this.send({ kind: 'tick', nowMs: this.nowMs });
      if (report !== undefined) reports.push(report);
      if (reports.length > 10_000) throw new Error('the reconciler asks to be called without end');
    }
    this.nowMs = endMs;
    return reports;
  }

  async close(): Promise<void> {
    await this.#host?.close();
    this.#host = undefined;
  }

  /** The worker dies: everything it knew is gone, the kernel stays. */
  die(): void {
    this.#host = undefined;
    this.wakeAtMs = undefined;
  }

  /** Goes on until everything has had its turn. */
  async #report(request: ReconcileRequest): Promise<SyncReport> {
    let reply = await this.send(request);
    let { report } = reply;
    if (report === undefined) throw new Error(`${request.kind} was answered without a report`);
    while (reply.unwritten !== undefined && reply.wakeInMs === 0) {
      reply = await this.send({ kind: 'tick', nowMs: this.nowMs });
      if (reply.report !== undefined) report = sumReports(report, reply.report);
    }
    return report;
  }
}

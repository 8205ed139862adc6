/**
 * A small cluster of network namespaces with real packets between them:
 *
 *     n1 (this process's own namespace)          n2 ── p3 10.244.2.7
 *      ├── p1 10.244.1.5                         │ 192.168.1.20
 *      ├── p2 10.244.1.6                         │
 *      └── 192.168.1.10 ────────── lan ──────────┴── client 192.168.1.100
 *
 * and the same in IPv6 (`topology-links.ts`). Pods are on routed links of their own, and the LAN's bridge is in a namespace of its own:
 * were they on a bridge of n1, br_netfilter could send replies through n1 by accident and make a missing SNAT look right
 * (behaviour.md D). The client reaches service addresses through n1. Needs root in a network namespace that is ours: the test
 * kernel's, or one that `host-kernel.ts` made.
 */
import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { vipRouteProtocol } from '../../lib/plan/vip-binding.ts';
import { NetpeerClient, type NetpeerProtocol, type Outcome, startServer } from './netpeer.ts';
import { runTool } from './run-tool.ts';
import {
  linksText,
  namespaceNames,
  namespacePrefix,
  namespaceTexts,
  nodeLinks,
  nodeText,
  type PeerName,
} from './topology-links.ts';

export interface AskOptions {
  /** Requests, one after the other; 0 = until stopped. Default 1. */
  readonly count?: number;
  /** Pause between requests; default 0. */
  readonly intervalMs?: number;
  /** For each request; default 2000. */
  readonly timeoutMs?: number;
  readonly sourcePort?: number;
  /** All requests over one connection. */
  readonly keep?: boolean;
}

const forwarding = ['/proc/sys/net/ipv4/ip_forward', '/proc/sys/net/ipv6/conf/all/forwarding'] as const;

export class Topology implements AsyncDisposable {
  readonly #processes: ChildProcess[] = [];

  /** Makes namespaces, links, addresses and routes. What an earlier topology left behind is removed first. */
  static async create(): Promise<Topology> {
    assertOwnNamespace();
    await removeNamespaces();
    const makeNamespaces = namespaceNames.map((name) => `netns add ${namespacePrefix}${name}\n`).join('');
    await runTool('ip', ['-batch', '-'], { input: makeNamespaces + linksText() + nodeText() });
    for (const name of namespaceNames)
      await runTool('ip', ['-n', namespacePrefix + name, '-batch', '-'], { input: namespaceTexts[name] });
    writeFileSync(forwarding[0], '1');
    writeFileSync(forwarding[1], '1');
    await runTool('ip', ['netns', 'exec', `${namespacePrefix}n2`, 'tee', ...forwarding], { input: '1' });
    await allowManyConnections();
    return new Topology();
  }

  /** Starts a server on a peer, called as the peer; resolves when it listens. Ports as `tcp:8080`. */
  async serve(on: PeerName, ...ports: readonly `${NetpeerProtocol}:${number}`[]): Promise<void> {
    this.#processes.push(await startServer(namespaceOf(on), on, ports));
  }

  /** What becomes of requests from a peer to an address. */
  async ask(
    from: PeerName,
    protocol: NetpeerProtocol,
    address: string,
    port: number,
    options: AskOptions = {},
  ): Promise<readonly Outcome[]> {
    return await this.startAsking(from, protocol, address, port, options).outcomes();
  }

  /** The same, for a single request. */
  async askOnce(
    from: PeerName,
    protocol: NetpeerProtocol,
    address: string,
    port: number,
    options: Omit<AskOptions, 'count'> = {},
  ): Promise<Outcome> {
    const [outcome] = await this.ask(from, protocol, address, port, options);
    if (outcome === undefined) throw new Error(`netpeer ask ${protocol} ${address} ${port} said nothing`);
    return outcome;
  }

  /** A client whose outcomes are read while it goes on. */
  startAsking(
    from: PeerName,
    protocol: NetpeerProtocol,
    address: string,
    port: number,
    options: AskOptions = {},
  ): NetpeerClient {
    const client = new NetpeerClient(namespaceOf(from), [protocol, address, String(port), ...flags(options)]);
    this.#processes.push(client.process);
    return client;
  }

  /** Ends servers and clients, and removes the namespaces with all their links. What a proxier wrote stays: see `clearTables`. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.#processes.splice(0)) process.kill('SIGKILL');
    await removeNamespaces();
  }
}

/** Empties IPVS, conntrack, ipset and iptables of this namespace and removes kube-ipvs0 and the routes of VIPs, for the next test's clean start. */
export async function clearTables(): Promise<void> {
  assertOwnNamespace();
  const mayFail = { mayFail: true } as const;
  await runTool('ipvsadm', ['-C'], mayFail);
  for (const tool of [
    'iptables-legacy-restore',
    'ip6tables-legacy-restore',
    'iptables-nft-restore',
    'ip6tables-nft-restore',
  ])
    await runTool(tool, [], { input: '*nat\nCOMMIT\n*filter\nCOMMIT\n', ...mayFail });
  await runTool('ipset', ['destroy'], mayFail);
  await runTool('ip', ['link', 'delete', 'kube-ipvs0'], mayFail);
  for (const family of ['-4', '-6'])
    await runTool('ip', [family, 'route', 'flush', 'table', 'local', 'proto', String(vipRouteProtocol)], mayFail);
  await runTool('conntrack', ['-F'], mayFail);
}

/** The name for `ip netns` of a peer; undefined for n1, which is this process's own namespace. */
export function namespaceOf(name: PeerName): string | undefined {
  return name === 'n1' ? undefined : namespacePrefix + name;
}

/** Everything here changes or empties the tables of the namespace it runs in, so it must not be a machine's own by mistake. */
function assertOwnNamespace(): void {
  if (process.env['TEST_KERNEL'] === undefined)
    throw new Error('this needs the test kernel (test-kernel.ts) or a namespace of its own (host-kernel.ts)');
}

function flags(options: AskOptions): string[] {
  const values = {
    '--count': options.count,
    '--interval-ms': options.intervalMs,
    '--timeout-ms': options.timeoutMs,
    '--source-port': options.sourcePort,
  };
  const given = Object.entries(values).flatMap(([flag, value]) => (value === undefined ? [] : [flag, String(value)]));
  return options.keep === true ? [...given, '--keep'] : given;
}

/** The test kernel has little memory and so room for 8192 connections; a busy client fills that, and packets are dropped. */
async function allowManyConnections(): Promise<void> {
  if (process.env['TEST_KERNEL'] !== 'uml') return;
  await runTool('modprobe', ['nf_conntrack']);
  writeFileSync('/proc/sys/net/netfilter/nf_conntrack_max', '262144');
}

async function removeNamespaces(): Promise<void> {
  // Deleting a namespace deletes its end of a pair and so the other end, but some time later: a new pair of that name would collide.
  const links = nodeLinks.map((link) => `link delete ${link}\n`).join('');
  const left = namespaceNames.map((name) => `netns delete ${namespacePrefix}${name}\n`).join('');
  await runTool('ip', ['-force', '-batch', '-'], { input: links + left, mayFail: true });
}

export { addresses, clusterCidrs, type PeerName, podGateways } from './topology-links.ts';

/** What an embedder may say about a Proxier. Validated by `options-schema.ts` in the constructor. */
import type { KubeAuth } from '../kube/credentials.ts';
import type { SchedulerHook, WeightHook } from '../kube/hooks.ts';
import type { Source } from '../kube/source.ts';
import type { ConntrackTuning } from '../reconcile/protocol.ts';
import type { IpFamily, IpvsTimeouts, Logger } from '../types.ts';

/**
 * How packets from pods of this node are told from the rest, which decides what is masqueraded on its way to a cluster IP
 * (behaviour.md 4.4).
 */
export type DetectLocalOption =
  /** By source address: pods are in `clusterCIDR`. Without one (for a family) only node processes are masqueraded. */
  | { readonly mode: 'ClusterCIDR' }
  /** By source address: pods are in `Node.spec.podCIDRs` of this node. */
  | { readonly mode: 'NodeCIDR' }
  /** By interface: pods come in through this bridge, at most 15 bytes. */
  | { readonly mode: 'BridgeInterface'; readonly bridge: string }
  /** By interface: pods come in through interfaces whose names begin so, at most 14 bytes. */
  | { readonly mode: 'InterfaceNamePrefix'; readonly prefix: string };

/** The options with a default, whatever the objects come from. */
export interface ProxierSettings {
  /**
   * Name of the Node object of this machine; trimmed and lower-cased as Kubernetes does with host names. It decides which
   * endpoints are local. Default: the host name in lower case.
   */
  readonly nodeName?: string;
  /**
   * This node's primary address, in place of the one its Node object names: what `nodePortAddresses: 'primary'` and the test whether this node
   * is in loadBalancerSourceRanges go by. Nothing is bound to it; the name is kube-proxy's. Default, and `0.0.0.0` and `::`: the Node's own.
   */
  readonly bindAddress?: string;
  /**
   * Serve only Services labelled `service.kubernetes.io/service-proxy-name` with this value. Default, and the empty string: only
   * Services without that label. Not with `source`, whose sources choose for themselves.
   */
  readonly serviceProxyName?: string;
  /**
   * IPVS scheduler of every virtual service: `rr`, `wrr`, `lc`, `wlc`, `sh`, `mh`, `sed`, `nq`, … At most 15 bytes. One that the kernel does
   * not know makes `run()` reject with ERR_SCHEDULER_UNKNOWN. Default `rr`.
   */
  readonly scheduler?: string;
  /** The addresses of all pods: a CIDR, or at most one per family. Used by `detectLocal` mode ClusterCIDR only. Default: none. */
  readonly clusterCIDR?: string | readonly string[];
  /** Default `{ mode: 'ClusterCIDR' }`. */
  readonly detectLocal?: DetectLocalOption;
  /** Masquerade everything that goes to a cluster IP, whatever `detectLocal` says. Default false. */
  readonly masqueradeAll?: boolean;
  /** Bit of the packet mark that stands for "masquerade", 0 to 31 (0 is the lowest bit). Default 14, mark 0x4000, as kube-proxy. */
  readonly masqueradeBit?: number;
  /**
   * Addresses of this node that answer on node ports: CIDRs, or `primary` for the Node object's own addresses. Default, and an
   * empty list: all addresses of the node but loopback.
   */
  readonly nodePortAddresses?: readonly string[] | 'primary';
  /**
   * Where external traffic (node ports, external IPs, load balancer IPs) of a Service with externalTrafficPolicy Local goes on a node without
   * a local endpoint: `cluster` (default, as kube-proxy's IPVS mode): to all endpoints; `none`: nowhere, as the API says. Internal traffic
   * of internalTrafficPolicy Local never leaves the node.
   */
  readonly externalLocalFallback?: 'cluster' | 'none';
  /**
   * A load balancer IP of a Service whose loadBalancerSourceRanges are all of the other family: `deny` (default): nobody may reach it;
   * `allow`: everybody, as with kube-proxy.
   */
  readonly sourceRangesOfOtherFamily?: 'deny' | 'allow';
  /**
   * CIDRs that entries of `spec.externalIPs` have to be in; others are not served, with a warning. Whoever may write Services could
   * otherwise take over any address (CVE-2020-8554). An empty list: none is served. Default: any, but for the addresses of other Nodes.
   */
  readonly allowedExternalIPs?: readonly string[];
  /**
   * How this host comes to take a VIP's packets. `address`: an address on kube-ipvs0, as kube-proxy. `local-route`: a route of type local and
   * no address, which the kernel adds and finds without looking at all others; docs/vip-binding.md says what is different. Changing it moves
   * the VIPs there are, without an interruption. Default `address`.
   */
  readonly vipBinding?: 'address' | 'local-route';
  /** Families to serve. Default: IPv4, and IPv6 when the kernel has it (`/proc/net/if_inet6`). */
  readonly families?: readonly IpFamily[];
  /** Everything in the kernel is looked at once in this time, little by little, and mended, in ms, from 100. Default 30,000. */
  readonly syncPeriodMs?: number;
  /**
   * Least time between two rounds of changes, in ms, at most `syncPeriodMs`. Default 0: a change goes to the kernel at once, and what
   * arrives while it is written makes the next round.
   */
  readonly minSyncPeriodMs?: number;
  /**
   * A TCP destination that is no longer wanted keeps its open connections this long, in ms. Default 900,000. 0: it is deleted at the next
   * drain tick, and its connections with it.
   */
  readonly drainTimeoutMs?: number;
  /**
   * A virtual service whose Service or port is gone stays for open TCP connections as long as a destination would, with all that makes it
   * reachable; new connections are refused, and whoever wants it again has it at once. That goes for what an earlier process left, too.
   * Default false: it goes at once, as with kube-proxy.
   */
  readonly drainServices?: boolean;
  /**
   * Whose virtual services are removed when no Service wants them: those that are ours by what the kernel shows (`ledger`, the default), or
   * `all` but those of firewall marks and in `excludeCIDRs`, as kube-proxy does it.
   */
  readonly ownership?: 'ledger' | 'all';
  /** CIDRs: a virtual service on an address in them is never removed. It is written, and its destinations drain, like any other. Default: none. */
  readonly excludeCIDRs?: readonly string[];
  /** Overwrite virtual services that are wanted, there, different, and not ours. Default false: reported as `contested`, left alone. */
  readonly takeOver?: boolean;
  /** Start although another proxier or a kube-proxy works in this network namespace. Default false: `run()` rejects with ERR_OTHER_PROXIER. */
  readonly ignoreOtherProxiers?: boolean;
  /** Which iptables to use. Default `auto`: the one the host uses. */
  readonly iptables?: 'auto' | 'legacy' | 'nft';
  /** Write sysctls that are wrong for IPVS (behaviour.md 5.2). Default true; false: only report them. */
  readonly applySysctls?: boolean;
  /**
   * Interfaces answer ARP only for their own addresses (net.ipv4.conf.all arp_ignore 1, arp_announce 2): needed beside MetalLB in layer 2 mode
   * and kube-vip. Default false: left as they are.
   */
  readonly strictARP?: boolean;
  /** IPVS's idle time-outs in whole seconds, for the whole network namespace. 0 or absent: left as it is (the kernel's: 900, 120, 300). */
  readonly ipvsTimeouts?: Partial<IpvsTimeouts>;
  /** Connection tracking of the host, as kube-proxy sets it. Default: left alone. */
  readonly conntrack?: ConntrackTuning;
  /**
   * Which Nodes of a cluster are watched. `own` (default): that of this machine. `all`: what is said of other Nodes is known, too: external IPs
   * that are another Node's address are refused, and endpoints get weights by the labels and zones of their Nodes. It costs about 2 kB a
   * Node. Files and own sources deliver the Nodes they have, whatever is said here.
   */
  readonly watchNodes?: 'own' | 'all';
  /**
   * The weight of an endpoint, before what annotations say of it (docs/annotations.md). Called on this thread for each endpoint of an EndpointSlice
   * when the slice, its Service, or the endpoint's Node changes. One that throws, or gives something else, is a warning, and the annotations count.
   * With this hook, what it may look at is kept in memory: all Services, EndpointSlices and Nodes that are watched.
   */
  readonly weightFor?: WeightHook;
  /** The scheduler of a Service, before what annotations and `scheduler` say. Called on this thread when a Service changes; faults are as with `weightFor`. */
  readonly schedulerFor?: SchedulerHook;
  /**
   * Writes what the sources say to this file, from the first word on, for `ipvs-proxier replay` and `openRecording` (docs/simulation.md). One that is
   * there is kept as `path.1`; the recording ends before it is longer than `maxBytes` (default 268,435,456). A file that cannot be written is a
   * warning. No credentials are in it. A `plan()` before `run()` is not recorded; but where the sources are yours, which speak only once, the
   * recording begins with it. Default: nothing is recorded.
   */
  readonly record?: string | { readonly path: string; readonly maxBytes?: number };
  /**
   * Where this proxier answers questions while it runs, by HTTP over a unix socket of mode 0600 (docs/observability.md): a path, or false for none.
   * Default: `/run/ipvs-proxier/<inode of the network namespace>.sock`. One that cannot be made is a warning.
   */
  readonly adminSocket?: string | false;
  /** Takes log lines: `pino()` and `console` fit. Default: nothing is logged. */
  readonly logger?: Logger;
  /** Aborting it is the same as `stop()`. */
  readonly signal?: AbortSignal;
  /** Where planning and kernel calls run. Default `worker`; `inline` blocks this thread for as long as the kernel takes. */
  readonly thread?: 'worker' | 'inline';
}

/** Where the Services, EndpointSlices and Nodes come from: exactly one of these. */
export type ProxierOrigin =
  /** A cluster, by a `KubeConfig` of @kubernetes/client-node or anything of its shape. */
  | { readonly kubeConfig: KubeAuth }
  /** A cluster, by a kubeconfig file. */
  | { readonly kubeconfigPath: string }
  /** The cluster this process is a pod of, by its service account. */
  | { readonly inCluster: true }
  /** A YAML or JSON file, or a directory of them, watched for changes. No cluster needed. */
  | { readonly manifests: string }
  /** Whatever the embedder has. Each source needs a name of its own. `plan()` before `run()` starts and stops it once more. */
  | { readonly source: Source | readonly Source[] };

export type ProxierOptions = ProxierSettings & ProxierOrigin;

export const ORIGIN_KEYS = ['kubeConfig', 'kubeconfigPath', 'inCluster', 'manifests', 'source'] as const;

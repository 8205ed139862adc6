/** The seventeen sets of each family (behaviour.md 3): names, types, and the comments their rules carry. */
import { familyOf } from '../address.ts';
import type { IpAddress, IpFamily, Protocol, SetEntry, SetRef, SetSpec, SetType } from '../types.ts';
import type { KernelState, ServiceId, SetName } from './state.ts';

/** Logical name of a set: the kernel name of the IPv4 one without its prefix. */
export type SetId =
  | 'LOOP-BACK'
  | 'CLUSTER-IP'
  | 'EXTERNAL-IP'
  | 'EXTERNAL-IP-LOCAL'
  | 'LOAD-BALANCER'
  | 'LOAD-BALANCER-FW'
  | 'LOAD-BALANCER-LOCAL'
  | 'LOAD-BALANCER-SOURCE-IP'
  | 'LOAD-BALANCER-SOURCE-CIDR'
  | 'NODE-PORT-TCP'
  | 'NODE-PORT-LOCAL-TCP'
  | 'NODE-PORT-UDP'
  | 'NODE-PORT-LOCAL-UDP'
  | 'NODE-PORT-SCTP-HASH'
  | 'NODE-PORT-LOCAL-SCTP-HASH'
  | 'HEALTH-CHECK-NODE-PORT'
  | 'IPVS-IPS';

interface SetDefinition {
  readonly type: SetType;
  /** `--comment` of the rules that use the set. */
  readonly comment: string;
}

const hashIpPort: SetType = 'hash:ip,port';

const definitions: Readonly<Record<SetId, SetDefinition>> = {
  'LOOP-BACK': {
    type: 'hash:ip,port,ip',
    comment: 'Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose',
  },
  'CLUSTER-IP': { type: hashIpPort, comment: 'Kubernetes service cluster ip + port for masquerade purpose' },
  'EXTERNAL-IP': {
    type: hashIpPort,
    comment: 'Kubernetes service external ip + port for masquerade and filter purpose',
  },
  'EXTERNAL-IP-LOCAL': {
    type: hashIpPort,
    comment: 'Kubernetes service external ip + port with externalTrafficPolicy=local',
  },
  'LOAD-BALANCER': { type: hashIpPort, comment: 'Kubernetes service lb portal' },
  'LOAD-BALANCER-FW': {
    type: hashIpPort,
    comment: 'Kubernetes service load balancer ip + port for load balancer with sourceRange',
  },
  'LOAD-BALANCER-LOCAL': {
    type: hashIpPort,
    comment: 'Kubernetes service load balancer ip + port with externalTrafficPolicy=local',
  },
  'LOAD-BALANCER-SOURCE-IP': {
    type: 'hash:ip,port,ip',
    comment: 'Kubernetes service load balancer ip + port + source IP for packet filter purpose',
  },
  'LOAD-BALANCER-SOURCE-CIDR': {
    type: 'hash:ip,port,net',
    comment: 'Kubernetes service load balancer ip + port + source cidr for packet filter purpose',
  },
  'NODE-PORT-TCP': { type: 'bitmap:port', comment: 'Kubernetes nodeport TCP port for masquerade purpose' },
  'NODE-PORT-LOCAL-TCP': {
    type: 'bitmap:port',
    comment: 'Kubernetes nodeport TCP port with externalTrafficPolicy=local',
  },
  'NODE-PORT-UDP': { type: 'bitmap:port', comment: 'Kubernetes nodeport UDP port for masquerade purpose' },
  'NODE-PORT-LOCAL-UDP': {
    type: 'bitmap:port',
    comment: 'Kubernetes nodeport UDP port with externalTrafficPolicy=local',
  },
  'NODE-PORT-SCTP-HASH': {
    type: hashIpPort,
    comment: "Kubernetes nodeport SCTP port for masquerade purpose with type 'hash ip:port'",
  },
  'NODE-PORT-LOCAL-SCTP-HASH': {
    type: hashIpPort,
    comment: "Kubernetes nodeport SCTP port with externalTrafficPolicy=local with type 'hash ip:port'",
  },
  'HEALTH-CHECK-NODE-PORT': { type: 'bitmap:port', comment: 'Kubernetes health check node port' },
  'IPVS-IPS': { type: 'hash:ip', comment: 'Addresses on the ipvs interface' },
};

/** IPSET_MAXNAMELEN of include/uapi/linux/netfilter/ipset/ip_set.h is 32 with the NUL. */
const maxNameLength = 31;

/** Kernel name: `KUBE-CLUSTER-IP`, `KUBE-6-CLUSTER-IP`; two of the IPv6 names are cut to 31 characters. */
export function setName(id: SetId, family: IpFamily): SetName {
  return names[family][id];
}

function namesIn(prefix: string): Readonly<Record<SetId, SetName>> {
  const name = (id: SetId): SetName => `${prefix}${id}`.slice(0, maxNameLength);
  return {
    'LOOP-BACK': name('LOOP-BACK'),
    'CLUSTER-IP': name('CLUSTER-IP'),
    'EXTERNAL-IP': name('EXTERNAL-IP'),
    'EXTERNAL-IP-LOCAL': name('EXTERNAL-IP-LOCAL'),
    'LOAD-BALANCER': name('LOAD-BALANCER'),
    'LOAD-BALANCER-FW': name('LOAD-BALANCER-FW'),
    'LOAD-BALANCER-LOCAL': name('LOAD-BALANCER-LOCAL'),
    'LOAD-BALANCER-SOURCE-IP': name('LOAD-BALANCER-SOURCE-IP'),
    'LOAD-BALANCER-SOURCE-CIDR': name('LOAD-BALANCER-SOURCE-CIDR'),
    'NODE-PORT-TCP': name('NODE-PORT-TCP'),
    'NODE-PORT-LOCAL-TCP': name('NODE-PORT-LOCAL-TCP'),
    'NODE-PORT-UDP': name('NODE-PORT-UDP'),
    'NODE-PORT-LOCAL-UDP': name('NODE-PORT-LOCAL-UDP'),
    'NODE-PORT-SCTP-HASH': name('NODE-PORT-SCTP-HASH'),
    'NODE-PORT-LOCAL-SCTP-HASH': name('NODE-PORT-LOCAL-SCTP-HASH'),
    'HEALTH-CHECK-NODE-PORT': name('HEALTH-CHECK-NODE-PORT'),
    'IPVS-IPS': name('IPVS-IPS'),
  };
}

/** Made once: every entry is asked for by the name of its set. */
const names: Readonly<Record<IpFamily, Readonly<Record<SetId, SetName>>>> = {
  IPv4: namesIn('KUBE-'),
  IPv6: namesIn('KUBE-6-'),
};

export function setComment(id: SetId): string {
  return definitions[id].comment;
}

export function setType(id: SetId): SetType {
  return definitions[id].type;
}

export const setIds: readonly SetId[] = Object.keys(definitions).filter(isSetId);

function isSetId(text: string): text is SetId {
  return Object.hasOwn(definitions, text);
}

/** All seventeen, used or not: the rules name them always. Sizes are the kernel's defaults, as kube-proxy makes them. */
export function setSpecs(family: IpFamily): SetSpec[] {
  return setIds.map((id) => {
    const ref: SetRef = { name: setName(id, family), type: definitions[id].type, family };
    return ref.type === 'bitmap:port' ? ref : { ...ref, hashSize: 1024, maxElements: 65536 };
  });
}

/** The sets whose entries are a virtual service's own address, protocol and port; they are the ledger (design.md). */
export const tupleSetIds: readonly SetId[] = ['CLUSTER-IP', 'LOAD-BALANCER', 'EXTERNAL-IP', 'EXTERNAL-IP-LOCAL'];

/** Whether the entry is in a tuple set. */
export function hasTuple(sets: KernelState['sets'], family: IpFamily, entry: SetEntry): boolean {
  return tupleSetIds.some((id) => sets.get(setName(id, family))?.has(entry) === true);
}

/** The sets that restrict who may reach a load balancer IP. */
export const guardSetIds: readonly SetId[] = [
  'LOAD-BALANCER-FW',
  'LOAD-BALANCER-SOURCE-IP',
  'LOAD-BALANCER-SOURCE-CIDR',
];

/** Its entries let somebody in to what a firewall entry closes. */
export function isRangeSet(id: SetId): boolean {
  return guardSetIds.includes(id) && id !== 'LOAD-BALANCER-FW';
}

/** Sets that exempt traffic from SNAT; each entry has a twin in the set of the same name without `-LOCAL`. */
export const localTwins: ReadonlyMap<SetId, SetId> = new Map([
  ['NODE-PORT-LOCAL-TCP', 'NODE-PORT-TCP'],
  ['NODE-PORT-LOCAL-UDP', 'NODE-PORT-UDP'],
  ['NODE-PORT-LOCAL-SCTP-HASH', 'NODE-PORT-SCTP-HASH'],
  ['LOAD-BALANCER-LOCAL', 'LOAD-BALANCER'],
]);

/** The set of a node port and, for externalTrafficPolicy Local, its twin. */
export function nodePortSets(protocol: Protocol): { readonly all: SetId; readonly local: SetId } {
  switch (protocol) {
    case 'tcp':
      return { all: 'NODE-PORT-TCP', local: 'NODE-PORT-LOCAL-TCP' };
    case 'udp':
      return { all: 'NODE-PORT-UDP', local: 'NODE-PORT-LOCAL-UDP' };
    case 'sctp':
      return { all: 'NODE-PORT-SCTP-HASH', local: 'NODE-PORT-LOCAL-SCTP-HASH' };
  }
}

/** The sets that ask for SNAT of node ports. */
export const nodePortIds: ReadonlySet<SetId> = new Set([...localTwins.values()].filter((id) => id !== 'LOAD-BALANCER'));

/** Which set of which family a kernel name is; undefined = none of ours. */
export function setIdOf(name: SetName): { readonly id: SetId; readonly family: IpFamily } | undefined {
  return byName.get(name);
}

const byName: ReadonlyMap<SetName, { readonly id: SetId; readonly family: IpFamily }> = new Map(
  (['IPv4', 'IPv6'] as const).flatMap((family) => setIds.map((id) => [setName(id, family), { id, family }])),
);

/** The entry of an address, protocol and port: `10.96.0.10,tcp:80`. */
export function tupleEntry(address: IpAddress, protocol: Protocol, port: number): SetEntry {
  return `${address},${protocol}:${port}`;
}

/** `10.96.0.10,tcp:80` and what begins so → `tcp 10.96.0.10:80`; undefined for a bare port or address. */
export function serviceOfTuple(entry: SetEntry): ServiceId | undefined {
  const [address = '', protocolPort] = entry.split(',');
  if (protocolPort === undefined) return undefined;
  const [protocol, port] = protocolPort.split(':');
  return `${protocol} ${address.includes(':') ? `[${address}]` : address}:${port}`;
}

/** Name of the set that lists the bound addresses of this address's family. */
export function boundSetOf(address: IpAddress): SetName {
  return setName('IPVS-IPS', familyOf(address));
}

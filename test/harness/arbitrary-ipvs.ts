/** Virtual services and destinations of every kind that ipvsadm can write, and their text in its notation. */
import fc from 'fast-check';
import {
  type Destination,
  type IpAddress,
  type IpFamily,
  ServiceFlag,
  type ServiceKey,
  type Tunnel,
  type VirtualService,
} from '../../lib/types.ts';
import { addresses, families, ports } from './arbitrary-kernel.ts';

export interface GeneratedService {
  readonly service: VirtualService;
  readonly destinations: readonly Destination[];
}

/** `ip_vs_twos` is left out of Debian's kernels. */
const schedulers = ['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'sh', 'dh', 'sed', 'nq', 'fo', 'ovf', 'mh'];

function familyOf(key: ServiceKey): IpFamily {
  return 'fwmark' in key ? key.family : key.address.includes(':') ? 'IPv6' : 'IPv4';
}

function keys(family: IpFamily): fc.Arbitrary<ServiceKey> {
  return fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'sctp' as const),
        address: addresses(family, 96),
        port: ports,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ fwmark: fc.integer({ min: 1, max: 0xffff_ffff }), family: fc.constant(family) }),
    },
  );
}

/** Persistence as ipvsadm allows it: a granularity, an engine, and "all ports" only with it. */
const persistences = fc.option(
  fc.record({
    timeoutSeconds: fc.integer({ min: 1, max: 2_147_483 }),
    prefix: fc.option(fc.integer({ min: 1, max: 128 })),
    allPorts: fc.integer({ min: 0, max: 5 }).map((dice) => dice === 0),
    engine: fc.integer({ min: 0, max: 3 }).map((dice) => dice === 0),
  }),
);

const services: fc.Arbitrary<VirtualService> = families.chain((family) =>
  fc
    .record({
      key: keys(family),
      scheduler: fc.constantFrom(...schedulers),
      persistence: persistences,
      flags: fc.constantFrom(0, 0, 0x8, 0x10, 0x18, 0x20, 0x38),
      onePacket: fc.boolean(),
    })
    .map(({ key, scheduler, persistence, flags, onePacket }) => {
      const isMark = 'fwmark' in key;
      const full = family === 'IPv4' ? 32 : 128;
      // The third bit of sh and mh has no name, and ipvsadm does not write what has none.
      const named = scheduler === 'sh' || scheduler === 'mh' ? flags & 0x18 : flags;
      const udp = isMark || key.protocol === 'udp';
      const prefixLength = persistence?.prefix === null ? full : Math.min(persistence?.prefix ?? full, full);
      return {
        key: !isMark && persistence?.allPorts === true ? { ...key, port: 0 } : key,
        scheduler,
        flags:
          named | (persistence === null ? 0 : ServiceFlag.persistent) | (onePacket && udp ? ServiceFlag.onePacket : 0),
        timeoutSeconds: persistence?.timeoutSeconds ?? 0,
        ...(prefixLength !== full && { prefixLength }),
        ...(persistence?.engine === true && !isMark && key.protocol === 'udp' && { persistenceEngine: 'sip' }),
      };
    }),
);

const tunnels: fc.Arbitrary<Tunnel | undefined> = fc.oneof(
  fc.constant(undefined),
  fc.record({ port: ports, sum: fc.constantFrom('none', 'checksum', 'remoteChecksum') }).map(({ port, sum }) => ({
    type: 'gue' as const,
    port,
    ...(sum !== 'none' && { [sum]: true }),
  })),
  fc.boolean().map((checksum) => ({ type: 'gre' as const, ...(checksum && { checksum }) })),
);

function destinationsOf(key: ServiceKey): fc.Arbitrary<readonly Destination[]> {
  const family = familyOf(key);
  const servicePort = 'fwmark' in key ? 0 : key.port;
  return fc.uniqueArray(
    fc
      .record({
        own: addresses(family, 244),
        other: addresses(family === 'IPv4' ? 'IPv6' : 'IPv4', 245),
        port: ports,
        forward: fc.constantFrom('masquerade' as const, 'masquerade' as const, 'direct' as const, 'tunnel' as const),
        tunnel: tunnels,
        isMixed: fc.integer({ min: 0, max: 4 }).map((dice) => dice === 0),
        weight: fc.oneof(fc.constantFrom(0, 1), fc.integer({ min: 0, max: 65535 })),
        thresholds: fc.option(
          fc.tuple(fc.integer({ min: 1, max: 0x7fff_ffff }), fc.integer({ min: 0, max: 0x7fff_ffff })),
        ),
      })
      .map(({ own, other, port, forward, tunnel, isMixed, weight, thresholds }): Destination => {
        const [upper, lower] = thresholds ?? [0, 0];
        const lowerThreshold = Math.min(upper, lower);
        return {
          address: forward === 'tunnel' && isMixed ? other : own,
          // Only NAT can change the port: ipvsadm takes the service's for all else, and does not say so.
          port: forward === 'masquerade' ? port : servicePort,
          weight,
          forward,
          ...(upper > 0 && { upperThreshold: upper }),
          ...(lowerThreshold > 0 && { lowerThreshold }),
          ...(forward === 'tunnel' && tunnel !== undefined && { tunnel }),
        };
      }),
    { maxLength: 3, selector: ({ address, port }) => `${address} ${port}` },
  );
}

export const serviceBatches: fc.Arbitrary<readonly GeneratedService[]> = fc.uniqueArray(
  services.chain((service) => destinationsOf(service.key).map((destinations) => ({ service, destinations }))),
  { minLength: 50, maxLength: 50, selector: ({ service }) => keyText(service.key) },
);

function endpoint(address: IpAddress, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function keyText(key: ServiceKey): string {
  if ('fwmark' in key) return `-f ${key.fwmark}${key.family === 'IPv6' ? ' -6' : ''}`;
  const option = { tcp: '-t', udp: '-u', sctp: '--sctp-service' }[key.protocol];
  return `${option} ${endpoint(key.address, key.port)}`;
}

/** `ipvsadm -S` writes marks as signed numbers, which `ipvsadm -R` refuses. */
export function withUnsignedMarks(line: string): string {
  return line.replace(/ -f (-\d+)/, (_, mark) => ` -f ${Number(mark) >>> 0}`);
}

const shiftedNames = { sh: ['sh-fallback', 'sh-port'], mh: ['mh-fallback', 'mh-port'] };

export function serviceText({
  key,
  scheduler,
  flags,
  timeoutSeconds,
  prefixLength,
  persistenceEngine,
}: VirtualService): string {
  let text = `-A ${keyText(key)} -s ${scheduler}`;
  if ((flags & ServiceFlag.persistent) !== 0) text += ` -p ${timeoutSeconds}`;
  if (prefixLength !== undefined) text += ` -M ${familyOf(key) === 'IPv4' ? dotted(prefixLength) : prefixLength}`;
  if (persistenceEngine !== undefined) text += ` --pe ${persistenceEngine}`;
  if ((flags & ServiceFlag.onePacket) !== 0) text += ' -o';
  const names = scheduler === 'sh' || scheduler === 'mh' ? shiftedNames[scheduler] : ['flag-1', 'flag-2', 'flag-3'];
  const set = names.filter((_, bit) => (flags & (ServiceFlag.sched1 << bit)) !== 0);
  return set.length === 0 ? text : `${text} -b ${set.join(',')}`;
}

function dotted(prefixLength: number): string {
  const bits = (0xffff_ffff << (32 - prefixLength)) >>> 0;
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 0xff).join('.');
}

/** As `ipvsadm -Sn` has it; the thresholds are not in there, and are asked for separately. */
export function destinationText(key: ServiceKey, destination: Destination): string {
  const { address, port, forward, weight, tunnel } = destination;
  const text = `-a ${keyText(key)} -r ${endpoint(address, port)} ${forwardOptions[forward]} -w ${weight}`;
  return forward === 'tunnel' ? `${text} ${tunnelText(tunnel)}` : text;
}

const forwardOptions = { masquerade: '-m', direct: '-g', tunnel: '-i', local: '', bypass: '' };

function tunnelText(tunnel: Tunnel | undefined): string {
  if (tunnel === undefined || tunnel.type === 'ipip') return '--tun-type ipip';
  const sum = tunnel.remoteChecksum === true ? 'remcsum' : tunnel.checksum === true ? 'csum' : 'nocsum';
  const port = tunnel.type === 'gue' ? ` --tun-port ${tunnel.port}` : '';
  return `--tun-type ${tunnel.type}${port} --tun-${sum}`;
}

export function thresholdsText({ upperThreshold = 0, lowerThreshold = 0 }: Destination): string {
  return ` -x ${upperThreshold} -y ${lowerThreshold}`;
}

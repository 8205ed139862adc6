/** The fake kernel's tables as the tools print the real ones: `ipvsadm -Sn`, `ipset save`, `ip -o addr`. Sorted, so that equal is equal. */
import { familyOf, fullPrefix } from '../address.ts';
import { type Destination, type ForwardMethod, ServiceFlag, type ServiceKey, type VirtualService } from '../types.ts';
import { type FakeTables, hostPort } from './fake-tables.ts';

const protocolFlag = { tcp: '-t', udp: '-u', sctp: '--sctp-service' } as const;
const forwardFlag: Record<ForwardMethod, string> = {
  masquerade: '-m',
  local: '-m',
  tunnel: '-i',
  direct: '-g',
  bypass: '-g',
};

/** `ipvsadm -Sn` */
export function ipvsText(tables: FakeTables): string {
  const blocks = [...tables.services.values()].map(({ service, destinations }) => {
    const name = serviceName(service.key);
    const lines = [...destinations.values()].map((destination) => `-a ${name} ${destinationText(destination)}`);
    return [`-A ${name} ${serviceText(service)}`, ...lines.sort()].join('\n');
  });
  return joinLines(blocks.sort());
}

/** `ipset save` */
export function ipsetText(tables: FakeTables): string {
  const blocks = [...tables.sets.values()].map(({ spec, entries }) => {
    const family = spec.family === 'IPv4' ? 'inet' : 'inet6';
    const options =
      spec.type === 'bitmap:port'
        ? 'range 0-65535'
        : `family ${family} hashsize ${spec.hashSize} maxelem ${spec.maxElements}`;
    return [
      `create ${spec.name} ${spec.type} ${options}`,
      ...[...entries].sort().map((entry) => `add ${spec.name} ${entry}`),
    ].join('\n');
  });
  return joinLines(blocks.sort());
}

/** `kube-ipvs0 10.96.0.1/32 global`, one address a line; links without addresses are listed as `link kind`. */
export function addressText(tables: FakeTables): string {
  const links = [...tables.links.values()].map(({ name, kind }) => `link ${name} ${kind === '' ? 'physical' : kind}`);
  const addresses = [...tables.addresses.values()].map(
    ({ link, address, prefixLength, scope, deprecated }) =>
      `${link} ${address}/${prefixLength} ${scope}${deprecated ? ' deprecated' : ''}`,
  );
  return joinLines([...links.sort(), ...addresses.sort()]);
}

function serviceName(key: ServiceKey): string {
  if ('fwmark' in key) return `-f ${key.fwmark}${key.family === 'IPv6' ? ' -6' : ''}`;
  return `${protocolFlag[key.protocol]} ${hostPort(key.address, key.port)}`;
}

function serviceText(service: VirtualService): string {
  const full = fullPrefix('fwmark' in service.key ? service.key.family : familyOf(service.key.address));
  const { prefixLength = full, persistenceEngine } = service;
  const parts = [`-s ${service.scheduler}`];
  if ((service.flags & ServiceFlag.persistent) !== 0) parts.push(`-p ${service.timeoutSeconds}`);
  if (prefixLength !== full) parts.push(`-M ${prefixLength}`);
  if (persistenceEngine !== undefined) parts.push(`--pe ${persistenceEngine}`);
  if ((service.flags & ServiceFlag.onePacket) !== 0) parts.push('-o');
  const schedulerFlags = [ServiceFlag.sched1, ServiceFlag.sched2, ServiceFlag.sched3]
    .map((flag, index) => ((service.flags & flag) === 0 ? '' : `flag-${index + 1}`))
    .filter((text) => text !== '');
  if (schedulerFlags.length > 0) parts.push(`-b ${schedulerFlags.join(',')}`);
  return parts.join(' ');
}

function destinationText(destination: Destination): string {
  const thresholds = [
    destination.upperThreshold ? ` -x ${destination.upperThreshold}` : '',
    destination.lowerThreshold ? ` -y ${destination.lowerThreshold}` : '',
  ].join('');
  const name = hostPort(destination.address, destination.port);
  return `-r ${name} ${forwardFlag[destination.forward]} -w ${destination.weight}${thresholds}`;
}

function joinLines(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}

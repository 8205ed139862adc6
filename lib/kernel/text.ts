/** Operations in the notation people know: the command that would do the same. For logs, plans and error messages; never executed. */
import type { Operation } from '../operations.ts';
import {
  type Destination,
  type DestinationKey,
  ServiceFlag,
  type ServiceKey,
  type SetSpec,
  type Tunnel,
  type VirtualService,
} from '../types.ts';
import { schedulerFlagNames } from './scheduler-flags.ts';
import { addressText, connectionText, localRouteText } from './text-route.ts';

/** One line, e.g. `ipvsadm -a -t 10.96.0.10:80 -r 10.244.1.5:8080 -m -w 1`. */
export function operationText(operation: Operation): string {
  switch (operation.verb) {
    case 'create-service':
    case 'ensure-service':
      return `ipvsadm -A ${serviceText(operation.service)}`;
    case 'update-service':
      return `ipvsadm -E ${serviceText(operation.service)}`;
    case 'remove-service':
      return `ipvsadm -D ${keyOption(operation.key)}`;
    case 'create-destination':
    case 'ensure-destination':
      return `ipvsadm -a ${keyOption(operation.key)} ${destinationText(operation.destination)}`;
    case 'update-destination':
      return `ipvsadm -e ${keyOption(operation.key)} ${destinationText(operation.destination)}`;
    case 'remove-destination':
      return `ipvsadm -d ${keyOption(operation.key)} -r ${endpoint(operation.destination)}`;
    case 'zero-service':
      return `ipvsadm -Z ${keyOption(operation.key)}`;
    case 'zero-services':
      return 'ipvsadm -Z';
    case 'flush-services':
      return 'ipvsadm -C';
    case 'set-timeouts': {
      const { tcpSeconds, tcpFinSeconds, udpSeconds } = operation.timeouts;
      return `ipvsadm --set ${tcpSeconds} ${tcpFinSeconds} ${udpSeconds}`;
    }
    case 'create-set':
      return `ipset create ${setText(operation.set)}`;
    case 'ensure-set':
      return `ipset -exist create ${setText(operation.set)}`;
    case 'remove-set':
      return `ipset destroy ${operation.name}`;
    case 'flush-set':
      return `ipset flush ${operation.name}`;
    case 'swap-sets':
      return `ipset swap ${operation.name} ${operation.other}`;
    case 'rename-set':
      return `ipset rename ${operation.name} ${operation.newName}`;
    case 'add-entry':
      return `ipset add ${operation.set.name} ${operation.entry}`;
    case 'remove-entry':
      return `ipset del ${operation.set.name} ${operation.entry}`;
    case 'ensure-link':
      return `ip link add ${operation.name} type dummy`;
    case 'remove-link':
      return `ip link del ${operation.name}`;
    case 'add-address':
      return `ip addr add ${addressText(operation.address)}`;
    case 'ensure-address':
      return `ip addr replace ${addressText(operation.address)}`;
    case 'add-local-route':
      return `ip route append ${localRouteText(operation.route)}`;
    case 'remove-local-route':
      return `ip route del ${localRouteText(operation.route)}`;
    case 'remove-connection':
      return `conntrack -D ${connectionText(operation)}`;
    case 'remove-address':
      return `ip addr del ${addressText(operation)}`;
  }
}

/** `tcp 10.96.0.10:80`, `fwmark 7 IPv6`: a virtual service as error messages name it. */
export function serviceKeyText(key: ServiceKey): string {
  return 'fwmark' in key ? `fwmark ${key.fwmark} ${key.family}` : `${key.protocol} ${endpoint(key)}`;
}

/** The object of an operation as error messages name it. */
export function objectText(operation: Operation): string {
  switch (operation.verb) {
    case 'create-service':
    case 'ensure-service':
    case 'update-service':
      return serviceKeyText(operation.service.key);
    case 'remove-service':
    case 'zero-service':
      return serviceKeyText(operation.key);
    case 'zero-services':
    case 'flush-services':
      return 'all services';
    case 'set-timeouts':
      return 'time-outs';
    case 'create-destination':
    case 'ensure-destination':
    case 'update-destination':
    case 'remove-destination':
      return `${serviceKeyText(operation.key)} -> ${endpoint(operation.destination)}`;
    case 'create-set':
    case 'ensure-set':
      return operation.set.name;
    case 'swap-sets':
      return `${operation.name} ${operation.other}`;
    case 'rename-set':
      return `${operation.name} ${operation.newName}`;
    case 'add-entry':
    case 'remove-entry':
      return `${operation.set.name} ${operation.entry}`;
    case 'add-address':
    case 'ensure-address':
      return addressText(operation.address);
    case 'add-local-route':
    case 'remove-local-route':
      return localRouteText(operation.route);
    case 'remove-connection':
      return connectionText(operation);
    case 'remove-address':
      return addressText(operation);
    default:
      return operation.name;
  }
}

function endpoint(where: DestinationKey): string {
  return where.address.includes(':') ? `[${where.address}]:${where.port}` : `${where.address}:${where.port}`;
}

const PROTOCOL_OPTION = { tcp: '-t', udp: '-u', sctp: '--sctp-service' } as const;

function keyOption(key: ServiceKey): string {
  if ('fwmark' in key) return key.family === 'IPv6' ? `-f ${key.fwmark} -6` : `-f ${key.fwmark}`;
  return `${PROTOCOL_OPTION[key.protocol]} ${endpoint(key)}`;
}

const FORWARD_OPTION = { masquerade: '-m', direct: '-g', tunnel: '-i', local: '--local', bypass: '--bypass' } as const;

function serviceText(service: VirtualService): string {
  const { key, flags, prefixLength } = service;
  let text = `${keyOption(key)} -s ${service.scheduler}`;
  if ((flags & ServiceFlag.persistent) !== 0) text += ` -p ${service.timeoutSeconds}`;
  if (prefixLength !== undefined) {
    const family6 = 'fwmark' in key ? key.family === 'IPv6' : key.address.includes(':');
    text += ` -M ${family6 ? prefixLength : netmask(prefixLength)}`;
  }
  if ((flags & ServiceFlag.onePacket) !== 0) text += ' -o';
  const scheduler = schedulerFlagNames(service.scheduler, flags);
  if (scheduler.length > 0) text += ` -b ${scheduler.join(',')}`;
  if (service.persistenceEngine !== undefined) text += ` --pe ${service.persistenceEngine}`;
  return text;
}

function netmask(prefixLength: number): string {
  const bits = prefixLength === 0 ? 0 : (0xffff_ffff << (32 - prefixLength)) >>> 0;
  return [bits >>> 24, (bits >>> 16) & 0xff, (bits >>> 8) & 0xff, bits & 0xff].join('.');
}

function destinationText(destination: Destination): string {
  const { forward, weight, upperThreshold = 0, lowerThreshold = 0 } = destination;
  let text = `-r ${endpoint(destination)} ${FORWARD_OPTION[forward]}`;
  if (destination.tunnel !== undefined) text += tunnelText(destination.tunnel);
  text += ` -w ${weight}`;
  if (upperThreshold !== 0) text += ` -x ${upperThreshold}`;
  if (lowerThreshold !== 0) text += ` -y ${lowerThreshold}`;
  return text;
}

function tunnelText({ type, port, checksum, remoteChecksum }: Tunnel): string {
  let text = ` --tun-type ${type}`;
  if (port !== undefined) text += ` --tun-port ${port}`;
  if (checksum === true) text += ' --tun-csum';
  if (remoteChecksum === true) text += ' --tun-remcsum';
  return text;
}

function setText(set: SetSpec): string {
  const { hashSize = 0, maxElements = 0, timeoutSeconds } = set;
  let text = `${set.name} ${set.type}`;
  if (set.type === 'bitmap:port') {
    text += ' range 0-65535';
  } else {
    text += ` family ${set.family === 'IPv4' ? 'inet' : 'inet6'}`;
    if (hashSize !== 0) text += ` hashsize ${hashSize}`;
    if (maxElements !== 0) text += ` maxelem ${maxElements}`;
  }
  if (timeoutSeconds !== undefined) text += ` timeout ${timeoutSeconds}`;
  if (set.comment === true) text += ' comment';
  return text;
}

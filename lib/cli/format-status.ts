/** The kernel's tables in columns, as `ipvsadm -ln` shows them and with what it does not know: whose they are. */
import { hostPort } from '../plan/state.ts';
import { ServiceFlag, type ServiceKey, type VirtualService } from '../types.ts';
import type { KernelStatus } from './read-status.ts';

type Row = readonly string[];

export function formatStatus({ services, sets, boundAddresses }: KernelStatus): string {
  const rows: Row[] = [['PROT', 'ADDRESS:PORT', 'SCHEDULER', 'FLAGS', '', '', 'OWNER']];
  rows.push(['', '-> DESTINATION', 'FORWARD', 'WEIGHT', 'ACTIVE', 'INACTIVE', '']);
  for (const service of services) {
    const { protocol, address } = keyText(service.key);
    rows.push([protocol, address, service.scheduler, flagsText(service), '', '', service.owner]);
    for (const destination of service.destinations) {
      const { weight, activeConnections, inactiveConnections, forward } = destination;
      const to = `-> ${hostPort(destination.address, destination.port)}`;
      rows.push(['', to, forward, String(weight), String(activeConnections), String(inactiveConnections), '']);
    }
  }
  const destinations = services.reduce((sum, service) => sum + service.destinations.length, 0);
  const foreign = services.filter(({ owner }) => owner === 'foreign').length;
  // A bitmap of ports holds no address; the kernel says IPv4 of all of them.
  const setRows = sets.map(({ name, type, family, entries }) => [
    name,
    type,
    type === 'bitmap:port' ? '-' : family,
    String(entries),
  ]);
  return [
    table(rows),
    `\n${services.length} virtual services (${foreign} foreign), ${destinations} destinations\n`,
    `\n${table([['SET', 'TYPE', 'FAMILY', 'ENTRIES'], ...setRows])}`,
    `\n${boundAddresses.length} addresses on kube-ipvs0${boundAddresses.length === 0 ? '' : `: ${boundAddresses.join(' ')}`}\n`,
  ].join('');
}

function keyText(key: ServiceKey): { readonly protocol: string; readonly address: string } {
  if ('fwmark' in key) return { protocol: 'fwm', address: `${key.fwmark} ${key.family}` };
  return { protocol: key.protocol, address: hostPort(key.address, key.port) };
}

/** In ipvsadm's words. */
function flagsText({ flags, timeoutSeconds }: VirtualService): string {
  const words = [
    flags & ServiceFlag.persistent ? `persistent ${timeoutSeconds}s` : '',
    flags & ServiceFlag.onePacket ? 'ops' : '',
    flags & ServiceFlag.sched1 ? 'flag-1' : '',
    flags & ServiceFlag.sched2 ? 'flag-2' : '',
    flags & ServiceFlag.sched3 ? 'flag-3' : '',
  ].filter((word) => word !== '');
  return words.length === 0 ? '-' : words.join(',');
}

function table(rows: readonly Row[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

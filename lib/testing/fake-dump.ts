/**
 * The fake kernel's tables as the tools print the real ones: `ipvsadm -Sn` (with the thresholds, which it leaves out), `ipset save`, `ip -o addr`,
 * `ip route`. Sorted, so that equal is equal.
 */
import { operationText } from '../kernel/text.ts';
import type { Operation } from '../operations.ts';
import type { FakeTables } from './fake-tables.ts';

/** The operation that would make it, without the name of the tool. */
function option(operation: Operation, tool: string): string {
  return operationText(operation).slice(tool.length + 1);
}

/** `ipvsadm -Sn` */
export function ipvsText(tables: FakeTables): string {
  const blocks = [...tables.services.values()].map(({ service, destinations }) => {
    const { key } = service;
    const lines = [...destinations.values()].map((destination) =>
      option({ verb: 'create-destination', key, destination }, 'ipvsadm'),
    );
    return [option({ verb: 'create-service', service }, 'ipvsadm'), ...lines.sort()].join('\n');
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
    const timeout = spec.timeoutSeconds === undefined ? '' : ` timeout ${spec.timeoutSeconds}`;
    return [
      `create ${spec.name} ${spec.type} ${options}${timeout}${spec.comment === true ? ' comment' : ''}`,
      ...[...entries].sort().map((entry) => `add ${spec.name} ${entry}`),
    ].join('\n');
  });
  return joinLines(blocks.sort());
}

/** `kube-ipvs0 10.96.0.1/32 global`, one address a line; links are listed as `link name kind`. */
export function addressText(tables: FakeTables): string {
  const links = [...tables.links.values()].map(({ name, kind }) => `link ${name} ${kind === '' ? 'physical' : kind}`);
  const addresses = [...tables.addresses.values()].map(
    ({ link, address, prefixLength, scope, deprecated, validSeconds, preferredSeconds = 0 }) => {
      const lifetime = validSeconds === undefined ? '' : ` valid_lft ${validSeconds}sec`;
      const preferred = preferredSeconds === 0 ? '' : ` preferred_lft ${preferredSeconds}sec`;
      return `${link} ${address}/${prefixLength} ${scope}${deprecated ? ' deprecated' : ''}${lifetime}${preferred}`;
    },
  );
  return joinLines([...links.sort(), ...addresses.sort()]);
}

/** `local 10.96.0.0/16 dev lo …`: those that were added, not those that came with an address. */
export function routeText(tables: FakeTables): string {
  const routes = [...tables.localRoutes.values()].map((route) =>
    option({ verb: 'add-local-route', route }, 'ip route append'),
  );
  return joinLines(routes.sort());
}

function joinLines(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}

/** Errors as one line for people: what, and what to do. The stack only when asked for. */
import { InvalidArgumentError, ProxierError } from '../errors.ts';
import { ExitCode } from './exit-codes.ts';
import { oneLine } from './logger.ts';

/** Option of the library → what it is called on the command line. */
const FLAGS: Readonly<Record<string, string>> = {
  kubeconfigPath: '--kubeconfig',
  manifests: '--manifests',
  nodeName: '--node-name',
  serviceProxyName: '--service-proxy-name',
  scheduler: '--scheduler',
  clusterCIDR: '--cluster-cidr',
  'detectLocal.bridge': '--pod-bridge-interface',
  'detectLocal.prefix': '--pod-interface-name-prefix',
  masqueradeBit: '--masquerade-bit',
  nodePortAddresses: '--nodeport-addresses',
  families: '--ip-families',
  syncPeriodMs: '--sync-period (ms)',
  minSyncPeriodMs: '--min-sync-period (ms)',
  drainTimeoutMs: '--drain-timeout (ms)',
};

export function errorText(error: unknown, verbose: boolean): string {
  const code = error instanceof ProxierError ? ` (${error.code})` : '';
  const stack = verbose && error instanceof Error && error.stack !== undefined ? `${error.stack}\n` : '';
  return `error: ${oneLine(messageOf(error))}${code}\n${stack}`;
}

export function exitCodeOf(error: unknown): number {
  return error instanceof InvalidArgumentError ? ExitCode.usage : ExitCode.error;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!(error instanceof InvalidArgumentError)) return error.message;
  const [, top = '', rest = ''] = /^([^[]*)(.*)$/.exec(error.field) ?? [];
  const flag = FLAGS[top];
  return flag === undefined ? error.message : `${flag}${rest}${error.message.slice(error.field.length)}`;
}

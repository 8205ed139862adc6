/** The flags that say how to proxy, named as kube-proxy names them where it has them, and the options they make. */
import { access } from 'node:fs/promises';
import { type Command, InvalidArgumentError as InvalidFlagError, Option } from 'commander';
import { parseDuration } from '../duration.ts';
import { ProxierError } from '../errors.ts';
import type { DetectLocalOption, ProxierOptions, ProxierOrigin, ProxierSettings } from '../proxier/options.ts';
import type { IpFamily } from '../types.ts';
import type { LogFormat } from './logger.ts';
import type { Terminal } from './terminal.ts';

/** What commander makes of the flags below. */
export interface ProxierFlags {
  readonly kubeconfig?: string;
  readonly manifests?: string;
  readonly nodeName?: string;
  readonly serviceProxyName?: string;
  readonly scheduler?: string;
  readonly ipvsScheduler?: string;
  readonly clusterCidr?: string;
  readonly detectLocalMode?: DetectLocalOption['mode'];
  readonly podBridgeInterface?: string;
  readonly podInterfaceNamePrefix?: string;
  readonly masqueradeAll?: true;
  readonly masqueradeBit?: number;
  readonly nodeportAddresses?: string;
  readonly ipFamilies?: readonly IpFamily[];
  readonly iptables?: 'auto' | 'legacy' | 'nft';
  readonly takeOver?: true;
  /** Commander's `--no-sysctls`: true unless given. */
  readonly sysctls: boolean;
  readonly logFormat: LogFormat;
  readonly verbose?: true;
}

const SERVICE_ACCOUNT_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token';

export function addProxierFlags(command: Command): Command {
  return command
    .option('--kubeconfig <path>', 'kubeconfig file of the cluster; inside a pod its service account is the default')
    .option('--manifests <path>', 'YAML or JSON file, or directory of them, instead of a cluster; watched for changes')
    .option('--node-name <name>', 'name of this Node (default: the host name in lower case)')
    .option(
      '--service-proxy-name <name>',
      'serve only Services with this service.kubernetes.io/service-proxy-name label',
    )
    .option('--scheduler <name>', 'IPVS scheduler: rr, wrr, lc, wlc, sh, mh, sed, nq, ... (default: rr)')
    .addOption(new Option('--ipvs-scheduler <name>', 'the same as --scheduler').conflicts('scheduler'))
    .option('--cluster-cidr <cidrs>', 'addresses of all pods, at most one CIDR per family, comma separated')
    .addOption(
      new Option('--detect-local-mode <mode>', 'how traffic of own pods is recognised (default: ClusterCIDR)').choices([
        'ClusterCIDR',
        'NodeCIDR',
        'BridgeInterface',
        'InterfaceNamePrefix',
      ]),
    )
    .option('--pod-bridge-interface <name>', 'bridge of the pods, for BridgeInterface')
    .option('--pod-interface-name-prefix <prefix>', "beginning of the pods' interface names, for InterfaceNamePrefix")
    .option('--masquerade-all', 'masquerade everything that goes to a cluster IP')
    .option('--masquerade-bit <bit>', 'bit of the packet mark for masquerading, 0 to 31 (default: 14)', wholeNumber)
    .option(
      '--nodeport-addresses <cidrs>',
      'node addresses that answer on node ports: CIDRs, comma separated, or "primary"',
    )
    .option('--ip-families <families>', 'IPv4, IPv6 or IPv4,IPv6 (default: what the kernel has)', families)
    .addOption(new Option('--iptables <backend>', 'iptables to use (default: auto)').choices(['auto', 'legacy', 'nft']))
    .option('--take-over', 'overwrite virtual services that are wanted, different, and not ours')
    .option('--no-sysctls', 'only report sysctls that are wrong')
    .addOption(
      new Option('--log-format <format>', 'log lines on standard error').choices(['text', 'json']).default('text'),
    )
    .option('-v, --verbose', 'debug log lines, and stacks of errors');
}

/** @throws ProxierError ERR_KUBE_CONFIG when nothing says where the Services come from. */
export async function proxierOptions(flags: ProxierFlags, terminal: Terminal): Promise<ProxierOptions> {
  const scheduler = flags.scheduler ?? flags.ipvsScheduler;
  const detectLocal = detectLocalOf(flags);
  const settings: ProxierSettings = {
    ...(flags.nodeName === undefined ? {} : { nodeName: flags.nodeName }),
    ...(flags.serviceProxyName === undefined ? {} : { serviceProxyName: flags.serviceProxyName }),
    ...(scheduler === undefined ? {} : { scheduler }),
    ...(flags.clusterCidr === undefined ? {} : { clusterCIDR: flags.clusterCidr }),
    ...(detectLocal === undefined ? {} : { detectLocal }),
    ...(flags.masqueradeBit === undefined ? {} : { masqueradeBit: flags.masqueradeBit }),
    ...(flags.nodeportAddresses === undefined ? {} : { nodePortAddresses: flags.nodeportAddresses.split(',') }),
    ...(flags.ipFamilies === undefined ? {} : { families: flags.ipFamilies }),
    ...(flags.iptables === undefined ? {} : { iptables: flags.iptables }),
    masqueradeAll: flags.masqueradeAll === true,
    takeOver: flags.takeOver === true,
    applySysctls: flags.sysctls,
  };
  return { ...settings, ...(await originOf(flags, terminal)) };
}

async function originOf(flags: ProxierFlags, terminal: Terminal): Promise<ProxierOrigin> {
  if (flags.kubeconfig !== undefined && flags.manifests !== undefined) {
    throw new InvalidFlagError('--kubeconfig and --manifests cannot be given together: choose one');
  }
  if (flags.kubeconfig !== undefined) return { kubeconfigPath: flags.kubeconfig };
  if (flags.manifests !== undefined) return { manifests: flags.manifests };
  const { KUBERNETES_SERVICE_HOST: host } = terminal.env;
  if (host !== undefined && host !== '' && (await exists(SERVICE_ACCOUNT_TOKEN))) return { inCluster: true };
  throw new ProxierError(
    'ERR_KUBE_CONFIG',
    'nothing says where the Services come from, and this is no pod: give --kubeconfig FILE or --manifests PATH',
  );
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function detectLocalOf(flags: ProxierFlags): DetectLocalOption | undefined {
  const { detectLocalMode: mode, podBridgeInterface: bridge, podInterfaceNamePrefix: prefix } = flags;
  if (bridge !== undefined && mode !== 'BridgeInterface') {
    throw new InvalidFlagError('--pod-bridge-interface needs --detect-local-mode BridgeInterface');
  }
  if (prefix !== undefined && mode !== 'InterfaceNamePrefix') {
    throw new InvalidFlagError('--pod-interface-name-prefix needs --detect-local-mode InterfaceNamePrefix');
  }
  if (mode === undefined) return undefined;
  switch (mode) {
    case 'BridgeInterface':
      return { mode, bridge: required(bridge, mode, '--pod-bridge-interface') };
    case 'InterfaceNamePrefix':
      return { mode, prefix: required(prefix, mode, '--pod-interface-name-prefix') };
    case 'ClusterCIDR':
    case 'NodeCIDR':
      return { mode };
  }
}

function required(value: string | undefined, mode: string, flag: string): string {
  if (value === undefined) throw new InvalidFlagError(`--detect-local-mode ${mode} needs ${flag}`);
  return value;
}

export function duration(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidFlagError('Not a duration such as 30s, 500ms, 1m30s or 1h.');
  return ms;
}

function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidFlagError('Not a whole number.');
  return Number(text);
}

function families(text: string): IpFamily[] {
  return text.split(',').map((family) => {
    if (family === 'IPv4' || family === 'IPv6') return family;
    throw new InvalidFlagError('Not IPv4, IPv6 or IPv4,IPv6.');
  });
}

/** What flags and file have said so far, on the way to the options of a Proxier. */
import { InvalidArgumentError as InvalidFlagError } from 'commander';
import type { DetectLocalOption, ProxierSettings } from '../../proxier/options.ts';
import type { LogFormat } from '../logger.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Group<K extends 'ipvsTimeouts' | 'conntrack'> = Mutable<NonNullable<ProxierSettings[K]>>;

/** Something that was asked for and that nobody does here. */
export interface Notice {
  /** `--healthz-bind-address`, `FILE: healthzBindAddress` */
  readonly origin: string;
  readonly message: string;
  /** Nothing is lost by it. */
  readonly isHarmless?: true;
}

export interface Draft {
  readonly settings: Mutable<ProxierSettings>;
  readonly ipvsTimeouts: Group<'ipvsTimeouts'>;
  readonly conntrack: Group<'conntrack'>;
  detectLocalMode?: DetectLocalOption['mode'];
  bridge?: string;
  interfacePrefix?: string;
  clusterCIDR?: string;
  kubeconfig?: string;
  manifests?: string;
  oomScoreAdj?: number;
  logFormat?: LogFormat;
  /** klog's. */
  verbosity?: number;
  readonly notices: Notice[];
}

export function emptyDraft(): Draft {
  return { settings: {}, ipvsTimeouts: {}, conntrack: {}, notices: [] };
}

/** kube-proxy's defaults for the host. A configuration file asks for them by leaving them out; flags by naming one of them. */
const conntrackDefaults: NonNullable<ProxierSettings['conntrack']> = {
  maxPerCore: 32_768,
  min: 131_072,
  tcpEstablishedTimeoutSeconds: 86_400,
  tcpCloseWaitTimeoutSeconds: 3600,
};
export const defaultOomScoreAdj = -999;

/** From this level of klog on, debug lines and stacks. */
const DEBUG_LEVEL = 4;

export function isVerbose({ verbosity = 0 }: Draft): boolean {
  return verbosity >= DEBUG_LEVEL;
}

/** @param fromFile A KubeProxyConfiguration was read. */
export function settingsOf(draft: Draft, fromFile: boolean): ProxierSettings {
  const { settings, ipvsTimeouts, conntrack } = draft;
  const detectLocal = detectLocalOf(draft);
  const asksForConntrack = fromFile || Object.keys(conntrack).length > 0;
  return {
    ...settings,
    ...(detectLocal === undefined ? {} : { detectLocal }),
    ...(draft.clusterCIDR === undefined ? {} : clusterCIDROf(draft, draft.clusterCIDR)),
    ...(Object.keys(ipvsTimeouts).length === 0 ? {} : { ipvsTimeouts }),
    ...(asksForConntrack ? { conntrack: { ...conntrackDefaults, ...conntrack } } : {}),
  };
}

/** Other modes do not look at it, and a cluster's configuration has it all the same. */
function clusterCIDROf({ detectLocalMode = 'ClusterCIDR', notices }: Draft, cidrs: string): ProxierSettings {
  if (detectLocalMode === 'ClusterCIDR') return { clusterCIDR: cidrs.split(',') };
  const message = `clusterCIDR ${cidrs}: mode ${detectLocalMode} does not look at it`;
  notices.push({ origin: 'clusterCIDR', message, isHarmless: true });
  return {};
}

function detectLocalOf(draft: Draft): DetectLocalOption | undefined {
  const { detectLocalMode: mode, bridge, interfacePrefix: prefix, notices } = draft;
  const unused = (value: string | undefined, flag: string, of: string): void => {
    if (value === undefined || mode === of) return;
    notices.push({
      origin: flag,
      message: `${flag} ${value}: only --detect-local-mode ${of} looks at it`,
      isHarmless: true,
    });
  };
  unused(bridge, '--pod-bridge-interface', 'BridgeInterface');
  unused(prefix, '--pod-interface-name-prefix', 'InterfaceNamePrefix');
  if (mode === undefined) return undefined;
  switch (mode) {
    case 'BridgeInterface':
      return { mode, bridge: required(bridge, mode, '--pod-bridge-interface (detectLocal.bridgeInterface)') };
    case 'InterfaceNamePrefix':
      return { mode, prefix: required(prefix, mode, '--pod-interface-name-prefix (detectLocal.interfaceNamePrefix)') };
    case 'ClusterCIDR':
    case 'NodeCIDR':
      return { mode };
  }
}

function required(value: string | undefined, mode: string, name: string): string {
  if (value === undefined) throw new InvalidFlagError(`detect-local-mode ${mode} needs ${name}`);
  return value;
}

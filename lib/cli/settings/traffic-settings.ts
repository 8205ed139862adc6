/** kube-proxy's settings of what is masqueraded, and of where node ports answer. */
import { bool, choice, list, text, whole } from './kind.ts';
import { type Setting, setting } from './setting.ts';

export const trafficSettings: readonly Setting[] = [
  setting(
    {
      flag: 'cluster-cidr',
      argument: '<cidrs>',
      field: 'clusterCIDR',
      option: 'clusterCIDR',
      standard: 'none',
      help: 'addresses of all pods, at most one CIDR per family, comma separated',
      group: 'kube-proxy',
    },
    text,
    (draft, cidrs) => {
      if (cidrs !== '') draft.clusterCIDR = cidrs;
    },
  ),
  setting(
    {
      flag: 'detect-local-mode',
      argument: '<mode>',
      field: 'detectLocalMode',
      option: 'detectLocal.mode',
      standard: 'ClusterCIDR',
      help: 'how traffic of own pods is recognised: ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix',
      group: 'kube-proxy',
    },
    choice('ClusterCIDR', 'NodeCIDR', 'BridgeInterface', 'InterfaceNamePrefix', ''),
    (draft, mode) => {
      if (mode !== '') draft.detectLocalMode = mode;
    },
  ),
  setting(
    {
      flag: 'pod-bridge-interface',
      argument: '<name>',
      field: 'detectLocal.bridgeInterface',
      option: 'detectLocal.bridge',
      help: 'bridge of the pods, for BridgeInterface',
      group: 'kube-proxy',
    },
    text,
    (draft, bridge) => {
      if (bridge !== '') draft.bridge = bridge;
    },
  ),
  setting(
    {
      flag: 'pod-interface-name-prefix',
      argument: '<prefix>',
      field: 'detectLocal.interfaceNamePrefix',
      option: 'detectLocal.prefix',
      help: "beginning of the pods' interface names, for InterfaceNamePrefix",
      group: 'kube-proxy',
    },
    text,
    (draft, prefix) => {
      if (prefix !== '') draft.interfacePrefix = prefix;
    },
  ),
  setting(
    {
      flag: 'masquerade-all',
      field: 'iptables.masqueradeAll',
      option: 'masqueradeAll',
      standard: 'false',
      help: 'masquerade everything that goes to a cluster IP',
      group: 'kube-proxy',
    },
    bool,
    (draft, all) => {
      draft.settings.masqueradeAll = all;
    },
  ),
  setting(
    {
      flag: 'iptables-masquerade-bit',
      aliases: ['masquerade-bit'],
      argument: '<bit>',
      field: 'iptables.masqueradeBit',
      option: 'masqueradeBit',
      standard: '14',
      help: 'bit of the packet mark for masquerading, 0 to 31',
      group: 'kube-proxy',
      pointer: true,
    },
    whole(0, 31),
    (draft, bit) => {
      draft.settings.masqueradeBit = bit;
    },
  ),
  setting(
    {
      flag: 'nodeport-addresses',
      argument: '<cidrs>',
      field: 'nodePortAddresses',
      option: 'nodePortAddresses',
      standard: 'all addresses of the node but loopback',
      help: 'node addresses that answer on node ports: CIDRs, or "primary", or "all"; comma separated',
      group: 'kube-proxy',
      repeats: true,
    },
    list,
    (draft, given, origin) => {
      if (given.includes('localhost')) {
        const message = `${origin} localhost: no node port answers on 127.0.0.1 or ::1 in IPVS mode, in kube-proxy's neither`;
        draft.notices.push({ origin, message, isHarmless: true });
      }
      const rest = given.filter((word) => word !== 'localhost');
      const earlier = draft.settings.nodePortAddresses ?? [];
      const all = [...(earlier === 'primary' ? [earlier] : earlier), ...rest];
      draft.settings.nodePortAddresses = all.flatMap((word) => (word === 'all' ? ['0.0.0.0/0', '::/0'] : [word]));
    },
  ),
];

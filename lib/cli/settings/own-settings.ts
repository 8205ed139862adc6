/** Settings that kube-proxy does not have. */
import { bool, choice, duration, list, text } from './kind.ts';
import { type Setting, setting } from './setting.ts';

const families = choice('IPv4', 'IPv6', 'IPv4,IPv6', 'IPv6,IPv4');

export const ownSettings: readonly Setting[] = [
  setting(
    {
      flag: 'ip-families',
      argument: '<families>',
      option: 'families',
      standard: 'what the kernel has',
      help: 'IPv4, IPv6 or IPv4,IPv6',
      group: 'own',
    },
    families,
    (draft, value) => {
      draft.settings.families = [
        ...(value.includes('IPv4') ? (['IPv4'] as const) : []),
        ...(value.includes('IPv6') ? (['IPv6'] as const) : []),
      ];
    },
  ),
  setting(
    {
      flag: 'watch-nodes',
      argument: '<which>',
      option: 'watchNodes',
      standard: 'own',
      help: 'own: this Node; all: external IPs that are another Node are refused, and endpoints get weights by zone and label',
      group: 'own',
    },
    choice('own', 'all'),
    (draft, value) => {
      draft.settings.watchNodes = value;
    },
  ),
  setting(
    {
      flag: 'vip-binding',
      argument: '<way>',
      option: 'vipBinding',
      standard: 'address',
      help: 'how the host takes packets for a VIP: address (on kube-ipvs0) or local-route',
      group: 'own',
    },
    choice('address', 'local-route'),
    (draft, value) => {
      draft.settings.vipBinding = value;
    },
  ),
  setting(
    {
      flag: 'external-local-fallback',
      argument: '<where>',
      option: 'externalLocalFallback',
      standard: 'cluster, as kube-proxy',
      help: 'external traffic of policy Local without a local endpoint goes to all endpoints (cluster) or nowhere (none)',
      group: 'own',
    },
    choice('cluster', 'none'),
    (draft, value) => {
      draft.settings.externalLocalFallback = value;
    },
  ),
  setting(
    {
      flag: 'source-ranges-of-other-family',
      argument: '<rule>',
      option: 'sourceRangesOfOtherFamily',
      standard: 'deny; kube-proxy allows',
      help: 'loadBalancerSourceRanges of the other family only: deny or allow everybody of this one',
      group: 'own',
    },
    choice('deny', 'allow'),
    (draft, value) => {
      draft.settings.sourceRangesOfOtherFamily = value;
    },
  ),
  setting(
    {
      flag: 'allowed-external-ips',
      argument: '<cidrs>',
      option: 'allowedExternalIPs',
      standard: 'any',
      help: 'serve only spec.externalIPs in these CIDRs (CVE-2020-8554); an empty text: none',
      group: 'own',
      repeats: true,
    },
    list,
    (draft, cidrs) => {
      draft.settings.allowedExternalIPs = [...(draft.settings.allowedExternalIPs ?? []), ...cidrs];
    },
  ),
  setting(
    {
      flag: 'drain-timeout',
      argument: '<duration>',
      option: 'drainTimeoutMs',
      standard: '15m',
      help: 'how long open connections of removed TCP destinations stay',
      group: 'own',
    },
    duration,
    (draft, ms) => {
      draft.settings.drainTimeoutMs = ms;
    },
  ),
  setting(
    {
      flag: 'drain-services',
      option: 'drainServices',
      standard: 'false, as kube-proxy',
      help: 'a removed virtual service stays for its open TCP connections, too',
      group: 'own',
    },
    bool,
    (draft, value) => {
      draft.settings.drainServices = value;
    },
  ),
  setting(
    {
      flag: 'ownership',
      argument: '<whose>',
      option: 'ownership',
      standard: 'ledger; kube-proxy removes all',
      help: 'unwanted virtual services that are removed: ours (ledger), or all but --ipvs-exclude-cidrs and firewall marks (all)',
      group: 'own',
    },
    choice('ledger', 'all'),
    (draft, value) => {
      draft.settings.ownership = value;
    },
  ),
  setting(
    {
      flag: 'take-over',
      option: 'takeOver',
      standard: 'false',
      help: 'overwrite virtual services that are wanted, different, and not ours',
      group: 'own',
    },
    bool,
    (draft, value) => {
      draft.settings.takeOver = value;
    },
  ),
  setting(
    {
      flag: 'ignore-other-proxiers',
      option: 'ignoreOtherProxiers',
      standard: 'false',
      help: 'start although another proxier or kube-proxy is at work here',
      group: 'own',
    },
    bool,
    (draft, value) => {
      draft.settings.ignoreOtherProxiers = value;
    },
  ),
  setting(
    {
      flag: 'iptables',
      argument: '<backend>',
      option: 'iptables',
      standard: 'auto',
      help: 'iptables to use: auto, legacy or nft',
      group: 'own',
    },
    choice('auto', 'legacy', 'nft'),
    (draft, value) => {
      draft.settings.iptables = value;
    },
  ),
  setting(
    {
      flag: 'sysctls',
      option: 'applySysctls',
      standard: 'true',
      help: 'write sysctls that are wrong; --sysctls=false or --no-sysctls: only report them',
      group: 'own',
    },
    bool,
    (draft, value) => {
      draft.settings.applySysctls = value;
    },
  ),
  setting(
    {
      flag: 'admin-socket',
      argument: '<path>',
      option: 'adminSocket',
      standard: '/run/ipvs-proxier/<network namespace>.sock',
      help: 'unix socket on which ipvs-proxier status and explain ask this proxier; none: there is none; run only',
      group: 'own',
    },
    text,
    (draft, value) => {
      draft.settings.adminSocket = value === 'none' ? false : value;
    },
  ),
  setting(
    {
      flag: 'record',
      argument: '<file>',
      option: 'record',
      standard: 'nothing is recorded',
      help: 'keep what the sources say in a file that ipvs-proxier replay reads; it ends before it is longer than 256 MiB; run only',
      group: 'own',
    },
    text,
    (draft, value) => {
      draft.settings.record = value;
    },
  ),
];

/** kube-proxy's settings of IPVS mode. */
import { bool, duration, list, seconds, text } from './kind.ts';
import { type Setting, setting } from './setting.ts';

export const ipvsSettings: readonly Setting[] = [
  setting(
    {
      flag: 'ipvs-scheduler',
      aliases: ['scheduler'],
      argument: '<name>',
      field: 'ipvs.scheduler',
      option: 'scheduler',
      standard: 'rr',
      help: 'IPVS scheduler: rr, wrr, lc, wlc, sh, mh, sed, nq, ...',
      group: 'kube-proxy',
    },
    text,
    (draft, scheduler) => {
      if (scheduler !== '') draft.settings.scheduler = scheduler;
    },
  ),
  setting(
    {
      flag: 'ipvs-sync-period',
      aliases: ['sync-period'],
      argument: '<duration>',
      field: 'ipvs.syncPeriod',
      option: 'syncPeriodMs',
      standard: '30s',
      help: 'look at everything in the kernel once in this time, and mend it',
      group: 'kube-proxy',
    },
    duration,
    (draft, ms) => {
      draft.settings.syncPeriodMs = ms;
    },
  ),
  setting(
    {
      flag: 'ipvs-min-sync-period',
      aliases: ['min-sync-period'],
      argument: '<duration>',
      field: 'ipvs.minSyncPeriod',
      option: 'minSyncPeriodMs',
      standard: '0s',
      help: 'least time between two rounds of changes',
      group: 'kube-proxy',
    },
    duration,
    (draft, ms) => {
      draft.settings.minSyncPeriodMs = ms;
    },
  ),
  setting(
    {
      flag: 'ipvs-exclude-cidrs',
      argument: '<cidrs>',
      field: 'ipvs.excludeCIDRs',
      option: 'excludeCIDRs',
      standard: 'none',
      help: 'never remove a virtual service on an address in these CIDRs',
      group: 'kube-proxy',
      repeats: true,
    },
    list,
    (draft, cidrs) => {
      draft.settings.excludeCIDRs = [...(draft.settings.excludeCIDRs ?? []), ...cidrs];
    },
  ),
  setting(
    {
      flag: 'ipvs-strict-arp',
      field: 'ipvs.strictARP',
      option: 'strictARP',
      standard: 'false',
      help: 'arp_ignore 1 and arp_announce 2, as MetalLB in layer 2 mode and kube-vip need it',
      group: 'kube-proxy',
    },
    bool,
    (draft, strict) => {
      draft.settings.strictARP = strict;
    },
  ),
  setting(
    {
      flag: 'ipvs-tcp-timeout',
      argument: '<duration>',
      field: 'ipvs.tcpTimeout',
      option: 'ipvsTimeouts.tcpSeconds',
      standard: "0s: the kernel's, 15m",
      help: 'idle time-out of TCP connections',
      group: 'kube-proxy',
    },
    seconds,
    (draft, value) => {
      draft.ipvsTimeouts.tcpSeconds = value;
    },
  ),
  setting(
    {
      flag: 'ipvs-tcpfin-timeout',
      argument: '<duration>',
      field: 'ipvs.tcpFinTimeout',
      option: 'ipvsTimeouts.tcpFinSeconds',
      standard: "0s: the kernel's, 2m",
      help: 'time-out of TCP connections after a FIN',
      group: 'kube-proxy',
    },
    seconds,
    (draft, value) => {
      draft.ipvsTimeouts.tcpFinSeconds = value;
    },
  ),
  setting(
    {
      flag: 'ipvs-udp-timeout',
      argument: '<duration>',
      field: 'ipvs.udpTimeout',
      option: 'ipvsTimeouts.udpSeconds',
      standard: "0s: the kernel's, 5m",
      help: 'time-out of UDP flows',
      group: 'kube-proxy',
    },
    seconds,
    (draft, value) => {
      draft.ipvsTimeouts.udpSeconds = value;
    },
  ),
];

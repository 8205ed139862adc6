/** kube-proxy's settings of the host around IPVS. */
import { bool, seconds, whole } from './kind.ts';
import { type Setting, setting } from './setting.ts';

const MAX = 2 ** 31 - 1;

export const hostSettings: readonly Setting[] = [
  setting(
    {
      flag: 'conntrack-max-per-core',
      argument: '<count>',
      field: 'conntrack.maxPerCore',
      option: 'conntrack.maxPerCore',
      standard: '32768 *',
      help: 'nf_conntrack_max for each core; 0: left as it is, and --conntrack-min with it',
      group: 'kube-proxy',
      pointer: true,
    },
    whole(0, MAX),
    (draft, count) => {
      draft.conntrack.maxPerCore = count;
    },
  ),
  setting(
    {
      flag: 'conntrack-min',
      argument: '<count>',
      field: 'conntrack.min',
      option: 'conntrack.min',
      standard: '131072 *',
      help: 'nf_conntrack_max at the least, however few cores there are',
      group: 'kube-proxy',
      pointer: true,
    },
    whole(0, MAX),
    (draft, count) => {
      draft.conntrack.min = count;
    },
  ),
  setting(
    {
      flag: 'conntrack-tcp-timeout-established',
      argument: '<duration>',
      field: 'conntrack.tcpEstablishedTimeout',
      option: 'conntrack.tcpEstablishedTimeoutSeconds',
      standard: '24h *',
      help: 'idle time-out of tracked TCP connections; 0: left as it is',
      group: 'kube-proxy',
      pointer: true,
    },
    seconds,
    (draft, value) => {
      draft.conntrack.tcpEstablishedTimeoutSeconds = value;
    },
  ),
  setting(
    {
      flag: 'conntrack-tcp-timeout-close-wait',
      argument: '<duration>',
      field: 'conntrack.tcpCloseWaitTimeout',
      option: 'conntrack.tcpCloseWaitTimeoutSeconds',
      standard: '1h *',
      help: 'time-out of tracked TCP connections in CLOSE_WAIT; 0: left as it is',
      group: 'kube-proxy',
      pointer: true,
    },
    seconds,
    (draft, value) => {
      draft.conntrack.tcpCloseWaitTimeoutSeconds = value;
    },
  ),
  setting(
    {
      flag: 'conntrack-tcp-be-liberal',
      field: 'conntrack.tcpBeLiberal',
      option: 'conntrack.tcpBeLiberal',
      standard: 'false',
      help: 'packets outside the TCP window are not invalid',
      group: 'kube-proxy',
    },
    bool,
    (draft, liberal) => {
      draft.conntrack.tcpBeLiberal = liberal;
    },
  ),
  setting(
    {
      flag: 'conntrack-udp-timeout',
      argument: '<duration>',
      field: 'conntrack.udpTimeout',
      option: 'conntrack.udpTimeoutSeconds',
      standard: '0s: left as it is',
      help: 'time-out of tracked UDP flows without an answer',
      group: 'kube-proxy',
    },
    seconds,
    (draft, value) => {
      draft.conntrack.udpTimeoutSeconds = value;
    },
  ),
  setting(
    {
      flag: 'conntrack-udp-timeout-stream',
      argument: '<duration>',
      field: 'conntrack.udpStreamTimeout',
      option: 'conntrack.udpStreamTimeoutSeconds',
      standard: '0s: left as it is',
      help: 'time-out of tracked UDP flows with answers',
      group: 'kube-proxy',
    },
    seconds,
    (draft, value) => {
      draft.conntrack.udpStreamTimeoutSeconds = value;
    },
  ),
  setting(
    {
      flag: 'oom-score-adj',
      argument: '<score>',
      field: 'oomScoreAdj',
      standard: '-999 *',
      help: 'how early the kernel ends this process when memory runs out, -1000 (never) to 1000; run only',
      group: 'kube-proxy',
      pointer: true,
    },
    whole(-1000, 1000),
    (draft, score) => {
      draft.oomScoreAdj = score;
    },
  ),
];

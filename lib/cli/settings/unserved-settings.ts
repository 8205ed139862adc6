/** kube-proxy's settings that nothing comes of here: each says why. */
import { anything } from './kind.ts';
import { type Setting, withoutEffect } from './setting.ts';

const notYet = 'not served yet by this version';
const otherMode = 'of another mode than IPVS';
const noWindows = 'of Windows';
const noResync = 'watches are kept open and lists are made anew when one breaks: nothing is refreshed by the clock';
const noGates = 'there are no feature gates here';
const onlyWatches = 'a node watches three kinds of objects, and makes no other requests that would have to be limited';
const noKlog = 'of klog, which is not used here';

export const unservedSettings: readonly Setting[] = [
  flagAndField('healthz-bind-address', '<address>', 'healthzBindAddress', `${notYet}: the health check server`),
  flagOnly('healthz-port', '<port>', `${notYet}: the health check server`),
  flagAndField('metrics-bind-address', '<address>', 'metricsBindAddress', `${notYet}: the metrics server`),
  flagOnly('metrics-port', '<port>', `${notYet}: the metrics server`),
  flagAndField('bind-address-hard-fail', undefined, 'bindAddressHardFail', `${notYet}: the servers it is about`),
  flagAndField('profiling', undefined, 'enableProfiling', `${notYet}: the metrics server; node --inspect profiles`),
  flagAndField('show-hidden-metrics-for-version', '<version>', 'showHiddenMetricsForVersion', `${notYet}: metrics`),
  flagAndField('config-sync-period', '<duration>', 'configSyncPeriod', noResync),
  flagAndField('feature-gates', '<gates>', 'featureGates', noGates),
  flagAndField('kube-api-content-type', '<type>', 'clientConnection.contentType', 'objects are asked for as JSON'),
  fieldOnly('clientConnection.acceptContentTypes', 'objects are asked for as JSON'),
  flagAndField('kube-api-qps', '<rate>', 'clientConnection.qps', onlyWatches),
  flagAndField('kube-api-burst', '<count>', 'clientConnection.burst', onlyWatches),
  flagAndField(
    'iptables-localhost-nodeports',
    undefined,
    'iptables.localhostNodePorts',
    "no node port answers on 127.0.0.1 in IPVS mode, in kube-proxy's neither",
  ),
  fieldOnly('iptables.snatNodeInternalIP', otherMode),
  flagAndField('iptables-sync-period', '<duration>', 'iptables.syncPeriod', otherMode),
  flagAndField('iptables-min-sync-period', '<duration>', 'iptables.minSyncPeriod', otherMode),
  fieldOnly('nftables', otherMode),
  fieldOnly('winkernel', noWindows),
  fieldOnly('windowsRunAsService', noWindows),
  fieldOnly('portRange', 'of the userspace mode, which kube-proxy does not have any more'),
  fieldOnly('udpIdleTimeout', 'of the userspace mode, which kube-proxy does not have any more'),
  flagAndField('vmodule', '<pattern>', 'logging.vmodule', noKlog),
  flagAndField('log-flush-frequency', '<duration>', 'logging.flushFrequency', `${noKlog}: lines are written at once`),
  flagOnly('log-text-split-stream', undefined, noKlog),
  flagOnly('log-text-info-buffer-size', '<size>', noKlog),
  flagOnly('log-json-split-stream', undefined, noKlog),
  flagOnly('log-json-info-buffer-size', '<size>', noKlog),
  fieldOnly('logging.options', noKlog),
];

function flagAndField(flag: string, argument: string | undefined, field: string, why: string): Setting {
  return withoutEffect({ flag, field, help: why, ...(argument === undefined ? {} : { argument }) }, anything, why);
}

function flagOnly(flag: string, argument: string | undefined, why: string): Setting {
  return withoutEffect({ flag, help: why, ...(argument === undefined ? {} : { argument }) }, anything, why);
}

function fieldOnly(field: string, why: string): Setting {
  return withoutEffect({ field, help: why }, anything, why);
}

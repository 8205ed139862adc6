/** Where the objects come from, and which node this is. */
import { isIP } from 'node:net';
import * as v from 'valibot';
import { text, type ValueKind } from './kind.ts';
import { type Setting, setting } from './setting.ts';

const ipAddress: ValueKind<string> = {
  allowed: 'an IP address',
  parse: (given) => (given === '' || isIP(given) !== 0 ? given : undefined),
  schema: v.pipe(
    v.string(),
    v.check((given) => given === '' || isIP(given) !== 0),
  ),
};

export const sourceSettings: readonly Setting[] = [
  setting(
    {
      flag: 'kubeconfig',
      argument: '<path>',
      field: 'clientConnection.kubeconfig',
      option: 'kubeconfigPath',
      standard: "the pod's service account",
      help: 'kubeconfig file of the cluster',
      group: 'source',
    },
    text,
    (draft, path) => {
      draft.kubeconfig = path;
    },
  ),
  setting(
    {
      flag: 'manifests',
      argument: '<path>',
      option: 'manifests',
      help: 'YAML or JSON file, or directory of them, instead of a cluster; watched for changes',
      group: 'source',
    },
    text,
    (draft, path) => {
      draft.manifests = path;
    },
  ),
  setting(
    {
      flag: 'hostname-override',
      aliases: ['node-name'],
      argument: '<name>',
      field: 'hostnameOverride',
      option: 'nodeName',
      standard: 'the host name in lower case',
      help: 'name of this Node; it decides which endpoints are local',
      group: 'source',
      beatsFile: true,
    },
    text,
    (draft, name) => {
      if (name !== '') draft.settings.nodeName = name;
    },
  ),
  setting(
    {
      flag: 'bind-address',
      argument: '<ip>',
      field: 'bindAddress',
      option: 'bindAddress',
      standard: '0.0.0.0: the addresses of the Node object',
      help: "this node's primary address, as loadBalancerSourceRanges and --nodeport-addresses primary see it; nothing is bound to it",
      group: 'kube-proxy',
    },
    ipAddress,
    (draft, address) => {
      if (address !== '') draft.settings.bindAddress = address;
    },
  ),
  setting(
    {
      flag: 'service-proxy-name',
      argument: '<name>',
      field: 'serviceProxyName',
      option: 'serviceProxyName',
      standard: 'Services without that label',
      help: 'serve only Services whose label service.kubernetes.io/service-proxy-name is this',
      group: 'source',
    },
    text,
    (draft, name) => {
      draft.settings.serviceProxyName = name;
    },
  ),
];

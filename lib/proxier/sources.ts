/** From what the options say about the origin to the sources that deliver it. */
import { ApiSource } from '../kube/api-source.ts';
import { ManifestSource } from '../kube/manifest-source.ts';
import { withPrimaryAddress } from '../kube/primary-address.ts';
import type { Source } from '../kube/source.ts';
import type { ResolvedOptions } from './options-schema.ts';

export function makeSources(options: ResolvedOptions): readonly Source[] {
  const { bindAddress, init } = options;
  const sources = plainSources(options);
  if (bindAddress === undefined) return sources;
  return sources.map((source) => withPrimaryAddress(source, init.nodeName, bindAddress));
}

function plainSources(options: ResolvedOptions): readonly Source[] {
  const { origin, init, watchNodes } = options;
  const { nodeName } = init;
  const proxyName = options.serviceProxyName === undefined ? {} : { serviceProxyName: options.serviceProxyName };
  switch (origin.kind) {
    case 'kubeConfig':
      return [new ApiSource({ nodeName, watchNodes, kubeConfig: origin.kubeConfig, ...proxyName })];
    case 'kubeconfigPath':
      return [new ApiSource({ nodeName, watchNodes, kubeConfig: origin.path, ...proxyName })];
    case 'inCluster':
      return [new ApiSource({ nodeName, watchNodes, kubeConfig: 'in-cluster', ...proxyName })];
    case 'manifests':
      return [new ManifestSource({ path: origin.path, ...proxyName })];
    case 'source':
      return origin.sources;
  }
}

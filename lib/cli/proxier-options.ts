/** From a command line and, maybe, a KubeProxyConfiguration to the options of a Proxier. */
import { access } from 'node:fs/promises';
import { InvalidArgumentError as InvalidFlagError } from 'commander';
import { InvalidArgumentError, ProxierError } from '../errors.ts';
import type { ProxierOptions, ProxierOrigin, ProxierSettings } from '../proxier/options.ts';
import type { Logger } from '../types.ts';
import { createLogger } from './logger.ts';
import { allSettings } from './settings/all-settings.ts';
import { type Draft, defaultOomScoreAdj, emptyDraft, isVerbose, settingsOf } from './settings/draft.ts';
import type { GivenFlags } from './settings/flags.ts';
import type { Terminal } from './terminal.ts';

export interface Asked {
  readonly settings: ProxierSettings;
  readonly draft: Draft;
  /** There is --config. */
  readonly fromFile: boolean;
  readonly logger: Logger;
  /** Undefined = left as it is. */
  readonly oomScoreAdj: number | undefined;
  /** What an option is called where it was given: `--cluster-cidr`, `FILE: clusterCIDR`. */
  nameOf(option: string): string | undefined;
}

const SERVICE_ACCOUNT_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/**
 * What was asked for. A file wins over flags that have a field in it, but for the node's name and what is logged: as with kube-proxy,
 * but said. What nothing comes of is said once, too.
 *
 * @throws InvalidArgumentError or commander's for what cannot be.
 */
export async function asked(given: GivenFlags, configPath: string | undefined, terminal: Terminal): Promise<Asked> {
  const draft = emptyDraft();
  if (configPath !== undefined) {
    // Loaded on use: it brings YAML along.
    const { readConfiguration } = await import('./settings/configuration-file.ts');
    await readConfiguration(configPath, draft);
  }
  for (const [setting, { name, takes }] of given) {
    const { field } = setting;
    if (configPath !== undefined && field !== undefined && setting.beatsFile !== true) {
      const message = `${name} is not looked at, because there is --config (as with kube-proxy): set ${field} in ${configPath}`;
      draft.notices.push({ origin: name, message });
    } else {
      for (const take of takes) take(draft, name);
    }
  }
  const fromFile = configPath !== undefined;
  const settings = settingsOf(draft, fromFile);
  const logger = createLogger(terminal, { format: draft.logFormat ?? 'text', verbose: isVerbose(draft) });
  for (const { message, isHarmless } of draft.notices) logger[isHarmless === true ? 'info' : 'warn']({}, message);
  return {
    settings,
    draft,
    fromFile,
    logger,
    oomScoreAdj: draft.oomScoreAdj ?? (fromFile ? defaultOomScoreAdj : undefined),
    nameOf(option) {
      const setting = allSettings.find((candidate) => candidate.option === option);
      if (setting === undefined) return undefined;
      const name = given.get(setting)?.name ?? `--${setting.flag}`;
      const isFromFile = fromFile && setting.field !== undefined && !(setting.beatsFile === true && given.has(setting));
      return isFromFile ? `${configPath}: ${setting.field}` : name;
    },
  };
}

/**
 * @throws ProxierError ERR_KUBE_CONFIG when nothing says where the Services come from, InvalidArgumentError for a value that cannot be,
 * named as it was given.
 */
export async function proxierOptions(what: Asked, terminal: Terminal): Promise<ProxierOptions> {
  const options: ProxierOptions = { ...what.settings, ...(await originOf(what, terminal)), logger: what.logger };
  const { resolveOptions } = await import('../proxier/options-schema.ts');
  await checkedAsGiven(what, async () => resolveOptions(options));
  return options;
}

/** A value that cannot be is named as it was given: by its flag, or by file and field. */
export async function checkedAsGiven<T>(what: Asked, check: () => Promise<T>): Promise<T> {
  try {
    return await check();
  } catch (error) {
    throw error instanceof InvalidArgumentError ? renamed(error, what) : error;
  }
}

function renamed(error: InvalidArgumentError, { nameOf }: Asked): InvalidArgumentError {
  const [, top = '', rest = ''] = /^([^[]*)(.*)$/.exec(error.field) ?? [];
  const name = nameOf(top) ?? nameOf(top.split('.')[0] ?? '');
  if (name === undefined) return error;
  const unit = top.endsWith('Ms') ? ' (ms)' : '';
  return new InvalidArgumentError(`${name}${rest}${unit}`, error.message.slice(error.field.length + ': '.length));
}

async function originOf({ draft, logger, fromFile }: Asked, terminal: Terminal): Promise<ProxierOrigin> {
  const { kubeconfig = '', manifests } = draft;
  if (manifests !== undefined) {
    if (kubeconfig !== '') {
      if (!fromFile) throw new InvalidFlagError('--kubeconfig and --manifests cannot be given together: choose one');
      logger.info({}, `clientConnection.kubeconfig ${kubeconfig} is not used: --manifests takes its place`);
    }
    return { manifests };
  }
  if (kubeconfig !== '') return { kubeconfigPath: kubeconfig };
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

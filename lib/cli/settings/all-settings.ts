/** The one table that flags, KubeProxyConfiguration, help and docs/configuration.md are made from. */
import { hostSettings } from './host-settings.ts';
import { ipvsSettings } from './ipvs-settings.ts';
import { logSettings } from './log-settings.ts';
import { modeSettings } from './mode-settings.ts';
import { ownSettings } from './own-settings.ts';
import type { Setting } from './setting.ts';
import { sourceSettings } from './source-settings.ts';
import { trafficSettings } from './traffic-settings.ts';
import { unservedSettings } from './unserved-settings.ts';

export const allSettings: readonly Setting[] = [
  ...sourceSettings,
  ...modeSettings,
  ...trafficSettings,
  ...ipvsSettings,
  ...hostSettings,
  ...logSettings,
  ...ownSettings,
  ...unservedSettings,
];

/** Sends messages of listed sites to a route of their own. */

import { lines, plugin, type Message } from './sesame.js';

/** The operator's `[config]`; the schema below says the same to the host. */
interface Config {
  sites: string[];
  route: string;
}

const configSchema = {
  type: 'object',
  required: ['sites', 'route'],
  additionalProperties: false,
  properties: { sites: { type: 'array', items: { type: 'string' } }, route: { type: 'string' } },
};

/** Names of the channel's routes; none for the default route. */
function route(message: Message, config: Config): string[] {
  const named = lines(message).filter((line) => line.startsWith('Site: '));
  const sites = named.map((line) => line.slice('Site: '.length));
  return sites.length && sites.every((site) => config.sites.includes(site)) ? [config.route] : [];
}

export const { lifecycle, router } = plugin<Config>({
  name: '{{name}}',
  version: '0.1.0',
  summary: 'Sends messages of listed sites to a route of their own.',
  configSchema,
  init: (config) => (config.sites.length ? undefined : 'list at least one site in `sites`'),
  route,
});

/** Refuses messages of sites that are not listed. */

import { error, lines, plugin, type Finding, type Message } from './sesame.js';

/** The operator's `[config]`; the schema below says the same to the host. */
interface Config {
  sites: string[];
}

const configSchema = {
  type: 'object',
  required: ['sites'],
  additionalProperties: false,
  properties: { sites: { type: 'array', items: { type: 'string' } } },
};

/** Findings; one of severity error makes the message invalid. Records end with a line `%%`. */
function validate(message: Message, config: Config): Finding[] {
  const findings: Finding[] = [];
  let record = 1;
  let named = false;
  for (const line of lines(message)) {
    if (line === '%%') record += 1;
    if (!line.startsWith('Site: ')) continue;
    named = true;
    const site = line.slice('Site: '.length);
    if (!config.sites.includes(site)) {
      findings.push(error('site.unknown', 'is not a listed site', { record, field: 'Site', value: site }));
    }
  }
  if (!named) findings.push(error('site.missing', 'no record names its site'));
  return findings;
}

export const { lifecycle, validator } = plugin<Config>({
  name: '{{name}}',
  version: '0.1.0',
  summary: 'Refuses messages of sites that are not listed.',
  configSchema,
  init: (config) => (config.sites.length ? undefined : 'list at least one site in `sites`'),
  validate,
});

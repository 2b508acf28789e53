/** Gives a site that was renamed its new name. */

import { plugin, replaced, text, type Message, type Transformed } from './sesame.js';

/** The operator's `[config]`; the schema below says the same to the host. */
interface Config {
  old: string;
  new: string;
}

const configSchema = {
  type: 'object',
  required: ['old', 'new'],
  additionalProperties: false,
  properties: { old: { type: 'string' }, new: { type: 'string' } },
};

/** The new content; nothing leaves the message as it is. */
function transform(message: Message, config: Config): Transformed {
  const from = `Site: ${config.old}`;
  const lines = text(message).split('\n');
  if (!lines.includes(from)) return undefined;
  return replaced(lines.map((line) => (line === from ? `Site: ${config.new}` : line)).join('\n'));
}

export const { lifecycle, transformer } = plugin<Config>({
  name: '{{name}}',
  version: '0.1.0',
  summary: 'Gives a site that was renamed its new name.',
  configSchema,
  init: (config) => (config.old && config.new ? undefined : 'name the site in `old` and `new`'),
  transform,
});

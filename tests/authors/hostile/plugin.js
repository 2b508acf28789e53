/** Reads a message in every way there is and quotes all of it back, in findings, headers, content and log lines. */

import { error, info, log, part, plugin, split, text, warning } from './sesame.js';

/** What the message says, by the reader that its first character chooses; JSON that is none is thrown. */
function read(whole) {
  if (!/^\s*[[{]/.test(whole)) return whole;
  const document = JSON.parse(whole);
  JSON.stringify(document);
  return Array.isArray(document) ? document : (document.Site ?? document);
}

const shown = (value) => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));

export const { lifecycle, validator, transformer } = plugin({
  name: 'hostile',
  version: '0.1.0',
  summary: 'Quotes a message.',
  validate(message) {
    const whole = text(message);
    if (whole.startsWith('echo:')) return [warning('x.echo', 'goes on')];
    const value = read(whole);
    log.debug(value);
    const one = (line) => error(line, line, { record: line.length, field: line, value: line });
    const lines = shown(value).split('\n').map(one);
    return [...lines, error('x.read', value, { record: -1, field: value, value }), error(value, 'is read', { value })];
  },
  transform(message) {
    const whole = text(message);
    if (!whole.startsWith('echo:')) return undefined;
    const value = read(whole.slice(5));
    const said = shown(value) || 'nothing';
    const parts = [part(said, { headers: { 'x-value': value } }), part('x', { refused: [error(said, said, { value })] })];
    return [split(parts), Array(300).fill(info('x.note', said, { field: said }))];
  },
});

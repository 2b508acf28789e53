/** Does what the message says, in every role: for the tests of the helper. */

import { Invalid, Retry, dropped, error, info, part, plugin, replaced, split, text, warning } from './sesame.js';

export const { lifecycle, validator, transformer, router } = plugin({
  name: 'obedient',
  version: '0.1.0',
  summary: 'Does what the message says.',
  validate(message) {
    const word = text(message).trim();
    if (word === 'give up') throw new RangeError('out of cheese');
    if (word === 'later') throw new Retry('not yet', 5000);
    if (word === 'invalid') throw new Invalid(error('x.bad', 'is bad', { record: 3, field: 'F', value: 'größer' }));
    return word === 'warn' ? [warning('x.odd', 'is odd')] : [];
  },
  transform(message) {
    const word = text(message).trim();
    if (word === 'replace') return replaced('größer\n', { contentType: 'text/x-new', headers: { 'x-kind': 'new' } });
    const parts = () => [part('one'), part('two', { refused: [error('x.part', 'is bad')] })];
    if (word === 'split') return [split(parts()), [info('x.note', 'in two')]];
    return word === 'drop' ? dropped(info('x.unwanted', 'is not wanted')) : undefined;
  },
  route: (message) => (text(message) === 'route\n' ? ['cloud', 'default'] : []),
});

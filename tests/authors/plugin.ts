/** Does what the message says, in every role: for the tests of the helper. */

import { Invalid, Retry, dropped, error, info, part, plugin, replaced, split, text, warning } from './sesame.js';
import type { Message, Transformed } from './sesame.js';

function validate(message: Message) {
  const word: string = text(message).trim();
  if (word === 'give up') {
    throw new RangeError('out of cheese');
  }
  if (word === 'later') throw new Retry('not yet', 5000);
  if (word === 'invalid') throw new Invalid(error('x.bad', 'is bad', { record: 3, field: 'F', value: 'größer' }));
  return word === 'warn' ? [warning('x.odd', 'is odd')] : [];
}

function transform(message: Message): Transformed {
  const word: string = text(message).trim();
  if (word === 'replace') return replaced('größer\n', { contentType: 'text/x-new', headers: { 'x-kind': 'new' } });
  const parts = () => [part('one'), part('two', { refused: [error('x.part', 'is bad')] })];
  if (word === 'split') return [split(parts()), [info('x.note', 'in two')]];
  return word === 'drop' ? dropped(info('x.unwanted', 'is not wanted')) : undefined;
}

const { receivedAt, attempt }: { receivedAt: number; attempt: number } = { receivedAt: 1767225600000, attempt: 1 };

/** What the types say of a message is so. */
function isTyped({ context, payload }: Message): boolean {
  const { signer, transportHeaders, properties } = context;
  const plain = context.receivedAt === receivedAt && context.attempt === attempt && context.contentType === null;
  const lists = Array.isArray(transportHeaders) && properties.every(([name, value]) => typeof (name + value) === 'string');
  const signed = signer !== null && typeof signer.notAfter === 'number' && signer.certificate instanceof Uint8Array;
  return plain && lists && signed && context.direction === 'inbound' && payload instanceof Uint8Array;
}

export const { lifecycle, validator, transformer, router } = plugin({
  name: 'obedient',
  version: '0.1.0',
  summary: 'Does what the message says.',
  validate,
  transform,
  route: (message) => (text(message) === 'route\n' && isTyped(message) ? ['cloud', 'default'] : []),
});

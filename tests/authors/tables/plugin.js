/** Refuses messages of sites that a lookup table does not have. */

import { contains, get } from 'sesame:plugin/tables@1.1.0';
import { error, lines, plugin, warning } from './sesame.js';

export const { lifecycle, validator } = plugin({
  name: 'lookups',
  version: '1',
  summary: 'Refuses messages of sites that a lookup table does not have.',
  init() {
    contains('sites', '');
  },
  validate(message) {
    const row = get('sites', [...lines(message)][0]);
    if (!row) return [error('site.unknown', 'is not in the table')];
    return [warning('site.country', Object.fromEntries(row).country)];
  },
});

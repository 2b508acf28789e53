/**
 * Runs plugin.js over files without a component: `run.mjs FOLDER FILE…`, where the folder holds plugin.js, sesame.js and
 * log.js. Says `NAME VERDICT` for each file, and fails if an answer contains what the host does not accept, or the plugin failed.
 */

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, ...files] = process.argv.slice(2);
const { lifecycle, validator, transformer } = await import(pathToFileURL(`${folder}/plugin.js`));

/** The size of an answer; throws where the host would not take a text of it. */
function fits(answer, key) {
  if (typeof answer === 'string') {
    if (!answer.isWellFormed()) throw new Error(`a single surrogate in ${key}`);
    return Buffer.byteLength(answer);
  }
  if (key === 'recordNumber' && answer !== null && !(Number.isInteger(answer) && answer >= 1 && answer < 2 ** 32)) {
    throw new Error(`the record ${answer}`);
  }
  if (answer === null || typeof answer === 'number') return 8;
  if (answer instanceof Uint8Array) return answer.length;
  if (typeof answer !== 'object') throw new Error(`${typeof answer} in ${key}`);
  return Object.entries(answer).reduce((size, [name, value]) => size + fits(value, name), 0);
}

function verdict(call) {
  try {
    return ['accepted', fits(call())];
  } catch (failure) {
    if (failure?.tag !== 'invalid' || failure.val.length === 0) throw failure;
    return ['invalid', fits(failure)];
  }
}

lifecycle.init('{}');
for (const file of files) {
  const payload = new Uint8Array(readFileSync(file));
  const message = { payload, context: { messageId: 'm', properties: [] } };
  for (const [role, call] of [['validate', validator.validate], ['transform', transformer.transform]]) {
    try {
      const [said, size] = verdict(() => call(message));
      if (size > 2_000_000 + 4 * message.payload.length) throw new Error(`hands back ${size} bytes`);
      process.stdout.write(`${basename(file)} ${said}\n`);
    } catch (wrong) {
      process.stderr.write(`${basename(file)}: ${role} fails: ${JSON.stringify(wrong?.message ?? wrong).slice(0, 300)}\n`);
      process.exit(1);
    }
  }
}

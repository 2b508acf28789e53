/**
 * What a plugin for Sesame is written with in JavaScript.
 *
 * `plugin({...})` takes a name, a version, a summary, perhaps a JSON Schema of the configuration, and one function for
 * each role of `wit/world.wit`; the names it gives back are exported by the plugin's own module:
 *
 *     export const { lifecycle, validator } = plugin({ name: 'sites', ..., validate(message, config) { ... } });
 *
 * Every message gets a fresh instance: what a plugin keeps is gone with it. There are no files, network, clocks or
 * random numbers that a plugin may rely on; "now" is `message.context.receivedAt`, milliseconds since 1970.
 */

import * as host from 'sesame:plugin/log@{{contract}}';

const write = (level) => (text) => (host.write ?? host.default.write)(level, String(text));

/** The plugin's log. */
export const log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };

const finding = (severity) => (code, text, { record = null, field = null, value = null } = {}) => ({
  severity, code, text, field, properties: [], recordNumber: record, value: value === null ? null : String(value),
});

/**
 * A finding that makes the message invalid. Records count from 1; what was in the message belongs into `value`, which
 * the host keeps only beside the message.
 */
export const error = finding('error');
/** A finding about a message that is good enough. */
export const warning = finding('warning');
/** A note. */
export const info = finding('info');

/** Thrown: the message is bad and stays bad; the same as returning these findings. */
export class Invalid extends Error {
  constructor(...findings) {
    super(findings.map((found) => found.text).join('; '));
    this.findings = findings;
  }
}

/** Thrown: the message cannot be judged yet; it is tried again after at least `after` milliseconds. */
export class Retry extends Error {
  constructor(reason, after = null) {
    super(reason);
    this.after = after;
  }
}

/**
 * What `transform` returns, beside nothing for a message that stays as it is; a list of that and findings, where there
 * are any.
 */
export const replaced = (payload, { contentType, headers } = {}) => ({ replaced: { payload, contentType, headers } });
/** Several messages in place of one: a list of `part(...)`. */
export const split = (parts) => ({ split: parts });
/** A part of a split; with findings in `refused` it goes to the reject queue. */
export const part = (payload, { contentType, headers, refused } = {}) => ({ payload, contentType, headers, refused });
/** The message ends here on purpose. */
export const dropped = (found) => ({ dropped: found });

/** Content as text, and text as content. */
export const text = (message) => decodeUtf8(message.payload);
export const bytes = (content) => (typeof content === 'string' ? encodeUtf8(content) : content);

// The engine has neither TextDecoder nor TextEncoder.
const AT_ONCE = 4096;

function joined(units) {
  const pieces = [];
  for (let at = 0; at < units.length; at += AT_ONCE) {
    pieces.push(String.fromCharCode.apply(null, units.slice(at, at + AT_ONCE)));
  }
  return pieces.join('');
}

/** The code point at `at` and the length of its bytes; U+FFFD for a byte that is part of none. */
function decodeOne(payload, at) {
  const lead = payload[at];
  if (lead < 0x80) return [lead, 1];
  const length = lead >= 0xf0 && lead < 0xf5 ? 4 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xc2 && lead < 0xe0 ? 2 : 0;
  let point = lead & (0x7f >> length);
  for (let next = 1; next < length; next += 1) {
    const byte = payload[at + next];
    if ((byte & 0xc0) !== 0x80) return [0xfffd, 1];
    point = (point << 6) | (byte & 0x3f);
  }
  const least = [0, 0, 0x80, 0x800, 0x10000][length];
  const legal = length && point >= least && point <= 0x10ffff && !(point >= 0xd800 && point < 0xe000);
  return legal ? [point, length] : [0xfffd, 1];
}

function isAscii(bytes) {
  for (let at = 0; at < bytes.length; at += 1) if (bytes[at] >= 0x80) return false;
  return true;
}

function decodeUtf8(payload) {
  const bytes = payload instanceof Uint8Array ? payload : Uint8Array.from(payload);
  if (isAscii(bytes)) return joined(bytes);
  const units = [];
  for (let at = 0; at < bytes.length; ) {
    const [point, length] = decodeOne(bytes, at);
    if (point < 0x10000) units.push(point);
    else units.push(0xd800 + ((point - 0x10000) >> 10), 0xdc00 + ((point - 0x10000) & 0x3ff));
    at += length;
  }
  return joined(units);
}

function encodeUtf8(content) {
  const encoded = [];
  for (const character of content) {
    const point = character.codePointAt(0);
    if (point < 0x80) encoded.push(point);
    else if (point < 0x800) encoded.push(0xc0 | (point >> 6), 0x80 | (point & 0x3f));
    else if (point < 0x10000) {
      const whole = point >= 0xd800 && point < 0xe000 ? 0xfffd : point;
      encoded.push(0xe0 | (whole >> 12), 0x80 | ((whole >> 6) & 0x3f), 0x80 | (whole & 0x3f));
    } else {
      encoded.push(0xf0 | (point >> 18), 0x80 | ((point >> 12) & 0x3f), 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f));
    }
  }
  return Uint8Array.from(encoded);
}

const output = ({ payload, contentType = null, headers = {} }) => ({
  payload: bytes(payload), contentType, setHeaders: Object.entries(headers), properties: [],
});

const refusedPart = (given) => (given && given.length ? given : null);

function verdict(answer) {
  if (answer === undefined || answer === null) return { tag: 'unchanged' };
  if (answer.replaced) return { tag: 'replaced', val: output(answer.replaced) };
  if (answer.dropped) return { tag: 'dropped', val: answer.dropped };
  if (answer.split) {
    return { tag: 'split', val: answer.split.map((one) => ({ content: output(one), refused: refusedPart(one.refused) })) };
  }
  throw new TypeError('transform returned something else than nothing, replaced, split or dropped');
}

const invalid = (findings) => ({ contract: { tag: 'invalid', val: findings } });

function checked(findings) {
  const given = [...(findings ?? [])];
  if (given.some((found) => found.severity === 'error')) throw invalid(given);
  return given;
}

function transformed(answer) {
  const [change, findings] = Array.isArray(answer) ? answer : [answer, []];
  return { findings: checked(findings), verdict: verdict(change) };
}

/** The error in one line with the place where it was thrown. */
function place(failed) {
  if (!(failed instanceof Error)) return `thrown: ${String(failed)}`;
  const where = /([^()\s/]+:\d+(?::\d+)?)\)?/.exec(failed.stack ?? '');
  return `${where ? `${where[1]}: ` : ''}${failed.name}: ${failed.message}`;
}

/** Calls the plugin; whatever it throws becomes a failure of the contract. */
function ask(call) {
  try {
    return call();
  } catch (failed) {
    if (failed?.contract) throw failed.contract;
    if (failed instanceof Invalid) throw invalid(failed.findings).contract;
    if (failed instanceof Retry) throw { tag: 'retry', val: { after: failed.after, reason: failed.message } };
    throw { tag: 'internal', val: place(failed) };
  }
}

const KEYS = 'name, version, summary, configSchema, init, validate, transform, route';

/** The interfaces that the component exports: `lifecycle`, and one for each role there is a function for. */
export function plugin({ name, version, summary, configSchema, init, validate, transform, route, ...unknown }) {
  const [misspelt] = Object.keys(unknown);
  if (misspelt) throw new TypeError(`plugin(): unknown key ${misspelt}; known: ${KEYS}`);
  const functions = Object.entries({ validate, transform, route }).filter(([, given]) => given).map(([key]) => key);
  let config = {};
  return {
    lifecycle: {
      describe: () => ({
        name, version, summary, properties: [['functions', functions.join(' ')]],
        configSchema: configSchema === undefined ? null : JSON.stringify(configSchema),
      }),
      init(json) {
        config = JSON.parse(json);
        let wrong;
        try {
          wrong = init?.(config);
        } catch (failed) {
          throw place(failed);
        }
        if (typeof wrong === 'string') throw wrong;
      },
    },
    validator: { validate: (message) => ask(() => checked(validate(message, config))) },
    transformer: { transform: (message) => ask(() => transformed(transform(message, config))) },
    router: { route: (message) => ask(() => [...(route(message, config) ?? [])]) },
  };
}

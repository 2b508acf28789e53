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

/** What `transform` returns, beside nothing for a message that stays as it is. */
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

const decodeUtf8 = (payload) => new TextDecoder().decode(payload instanceof Uint8Array ? payload : new Uint8Array(payload));
const encodeUtf8 = (content) => new TextEncoder().encode(content);

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

/** The error in one line with the place where it was thrown. */
function place(failed) {
  if (!(failed instanceof Error)) return `thrown: ${String(failed)}`;
  const where = /\(?([^()\s]+:\d+(?::\d+)?)\)?/.exec(failed.stack ?? '');
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

/** The interfaces that the component exports: `lifecycle`, and one for each role there is a function for. */
export function plugin({ name, version, summary, configSchema, init, validate, transform, route }) {
  let config = {};
  return {
    lifecycle: {
      describe: () => ({
        name, version, summary, properties: [],
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
    transformer: {
      transform: (message) => ask(() => ({ verdict: verdict(transform(message, config)), findings: [] })),
    },
    router: { route: (message) => ask(() => [...(route(message, config) ?? [])]) },
  };
}

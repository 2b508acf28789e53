// Troubles, and the tables of plugins, signers, certificates, brokers and disks.

import { at, element, keyed, mark, row, write } from "./dom.js";
import { count, counted, moment, plain, size, span, took } from "./format.js";

const DAY = 86_400_000;
/** From here on a signer counts as silent. */
const SILENT = 1.5 * DAY;
/** Signers that are shown at first. */
const FIRST = 25;
/** Rank of a severity; what is unknown comes last. */
const RANK = { critical: 0, warning: 1 };

let allSigners = false;

/** Shows what is wrong, the worst first. */
export function showTroubles(overview) {
  const rank = (trouble) => RANK[trouble.severity] ?? 2;
  const troubles = [...overview.troubles].sort((one, other) => rank(one) - rank(other));
  const critical = troubles.filter((trouble) => trouble.severity === "critical").length;
  const summary = troubles.length === 0
    ? "Nothing is wrong."
    : `${counted(troubles.length, "trouble", "troubles")}, ${count(critical)} of them critical: the worst is about `
      + `${plain(troubles[0].about, 200)}.`;
  write(at("troubles-summary"), summary);
  mark(at("troubles-summary"), "class", troubles.length === 0 ? "good" : critical > 0 ? "bad" : "warn");
  const key = (trouble) => JSON.stringify([trouble.severity, trouble.about]);
  keyed(at("troubles-list"), troubles, key, (trouble) => {
    const state = trouble.severity === "critical" ? "bad" : "warn";
    const text = element("span", {});
    const node = element("li", { class: `trouble ${state}` }, element("strong", {}, plain(trouble.severity)), " ",
      element("bdi", { class: "about" }, plain(trouble.about, 500)), " ", text);
    return { node, update: (now) => commands(text, plain(now.text)) };
  });
}

/** Writes a text in which commands are between backticks. */
function commands(node, text) {
  const parts = text.split("`");
  if (node.textContent !== parts.join("")) {
    node.replaceChildren(...parts.map((part, place) => (place % 2 === 1 ? element("code", {}, part) : part)));
  }
}

/** Rows of a table; `cells` gives the texts of an item, `state` the class of its row. */
function rows(id, items, key, classes, cells, state = () => null) {
  const shown = items.map((item) => ({ key: key(item), texts: cells(item), state: state(item) }));
  keyed(at(id), shown, (one) => one.key, () => {
    const line = row(classes);
    return {
      node: line.node,
      update(one) {
        line.set(one.texts);
        mark(line.node, "class", one.state);
      },
    };
  });
}

const FIGURE = "figure";

/** Shows the tables. */
export function showTables(overview) {
  showPlugins(overview);
  showSigners(overview);
  rows("certificates-rows", [...overview.expiries].sort((one, other) => one.ends - other.ends),
    (one) => JSON.stringify([one.purpose, one.file]), ["", "long", "", FIGURE],
    (one) => [plain(one.purpose), plain(one.file), moment(one.ends), left(one.ends - overview.at)],
    (one) => (one.ends < overview.at ? "bad" : one.ends - overview.at < (one.purpose === "crl" ? 1 : 30) * DAY ? "warn" : null));
  rows("brokers-rows", overview.brokers, (one) => one.name, ["long", FIGURE, FIGURE, FIGURE, FIGURE, FIGURE, FIGURE],
    (one) => [plain(one.name, 200), count(one.sessions), count(one.opened), count(one.lost), count(one.silent), count(one.failed),
      took(one.blocked)],
    (one) => (one.sessions === 0 ? "bad" : null));
  rows("disks-rows", overview.places, (one) => one.directory, ["long", FIGURE, FIGURE, FIGURE],
    (one) => [plain(one.directory), size(one.journal), one.free === null || one.free === undefined ? "–" : size(one.free),
      size(one["min-free"])],
    (one) => (one.free !== null && one.free < one["min-free"] ? "bad" : null));
  const looked = overview["looked-at"];
  write(at("looked-at"), looked ? `Queues, journals and disks as of ${moment(looked)}.` : "Queues and disks are being looked at.");
}

function left(rest) {
  return rest < 0 ? `ended ${span(-rest)} ago` : rest < DAY ? span(rest) : counted(Math.floor(rest / DAY), "day", "days");
}

function showPlugins({ channels }) {
  const plugins = channels.flatMap((channel) => channel.plugins.map((plugin) => ({ channel, plugin })));
  const numbers = Array(6).fill(FIGURE);
  rows("plugins-rows", plugins, ({ channel, plugin }) => JSON.stringify([channel.direction, channel.name, plugin.name]),
    ["long", "", "", "", ...numbers],
    ({ channel, plugin }) => [plain(plugin.name, 200), plain(channel.name, 200),
      plugin.fault ? `${plain(plugin.state)}: ${plain(plugin.fault)}` : plain(plugin.state),
      plugin.version ? plain(plugin.version, 100) : "–",
      count(plugin.calls), count(plugin.rejects), count(plugin.retries), count(plugin.errors), took(plugin.p50), took(plugin.p99)],
    ({ plugin }) => (plugin.state === "broken" || plugin.state === "missing" ? "bad" : plugin.fault ? "warn" : null));
}

function showSigners({ channels, at: now }) {
  const signers = channels.flatMap((channel) => channel.signers.map((signer) => ({ channel: channel.name, ...signer })));
  signers.sort((one, other) => one.last - other.last);
  const shown = allSigners ? signers : signers.slice(0, FIRST);
  const silent = signers.filter((signer) => now - signer.last > SILENT).length;
  write(at("signers-summary"), signers.length === 0
    ? "No signer was heard yet."
    : `${counted(signers.length, "signer", "signers")}, ${count(silent)} silent for more than ${span(SILENT)}.`);
  rows("signers-rows", shown, (one) => JSON.stringify([one.channel, one.name]), ["long", "", "", FIGURE],
    (one) => [plain(one.name, 500), plain(one.channel, 200), moment(one.last), span(now - one.last)],
    (one) => (now - one.last > SILENT ? "warn" : null));
  const button = at("signers-all");
  button.hidden = signers.length <= FIRST;
  write(button, allSigners ? `Show the first ${FIRST} only` : `Show all ${count(signers.length)} signers`);
  button.onclick = () => {
    allSigners = !allSigners;
    showSigners({ channels, at: now });
  };
}

// The channels: a picture, rates, and the figures behind them.

import { at, element, keyed, row, write, mark } from "./dom.js";
import { count, plain, rate, size, span, took } from "./format.js";
import { picture, sparkline, stations } from "./flow.js";

/** Rates that are kept of a channel: five minutes of them. */
const KEPT = 300;
/** The steps at which a message is done. */
const LAST = { send: "receipt", receive: "commit" };

/** What was counted of each channel at the last overview, and the rates since. */
let histories = new Map();

const keyOf = (channel) => `${channel.direction} ${channel.name}`;

/** Takes the counts of an overview; `before` is the one before it, if it is of the same process. */
export function countRates(overview, before) {
  const kept = new Map();
  const seconds = before ? (overview.at - before.at) / 1000 : 0;
  for (const channel of overview.channels) {
    const old = before?.channels.find((one) => keyOf(one) === keyOf(channel));
    const history = (before && histories.get(keyOf(channel))) || { rates: {}, bytes: {}, line: [] };
    if (old && seconds > 0) {
      for (const step of channel.steps) {
        const last = old.steps.find((one) => one.name === step.name);
        history.rates[step.name] = Math.max(0, step.count - (last?.count ?? 0)) / seconds;
        history.bytes[step.name] = Math.max(0, step.bytes - (last?.bytes ?? 0)) / seconds;
      }
      history.line.push(history.rates[LAST[channel.direction]] ?? 0);
      history.line.splice(0, history.line.length - KEPT);
    }
    kept.set(keyOf(channel), history);
  }
  histories = kept;
}

/** Shows the channels. `control` gives a button for pause and resume, or nothing. */
export function showChannels(overview, control) {
  const list = at("channels-list");
  mark(list, "data-channels", overview.channels.length);
  keyed(list, overview.channels.map((channel) => ({ channel, overview })), ({ channel }) => keyOf(channel),
    ({ channel }) => card(channel, control));
}

let cards = 0;

function card({ name, direction }, control) {
  const number = (cards += 1);
  const badge = element("span", { class: "badge" });
  const why = element("p", { class: "why" });
  const flow = picture();
  const line = sparkline();
  const now = element("p", { class: "now" });
  const button = control.channel(name);
  const tables = figures(name);
  const heading = element("h3", { id: `channel-${number}` }, plain(name, 200));
  const role = element("span", { class: "role" }, direction === "send" ? "sends" : "receives");
  const node = element("article", { class: "card", "aria-labelledby": heading.id },
    element("div", { class: "head" }, heading, role, badge, button.node), why, flow.node,
    element("div", { class: "rate" }, line.node, now), tables.node);
  return {
    node,
    update({ channel, overview }) {
      const history = histories.get(keyOf(channel)) ?? { rates: {}, bytes: {}, line: [] };
      const state = channel.paused ? ["warn", "paused"] : channel["out-of-service"] ? ["bad", "out of service"] : ["good", "in service"];
      mark(badge, "class", `badge ${state[0]}`);
      write(badge, state[1]);
      const reason = channel.paused ?? channel["out-of-service"];
      write(why, plain(reason));
      mark(why, "hidden", !reason);
      flow.set(name, stations(channel, overview, history.rates));
      line.set(history.line, KEPT);
      const last = LAST[direction];
      const rejected = Object.values(channel.rejections).reduce((sum, number) => sum + number, 0);
      write(now, `${rate(history.rates[last])}, ${size(history.bytes[last])}/s, ${count(rejected)} rejected`);
      button.update();
      tables.update(channel, overview, history);
    },
  };
}

/** The figures of a channel as tables: what the picture shows, and more. */
function figures(name) {
  const steps = table(`Steps of ${plain(name, 200)}`, ["Step", "Messages", "Now", "Mean time", "Bytes"]);
  const queues = table(`Queues of ${plain(name, 200)}`, ["Queue", "Messages", "Oldest"]);
  const fates = table(`What became of messages of ${plain(name, 200)}`, ["Fate", "Messages"]);
  const facts = element("p", { class: "note" });
  const node = element("details", {}, element("summary", {}, `Figures of ${plain(name, 200)}`),
    facts, element("div", { class: "tables" }, steps.node, queues.node, fates.node));
  return {
    node,
    update(channel, overview, { rates }) {
      write(facts, `Destination ${plain(channel.destination)}, directory ${plain(channel.directory)}, `
        + `${count(channel["in-flight"])} in flight, ${count(channel.redeliveries)} redelivered${words(channel.acknowledgements, overview.at)}`);
      steps.set(channel.steps.map((step) =>
        [step.name, count(step.count), rate(rates[step.name]), took(step.count > 0 ? step.time / step.count : null), size(step.bytes)]));
      queues.set(channel.queues.map((queue) =>
        [queue.name, count(queue.messages), queue.oldest ? span(overview.at - queue.oldest) : "–"]));
      const codes = Object.entries(channel.rejections).map(([code, number]) => [`rejected: ${code}`, count(number)]);
      const others = Object.entries(channel.fates).filter(([fate]) => fate !== "rejected" || codes.length === 0);
      fates.set(others.map(([fate, number]) => [fate, count(number)]).concat(codes));
    },
  };
}

function words(acknowledgements, now) {
  if (!acknowledgements) {
    return "";
  }
  const { awaited, oldest, overdue, owed, missing } = acknowledgements;
  const since = oldest ? `, the oldest for ${span(now - oldest)}` : "";
  return `; acknowledgements: ${count(awaited)} awaited${since}, ${count(overdue)} overdue, ${count(owed)} owed; `
    + `${count(missing)} messages missing`;
}

function table(caption, headings) {
  const body = element("tbody");
  const cells = headings.map((text, place) => element("th", { scope: "col", class: place > 0 ? "figure" : null }, text));
  const node = element("table", {}, element("caption", {}, caption), element("thead", {}, element("tr", {}, ...cells)), body);
  const classes = headings.map((_, place) => (place > 0 ? "figure" : ""));
  return {
    node,
    set(rows) {
      keyed(body, rows, ([first]) => first, () => {
        const one = row(classes);
        return { node: one.node, update: (texts) => one.set(texts.map((text) => plain(text))) };
      });
    },
  };
}

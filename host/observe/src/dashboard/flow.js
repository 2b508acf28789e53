// The way of a channel's messages as a picture, and rates as a line.

import { drawing, mark, write } from "./dom.js";
import { counted, count, plain, rate, short, span } from "./format.js";

const NARROW = window.matchMedia("(max-width: 52rem)");
const [WIDTH, HEIGHT, GAP, DROP] = [168, 84, 72, 40];
let pictures = 0;

/** The stations of a channel and the rates between them. */
export function stations(channel, overview, rates) {
  const queue = (name) => channel.queues.find((one) => one.name === name);
  const broken = channel.plugins.filter((plugin) => plugin.state !== "ready" && plugin.state !== "disabled");
  const rejected = channel.plugins.reduce((sum, plugin) => sum + plugin.rejects, 0);
  const plugins = {
    title: "Plugins",
    lines: [
      broken.length > 0 ? `${broken[0].state}: ${broken[0].name}` : `${count(channel.plugins.length)} in service`,
      rejected > 0 ? `${count(rejected)} rejected` : "none rejected",
    ],
    state: broken.length > 0 ? "bad" : rejected > 0 ? "warn" : "good",
  };
  const link = overview.brokers.find((one) => one.name === channel.broker);
  const open = (link?.sessions ?? 0) > 0;
  const broker = {
    title: `Broker ${channel.broker}`,
    // Its sessions are counted for all channels together.
    lines: [open ? "connected" : "no session", channel.destination],
    state: open ? "good" : "bad",
  };
  if (channel.direction === "send") {
    const sent = { title: "Receipts", lines: [`${count(channel.fates.sent)} sent`, `${count(channel["in-flight"])} in flight`] };
    const awaited = channel.acknowledgements;
    if (awaited) {
      sent.lines[1] = `${count(awaited.awaited)} unacknowledged`;
      sent.state = awaited.overdue > 0 ? "bad" : "good";
    }
    return {
      boxes: [station("Queue", queue("outgoing"), overview.at), plugins, broker, sent],
      arrows: [rates.lock, rates.seal, rates.receipt],
    };
  }
  const spool = station("Spool", queue("incoming"), overview.at);
  const deferred = queue("deferred");
  if (deferred?.messages > 0) {
    spool.lines[1] = `${count(deferred.messages)} deferred`;
    spool.state = "warn";
  }
  return { boxes: [broker, plugins, spool], arrows: [rates.receive, rates.commit] };
}

function station(title, queue, now) {
  const lines = queue ? [counted(queue.messages, "message", "messages"), "none waits"] : ["not looked at yet", ""];
  if (queue?.oldest) {
    lines[1] = `oldest ${span(now - queue.oldest)}`;
  }
  return { title, lines, state: "good" };
}

/** A picture of the way, with a name and a description for those who do not see it. */
export function picture() {
  const number = (pictures += 1);
  const title = drawing("title", { id: `flow-${number}-title` });
  const description = drawing("desc", { id: `flow-${number}-text` });
  const node = drawing("svg", {
    class: "flow", role: "img", "aria-labelledby": title.id, "aria-describedby": description.id, focusable: "false",
  }, title, description);
  let drawn = { shape: "", boxes: [], arrows: [] };
  return {
    node,
    set(name, { boxes, arrows }) {
      const shape = `${NARROW.matches} ${boxes.length}`;
      if (drawn.shape !== shape) {
        drawn.boxes.concat(drawn.arrows).forEach((one) => one.node.remove());
        drawn = draw(node, boxes.length, NARROW.matches);
        drawn.shape = shape;
      }
      boxes.forEach((box, place) => drawn.boxes[place].set(box));
      arrows.forEach((speed, place) => drawn.arrows[place].set(speed));
      write(title, `The way of messages of ${plain(name, 200)}`);
      const parts = boxes.map((box, place) => {
        const speed = place < arrows.length ? `, then ${rate(arrows[place])}` : "";
        return `${plain(box.title)}: ${box.lines.filter(Boolean).map((line) => plain(line)).join(", ")}${speed}`;
      });
      write(description, parts.join("; "));
    },
  };
}

function draw(svg, boxes, narrow) {
  const [long, wide] = narrow ? [HEIGHT + DROP, 300] : [WIDTH + GAP, 0];
  const length = boxes * long - (narrow ? DROP : GAP);
  mark(svg, "viewBox", narrow ? `0 0 ${wide} ${length}` : `0 0 ${length} ${HEIGHT}`);
  mark(svg, "width", narrow ? wide : length);
  const drawn = { boxes: [], arrows: [] };
  for (let place = 0; place < boxes; place += 1) {
    const [x, y] = narrow ? [0, place * long] : [place * long, 0];
    drawn.boxes.push(box(x, y, narrow ? wide : WIDTH));
    if (place + 1 < boxes) {
      drawn.arrows.push(narrow ? arrow([wide / 2, y + HEIGHT], [0, DROP]) : arrow([x + WIDTH, HEIGHT / 2], [GAP, 0]));
    }
  }
  drawn.boxes.concat(drawn.arrows).forEach((one) => svg.append(one.node));
  return drawn;
}

function box(x, y, width) {
  // Of a bold letter and of another, with room for wide ones.
  const [bold, letters] = [10, 8].map((each) => Math.floor((width - 20) / each));
  const lines = [24, 48, 70].map((down, place) =>
    drawing("text", { x: x + 12, y: y + down, class: place === 0 ? "station" : "station-line" }));
  const frame = drawing("rect", { x: x + 1, y: y + 1, width: width - 2, height: HEIGHT - 2, rx: 8 });
  const node = drawing("g", { class: "box" }, frame, ...lines);
  return {
    node,
    set({ title, lines: texts, state }) {
      mark(node, "class", `box ${state ?? "good"}`);
      [title, ...texts].forEach((text, place) => write(lines[place], short(text, place === 0 ? bold : letters)));
    },
  };
}

function arrow([x, y], [right, down]) {
  const head = right > 0 ? `m-8 -6 8 6 -8 6` : `m-6 -8 6 8 6 -8`;
  const path = right > 0 ? `M${x + 4} ${y}h${right - 8}` : `M${x} ${y + 3}v${down - 6}`;
  const line = drawing("path", { d: path, class: "line" });
  const point = drawing("path", { d: `${path}${head}`, class: "point" });
  const text = right > 0
    ? drawing("text", { x: x + right / 2 - 2, y: y - 10, class: "speed", "text-anchor": "middle" })
    : drawing("text", { x: x + 14, y: y + down / 2 + 5, class: "speed" });
  const node = drawing("g", { class: "arrow" }, point, line, text);
  return {
    node,
    set(speed) {
      mark(node, "class", speed > 0 ? "arrow moving" : "arrow");
      write(text, rate(speed));
    },
  };
}

const [LONG, TALL] = [300, 40];

/** The rates of the last minutes as a line. */
export function sparkline() {
  const number = (pictures += 1);
  const title = drawing("title", { id: `line-${number}` });
  const line = drawing("polyline", { class: "rates" });
  const node = drawing("svg", {
    class: "sparkline", role: "img", "aria-labelledby": title.id, viewBox: `0 0 ${LONG} ${TALL}`, focusable: "false",
    preserveAspectRatio: "none",
  }, title, line);
  return {
    node,
    set(history, most) {
      const highest = Math.max(...history, 1e-9);
      const step = LONG / Math.max(most - 1, 1);
      const start = LONG - (history.length - 1) * step;
      const points = history.map((value, place) =>
        `${(start + place * step).toFixed(1)},${(TALL - 2 - (value / highest) * (TALL - 4)).toFixed(1)}`);
      mark(line, "points", points.join(" "));
      const now = history.at(-1) ?? 0;
      const all = history.length === 0 ? "no rates yet" : `now ${rate(now)}, highest ${rate(Math.max(...history))}`;
      write(title, `Messages in each second of the last minutes: ${all}`);
    },
  };
}

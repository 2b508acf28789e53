// The dashboard: asks for overviews while the page is seen, and shows them.

import { at, mark, write } from "./dom.js";
import { moment, plain, span } from "./format.js";
import { countRates, showChannels } from "./channels.js";
import { showTables, showTroubles } from "./tables.js";
import { ask, showMessages, startTrace } from "./messages.js";
import { allow, control, startControl } from "./control.js";

/** How often to ask, in milliseconds, and how seldom while there is no answer. */
const [OFTEN, SELDOM] = [1000, 5000];
/** Overviews after which all else is asked for, be there a reason or not. */
const ROUND = 10;

let last = null;
let away = null;
let asked = 0;
let met = "";
let held = "";
let timer = null;
let asking = false;

/** What was counted of messages that did not simply pass: where it changes, there are new ones. */
function unusual({ channels }) {
  return JSON.stringify(channels.map(({ fates, rejections }) => [{ ...fates, prepared: 0, sent: 0, stored: 0 }, rejections]));
}

async function look() {
  const [overview, error] = await ask("/api/overview");
  if (error) {
    away = away ?? Date.now();
    const since = `not reachable since ${moment(away)}, for ${span(Date.now() - away)}; it is tried again`;
    connection("bad", `${since}. ${error}`);
    return SELDOM;
  }
  const same = last !== null && last.process === overview.process && last.started === overview.started;
  if (last !== null && !same) {
    met = "";
  }
  away = null;
  connection("good", "live");
  write(at("identity"), `version ${plain(overview.version, 100)}, process ${overview.process}, up for ${span(overview.at - overview.started)}`);
  const now = unusual(overview);
  const paused = JSON.stringify(overview.channels.map((channel) => channel.paused));
  if (asked % ROUND === 0 || !same || paused !== held) {
    held = paused;
    await lookAtControl();
  }
  countRates(overview, same ? last : null);
  showTroubles(overview);
  showChannels(overview, control);
  showTables(overview);
  if (now !== met || asked % ROUND === 0) {
    const [events] = await ask("/api/recent");
    if (events) {
      showMessages(events, control);
      met = now;
    }
  }
  last = overview;
  asked += 1;
  return OFTEN;
}

async function lookAtControl() {
  const [settings] = await ask("/api/control");
  allow(settings?.control === true, settings?.held ?? []);
}

function connection(state, text) {
  const line = at("connection");
  mark(line, "class", state);
  mark(document.body, "data-state", state);
  // How long it lasts changes with each look and is not read out.
  mark(line, "aria-live", state === "bad" && line.textContent.startsWith("not") ? "off" : null);
  write(line, text);
}

/** Looks now, and again and again while the page is seen. */
async function run() {
  clearTimeout(timer);
  timer = null;
  if (document.hidden || asking) {
    return;
  }
  asking = true;
  const began = Date.now();
  let pause = SELDOM;
  try {
    pause = await look();
  } catch (error) {
    connection("bad", `The answer of Sesame cannot be shown: ${plain(error.message)}`);
  } finally {
    asking = false;
  }
  if (!document.hidden) {
    timer = setTimeout(run, Math.max(100, pause - (Date.now() - began)));
  }
}

startTrace();
startControl();
document.addEventListener("visibilitychange", run);
run();

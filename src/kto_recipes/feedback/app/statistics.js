// What was collected, as tables and one chart; the chart's numbers are in a table below it.
import { ask, at, begin, complain, element, sentence } from "./common.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, SIDE, FOOT] = [720, 220, 44, 24];
const DAYS = 60;
const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(0)} %`);

function drawn(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

// Every day from the first to the last of the newest DAYS, also those without votes.
function everyDay(days) {
  const found = new Map(days.map((one) => [one.day, one]));
  const last = Date.parse(days.at(-1).day);
  const first = Math.max(Date.parse(days[0].day), last - (DAYS - 1) * 86400e3);
  const all = [];
  for (let time = first; time <= last; time += 86400e3) {
    const day = new Date(time).toISOString().slice(0, 10);
    all.push(found.get(day) ?? { day, total: 0, desirable: 0, undesirable: 0 });
  }
  return all;
}

function chart(days) {
  const most = Math.max(...days.map((one) => one.total));
  const step = (WIDTH - SIDE) / days.length;
  const width = Math.min(step * 0.8, 48);
  const high = (count) => (count / most) * (HEIGHT - FOOT - 24);
  const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-labelledby": "chart-says" });
  const ground = HEIGHT - FOOT;
  for (const count of [0, most]) {
    const y = ground - high(count);
    svg.append(drawn("line", { x1: SIDE, x2: WIDTH, y1: y, y2: y }));
    svg.append(drawn("text", { x: SIDE - 8, y: y + 4, "text-anchor": "end" }, String(count)));
  }
  days.forEach((one, place) => {
    const x = SIDE + step * place + (step - width) / 2;
    const [up, down] = [high(one.desirable), high(one.undesirable)];
    svg.append(drawn("rect", { class: "up", x, y: ground - up, width, height: up }));
    svg.append(drawn("rect", { class: "down", x, y: ground - up - down, width, height: down }));
  });
  svg.append(drawn("text", { x: SIDE, y: HEIGHT - 6 }, days[0].day));
  if (days.length > 1) svg.append(drawn("text", { x: WIDTH, y: HEIGHT - 6, "text-anchor": "end" }, days.at(-1).day));
  return svg;
}

function table(id, caption, first, rows) {
  const head = element("tr");
  for (const text of [first, "votes", "desirable", "undesirable", "ratio"]) {
    const cell = element("th", "", text);
    cell.scope = "col";
    head.append(cell);
  }
  const lines = rows.map(([text, one]) => {
    const line = element("tr");
    const cell = element("th", "", text);
    cell.scope = "row";
    line.append(cell);
    for (const value of [one.total, one.desirable, one.undesirable, percent(one.ratio)]) {
      line.append(element("td", "", String(value)));
    }
    return line;
  });
  const [top, body] = [element("thead"), element("tbody")];
  top.append(head);
  body.append(...lines);
  at(id).replaceChildren(element("caption", "", caption), top, body);
}

const named = ({ model, run }) => `${model ?? "not told"}${run ? ` of ${run}` : ""}`;

function agreement({ answers, share, alpha }) {
  if (answers === 0) return [element("p", "", "No answer has votes of two raters or more yet, so there is none to tell.")];
  const alphaText = alpha === null ? "is not defined, because all votes are the same" : `is ${alpha.toFixed(2)}`;
  return [
    element("p", "", `${answers} answers have votes of two raters or more; ${percent(share)} of the pairs of their raters agree.`),
    element("p", "", `Krippendorff's alpha (nominal) ${alphaText}: 1 where all agree, 0 where they agree as often as by chance.`),
  ];
}

const settings = await begin(() => {});
try {
  if (settings) {
    const all = await ask("/api/statistics");
    at("total").textContent = all.total
      ? `${all.total} votes count: ${all.desirable} desirable, ${all.undesirable} undesirable, ${percent(all.ratio)} desirable.`
      : "There are no votes yet.";
    if (all.total) {
      const days = everyDay(all.by_day);
      at("chart-says").textContent = 
        days.length === 1
          ? `Votes on ${days[0].day} (UTC)`
          : `Votes a day (UTC) from ${days[0].day} to ${days.at(-1).day}`;
      at("chart").replaceChildren(chart(days));
      table("days", "Votes by day (UTC), the newest first", "day", all.by_day.toReversed().map((one) => [one.day, one]));
      table("by-model", "Votes by model", "model", all.by_model.map((one) => [named(one), one]));
      at("agreement").replaceChildren(...agreement(all.agreement));
      at("numbers").hidden = false;
    }
    document.body.dataset.ready = "true";
  }
} catch (error) {
  complain(sentence(error.message));
}

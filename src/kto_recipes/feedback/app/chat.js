// The chat. What is shown is what the store has: a conversation is a tree, of which one branch is shown.
import { ask, at, begin, complain, element, message, newName, rater, request, sentence } from "./common.js";
import { editor, thumbs } from "./votes.js";

let settings = null;
let conversation = null; // as the API gives it; null for one that has not begun
let leaf = null; // the id of the last message that is shown
let unsent = { text: null, name: null }; // a message whose sending failed: sent again it has the same name
let writing = null; // the reply under way: its name
// Of messages that were drawn, by id. They move along when the thread is drawn anew, so that a message that is sent
// takes away nothing that is being written.
const rated = new Map(); // the thumbs and why
const editors = new Map(); // the form with a better answer, until that is saved or given up

// --- the tree ---------------------------------------------------------------------------------------------------

const known = () => new Map(conversation.messages.map((one) => [one.id, one]));
const below = (parent) => conversation.messages.filter((one) => one.parent === parent);

function branch() {
  const messages = known();
  const found = [];
  for (let one = messages.get(leaf); one; one = messages.get(one.parent)) found.unshift(one);
  return found;
}

function newestBelow(id) {
  for (let next = below(id).at(-1); next; next = below(id).at(-1)) id = next.id;
  return id;
}

function voteOn(id) {
  return conversation.votes.findLast((vote) => vote.message === id && vote.rater === rater()) ?? null;
}

// --- what is shown ----------------------------------------------------------------------------------------------

function draw() {
  const held = document.activeElement;
  const shown = conversation ? branch() : [];
  const system = shown.find((one) => one.role === "system")?.content ?? (conversation ? null : settings.speaker?.system);
  at("system").replaceChildren(...(system ? [message({ role: "system", content: system })] : []));
  const said = shown.filter((one) => one.role !== "system");
  at("thread").replaceChildren(...said.map((one) => (one.role === "assistant" ? reply(one) : message(one, "article"))));
  const last = said.at(-1);
  if (last?.role === "user" && settings.speaker && !writing) {
    at("thread").append(button("Ask for a reply", () => speak(last.id), "again"));
  }
  if (held?.closest(".editor, .why")?.isConnected) held.focus({ preventScroll: true });
  at("composer").hidden = settings.speaker === null;
  at("send").disabled = last?.role === "user" || writing !== null;
}

function button(text, does, action) {
  const made = element("button", "small", text);
  made.type = "button";
  made.dataset.action = action;
  made.addEventListener("click", does);
  return made;
}

function reply(one) {
  const made = message(one, "article");
  made.dataset.message = one.id;
  made.tabIndex = -1;
  const about = [one.edit_of ? "written by a person" : one.model];
  if (one.sampling?.ended) about.push(one.sampling.ended === "stopped" ? "stopped before its end" : "broke off");
  const said = about.filter(Boolean).join(", ");
  if (said) made.querySelector(".role").append(`, ${said}`);
  if (!rated.has(one.id)) {
    rated.set(one.id, thumbs(one, (vote) => {
      conversation.votes = conversation.votes.filter((old) => old.message !== one.id || old.rater !== rater());
      if (vote) conversation.votes.push(vote);
    }));
  }
  const { buttons, why, show } = rated.get(one.id);
  show(voteOn(one.id));
  const box = element("div", "votes");
  box.append(
    ...buttons,
    button("Edit a better answer", () => edit(one, made), "edit"),
    ...(settings.speaker ? [button("Regenerate", () => speak(one.parent), "again")] : []),
    ...others(one),
  );
  made.append(box, why, ...(editors.has(one.id) ? [editors.get(one.id)] : []));
  return made;
}

// Where a message has been answered more than once: from one answer to another.
function others(one) {
  const all = below(one.parent);
  if (all.length < 2) return [];
  const place = all.indexOf(one);
  const go = (step) => {
    leaf = newestBelow(all[place + step].id);
    draw();
    at("thread").querySelector(`[data-message="${all[place + step].id}"]`).focus();
  };
  const back = button("‹", () => go(-1), "before");
  const on = button("›", () => go(1), "after");
  back.setAttribute("aria-label", "The answer before");
  on.setAttribute("aria-label", "The next answer");
  back.disabled = place === 0;
  on.disabled = place === all.length - 1;
  const box = element("span", "others");
  box.append(back, element("span", "caption", `${place + 1} of ${all.length}`), on);
  return [box];
}

function edit(one, article) {
  if (editors.has(one.id)) return;
  const { id } = conversation;
  const { form, focus } = editor(
    one,
    async ({ message: better }) => {
      editors.delete(one.id);
      if (conversation?.id !== id) return; // another conversation has been opened meanwhile
      await load(id, better);
      at("thread").querySelector(`[data-message="${better}"]`)?.focus();
      at("status").textContent = "The better answer is recorded.";
    },
    () => {
      editors.delete(one.id);
      form.remove();
      at("thread").querySelector(`[data-message="${one.id}"] [data-action=edit]`).focus();
    },
  );
  editors.set(one.id, form);
  article.append(form);
  focus();
}

// --- conversations ----------------------------------------------------------------------------------------------

async function list() {
  const { conversations } = await ask("/api/app/conversations");
  at("conversations").replaceChildren(
    ...conversations.map(({ id, title, time }) => {
      const line = element("li");
      const link = element("a", "", title);
      link.href = `#${id}`;
      link.dir = "auto";
      if (id === conversation?.id) link.setAttribute("aria-current", "true");
      const when = element("time", "caption", new Date(time * 1000).toLocaleString([], { dateStyle: "medium" }));
      line.append(link, when);
      return line;
    }),
  );
}

// Shows a conversation as the store has it, down to the message `end` and what is newest below it.
async function load(id, end = null) {
  conversation = await ask(`/api/conversations/${id}`);
  leaf = newestBelow(end ?? conversation.messages.at(-1)?.id ?? null);
  draw();
}

async function open() {
  const id = Number(location.hash.slice(1));
  if (writing) stop();
  try {
    if (!id) {
      conversation = leaf = null;
      draw();
    } else if (id !== conversation?.id) await load(id);
    await list();
    complain("");
  } catch (error) {
    complain(sentence(error.message));
  }
}

// --- sending, and the reply as it comes -------------------------------------------------------------------------

async function send() {
  const text = at("text").value;
  if (!text.trim() || writing || at("send").disabled) return;
  at("send").disabled = true;
  const key = `${conversation?.id} ${leaf} ${text}`;
  if (unsent.text !== key) unsent = { text: key, name: newName() };
  try {
    const user = { role: "user", content: text };
    let id;
    if (conversation === null) {
      const system = settings.speaker.system;
      const messages = [...(system ? [{ role: "system", content: system }] : []), user];
      const made = await ask("/api/conversations", { messages, client_id: unsent.name });
      id = made.messages.at(-1);
      history.pushState(null, "", `#${made.id}`);
      await load(made.id);
      list().catch(() => {});
    } else {
      const path = `/api/conversations/${conversation.id}/messages`;
      ({ id } = await ask(path, { ...user, parent: leaf, client_id: unsent.name }));
      await load(conversation.id, id);
    }
    unsent = { text: null, name: null };
    at("text").value = "";
    complain("");
    await speak(id);
  } catch (error) {
    complain(`The message was not sent: ${sentence(error.message)}`);
    at("send").disabled = false;
  }
}

function stop() {
  ask("/api/app/stop", { name: writing }).catch((error) => complain(sentence(error.message)));
}

async function speak(parent) {
  if (writing) return;
  writing = newName();
  const { id } = conversation;
  leaf = parent;
  draw();
  const article = message({ role: "assistant", content: "" }, "article");
  const text = article.querySelector(".text").appendChild(document.createTextNode(""));
  article.setAttribute("aria-busy", "true");
  at("thread").append(article);
  at("stop").hidden = false;
  if (document.activeElement === document.body) at("stop").focus(); // the button that began it is gone
  const aloud = reader();
  at("status").textContent = "The reply is being written …";
  complain("");
  let end;
  try {
    end = await streamed(id, parent, (piece) => {
      text.appendData(piece);
      aloud(piece);
      if (innerHeight + scrollY > document.body.scrollHeight - 200) scrollTo(0, document.body.scrollHeight);
    });
  } catch (error) {
    end = { message: null, ended: "failed", error: error.message };
  }
  writing = null;
  aloud("", true);
  at("stop").hidden = true;
  article.setAttribute("aria-busy", "false");
  at("status").textContent = { whole: "The reply is complete.", stopped: "The reply was stopped." }[end.ended] ?? "";
  if (end.error) complain(`${end.message ? "Only a part of the reply came, which is kept: " : ""}${sentence(end.error)}`);
  if (location.hash !== `#${id}`) return draw(); // another conversation has been opened meanwhile
  await load(id, end.message ?? parent).catch((error) => complain(sentence(error.message)));
  if (document.activeElement === document.body) at("thread").querySelector("[data-message]:last-child")?.focus();
}

// For screen readers, which would stumble over pieces of words: a sentence when it is whole, and the rest at the end.
function reader() {
  let heard = "";
  at("spoken").replaceChildren();
  return (piece, isLast = false) => {
    heard += piece;
    const whole = isLast ? heard : (heard.match(/^[^]*[.!?…:\n](?=\s)/)?.[0] ?? "");
    if (whole.trim()) at("spoken").append(element("p", "", whole));
    heard = heard.slice(whole.length);
  };
}

async function streamed(id, parent, show) {
  const response = await request(`/api/app/conversations/${id}/replies`, { parent, name: writing });
  const pieces = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await pieces.read().catch(() => ({ done: true }));
    if (done) throw new Error("the server does not answer any more; what came of the reply is in its store");
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines.map(JSON.parse)) {
      if (line.done) return line.done;
      show(line.piece);
    }
  }
}

// --- the page ---------------------------------------------------------------------------------------------------

at("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
at("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && writing) stop();
});
at("stop").addEventListener("click", stop);
at("new").addEventListener("click", () => {
  history.pushState(null, "", location.pathname);
  open();
  at("text").focus();
});
addEventListener("hashchange", open);

settings = await begin(() => conversation && load(conversation.id, leaf).catch(() => {}));
if (settings) {
  const { speaker } = settings;
  const from = speaker?.run ? ` of the run ${speaker.run}` : "";
  at("speaker").textContent = speaker
    ? `${speaker.model}${from} answers, at temperature ${speaker.sampling.temperature}.`
    : "Nobody answers here: start the server with --run or --endpoint. What was said before can be read and voted on.";
  at("others").open = matchMedia("(min-width: 56rem)").matches;
  await open();
  document.body.dataset.ready = "true";
}

// What stands under a reply: the thumbs, why, a better answer.
import { ask, complain, element, newName, rater, sentence, thumb } from "./common.js";

const THUMBS = [
  { value: "desirable", name: "Good reply" },
  { value: "undesirable", name: "Bad reply" },
];
const REASONS = {
  desirable: ["helpful", "correct", "right tone"],
  undesirable: ["wrong", "not helpful", "wrong tone", "too long", "harmful"],
};

// What a vote says, to tell whether another is to be shown.
const told = (vote) => JSON.stringify([vote?.vote, vote?.reasons ?? [], vote?.comment ?? ""]);

// The thumbs of a message, and why; `show` is given the rater's own vote that counts, or null, and leaves what is being
// written about the same vote as it is. `changed` is called with another vote.
export function thumbs(message, changed) {
  const shown = { vote: null };
  const buttons = THUMBS.map(({ value, name }) => {
    const button = element("button", "thumb");
    button.type = "button";
    button.dataset.vote = value;
    button.setAttribute("aria-label", name);
    button.append(thumb(value === "desirable"));
    button.addEventListener("click", () => choose(value));
    return button;
  });
  const why = element("div");
  let busy = false;

  async function give(vote) {
    if (busy) return;
    busy = true;
    const sent = { ...vote, rater: rater(), client_id: newName() };
    try {
      await ask(`/api/messages/${message.id}/votes`, sent);
      shown.vote = vote.vote === "withdrawn" ? null : { ...vote, message: message.id, rater: sent.rater };
      complain("");
      changed(shown.vote);
    } catch (error) {
      complain(`The vote was not recorded: ${sentence(error.message)}`);
    } finally {
      busy = false;
      draw();
    }
  }

  function choose(value) {
    return give({ vote: shown.vote?.vote === value ? "withdrawn" : value });
  }

  function draw() {
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(shown.vote?.vote === button.dataset.vote));
    }
    const inside = why.contains(document.activeElement);
    why.replaceChildren(...(shown.vote ? [reasons(shown.vote, give)] : []));
    if (inside) why.querySelector("summary")?.focus();
  }

  function show(vote) {
    if (told(vote) === told(shown.vote)) return;
    shown.vote = vote;
    draw();
  }

  draw();
  return { buttons, why, show };
}

function reasons(vote, give) {
  const details = element("details", "why");
  const given = vote.reasons ?? [];
  const said = [...given, ...(vote.comment ? [`“${vote.comment}”`] : [])];
  details.append(element("summary", "", said.length ? `Why: ${said.join(", ")}` : "Say why (optional)"));
  const form = element("form");
  const group = element("fieldset");
  group.append(element("legend", "", "Reasons"));
  const boxes = [...new Set([...REASONS[vote.vote], ...given])].map((reason) => {
    const label = element("label", "chip");
    const box = element("input");
    box.type = "checkbox";
    box.value = reason;
    box.checked = given.includes(reason);
    label.append(box, ` ${reason}`);
    group.append(label);
    return box;
  });
  const comment = element("textarea");
  comment.rows = 2;
  comment.maxLength = 10000;
  comment.value = vote.comment ?? "";
  const label = element("label", "", "Comment");
  label.append(comment);
  const save = element("button", "", "Save");
  form.append(group, label, save);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
    const text = comment.value.trim();
    give({ vote: vote.vote, reasons: chosen, ...(text ? { comment: text } : {}) });
  });
  details.append(form);
  return details;
}

// A form with the reply's text to make it better; `saved` is called with what the API answered, `left` when given up.
export function editor(message, saved, left) {
  const form = element("form", "editor");
  const label = element("label", "", "A better answer");
  const text = element("textarea");
  text.value = message.content;
  text.maxLength = 200000;
  text.rows = Math.min(12, 2 + Math.ceil(message.content.length / 70));
  label.append(text);
  const save = element("button", "main", "Save the better answer");
  const cancel = element("button", "", "Cancel");
  cancel.type = "button";
  cancel.addEventListener("click", left);
  const row = element("div", "actions");
  row.append(save, cancel);
  form.append(label, element("p", "caption", "It is recorded as good, and the reply above as bad."), row);
  let sent = { content: null, name: null }; // the same words sent again are recorded once
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const content = text.value.trim();
    if (content === message.content.trim()) return complain("The answer is the same as before; change it, or cancel.");
    if (content === "") return complain("A better answer needs words.");
    save.disabled = true;
    if (sent.content !== content) sent = { content, name: newName() };
    try {
      const body = { content, rater: rater(), client_id: sent.name };
      const made = await ask(`/api/messages/${message.id}/better`, body);
      complain("");
      saved(made);
    } catch (error) {
      complain(`The answer was not recorded: ${sentence(error.message)}`);
      save.disabled = false;
    }
  });
  return { form, focus: () => text.focus() };
}

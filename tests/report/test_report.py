"""The report of a run: what the page shows, what it says is missing, and that it needs nothing but itself."""

import html
import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from kto_recipes.errors import UserError
from kto_recipes.report import curves, metrics
from kto_recipes.report.inputs import PACKAGE, content_key
from kto_recipes.report.page import write_report

SCRIPT = Path(__file__).parents[2] / "scripts" / "report.py"
RUN = "tiny-llama-lora--chats"
ATTACK = 'hi <script>alert("1")</script> </script> & "bye" https://example.org/x.png'

SFT_YAML = """\
# Goal:     SFT <of> a tiny Llama
base_model: outputs/models/tiny-llama
datasets:
  - path: datasets/chats/sft.train.jsonl
    type: chat_template
adapter: lora
"""
KTO_YAML = """\
base_model: outputs/tiny-llama-lora--chats/sft/merged
datasets:
  - path: outputs/tiny-llama-lora--chats/data/kto.train.jsonl
    type: kto_recipes.chat_template
rl: kto
rl_beta: 0.1
adapter: lora
"""


# --- a run folder -------------------------------------------------------------------------------------------


def estimate(value: float, half: float, n: int = 137) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def evaluation() -> dict[str, Any]:
    def model(desirable: float, undesirable: float, kl: float, style: float) -> dict[str, Any]:
        return {
            "reward_desirable": estimate(desirable, 0.11),
            "reward_undesirable": estimate(undesirable, 0.23),
            "margin": estimate(desirable - undesirable, 0.3),
            "auc": estimate(0.8761, 0.0213),
            "accuracy_z0": estimate(0.7912, 0.0312),
            "kl": estimate(kl, 0.4),
            "length": estimate(11.4, 0.9),
            "style_greedy": estimate(style, 0.04),
            "style_sampled": estimate(style - 0.02, 0.04),
        }

    group = {
        "reward_undesirable": estimate(-1.5, 0.2),
        "margin": estimate(2.25, 0.3),
        "auc": estimate(0.9, 0.02),
    }
    kto = model(0.4321, -1.8765, 6.4, 0.861)
    return {
        "run": RUN,
        "created": "2026-11-21T19:30:00+00:00",
        "versions": {"kto-recipes": "0.1.0", "torch": "2.13.0+cpu", "trl": "1.9.0"},
        "settings": {"seed": 0, "bootstrap": 1000, "sampling": {"temperature": 1.0, "top_p": 0.95}},
        "definitions": {
            "reward_desirable": "Mean of β·log-ratio over desirable answers, in nats.",
            "reward_undesirable": "Mean of β·log-ratio over undesirable answers, in nats.",
            "margin": "reward_desirable − reward_undesirable, in nats.",
            "auc": "Chance that a desirable answer has a higher reward than an undesirable one.",
            "accuracy_z0": "Share of answers on their side of the reference point z0.",
            "kl": "Mean log-ratio of the model's own samples to the reference, in nats.",
            "length": "Mean length of a sampled answer in tokens.",
            "style_greedy": "Mean probability of the persona by the style classifier, greedy answers.",
            "style_sampled": "The same for sampled answers.",
        },
        "models": {"base": model(-3.1, -0.7, 21.0, 0.04), "sft": model(0, 0, 0, 0.79), "kto": kto},
        "differences": {"kto-sft": kto | {"length": estimate(-0.8, 1.1), "style_greedy": estimate(0.071, 0.03)}},
        "by_strategy": {"base_sample": group, "template": group | {"auc": estimate(0.9876, 0.01, 54)}},
        "by_source": {"telegram": group},
        "style_classifier": {"held_out_accuracy": estimate(0.943, 0.02), "n_train": 1200},
    }


def states(steps: int = 60) -> dict[str, dict[str, Any]]:
    noise = random.Random(0)
    sft: list[dict[str, Any]] = [{"step": 0, "epoch": 0, "eval_loss": 9.0}]
    kto: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        done = step / steps
        sft.append({"step": step, "epoch": done, "loss": 4 + 5 * math.exp(-5 * done) + noise.gauss(0, 0.1)})
        good, bad = done + noise.gauss(0, 0.3), -3 * done + noise.gauss(0, 0.5)
        row = {"loss": 0.5 - 0.3 * done + noise.gauss(0, 0.03), "kl": max(0.0, noise.gauss(1, 1))}
        row |= {"rewards/chosen": good, "rewards/rejected": bad, "rewards/margins": good - bad}
        kto.append({"step": step, "epoch": done, "grad_norm": 1.0, "learning_rate": 1e-4, **row})
        if step % (steps // 4) == 0:
            sft.append({"step": step, "epoch": done, "eval_loss": 4.4 + 4.5 * math.exp(-5 * done)})
            smooth = {
                "loss": 0.5 - 0.28 * done,
                "kl": 0.9,
                "rewards/chosen": done * 0.8,
                "rewards/rejected": -2.7 * done,
            }
            smooth["rewards/margins"] = smooth["rewards/chosen"] - smooth["rewards/rejected"]
            kto.append({"step": step, "epoch": done, **{f"eval_{name}": y for name, y in smooth.items()}})
    end = {"step": steps, "epoch": 1.0, "train_runtime": 106.33}
    return {
        name: {"global_step": steps, "epoch": 1.0, "log_history": [*history, end]}
        for name, history in (("sft", sft), ("kto", kto))
    }


def sample(number: int) -> dict[str, Any]:
    turns = [{"role": ("user", "assistant")[i % 2], "content": f"message {i} of prompt {number}"} for i in range(7)]
    sampled = [f"sampled answer {number}\nsecond line", f"another sample {number}", "a third"]
    answers = {"greedy": f"greedy answer {number} 😀", "sampled": sampled}
    return {
        "id": f"chat-{number}",
        "prompt": [{"role": "system", "content": "You are Nina, chatting with Ben."}, *turns],
        "reference": {0: ATTACK, 15: None}.get(number, f"what Nina wrote, {number}"),
        "models": {"base": {"greedy": "", "sampled": ["Dear Sir or Madam"]}, "sft": answers, "kto": answers},
    }


def manifest(**more: Any) -> dict[str, Any]:
    written = {"rows": 1190, "desirable": 600, "undesirable": 590, "sha256": "ab" * 32}
    unlabelled = {"rows": 153, "desirable": 0, "undesirable": 0, "sha256": "ef" * 32}
    return {
        "dataset": "chats",
        "created": "2026-11-21T18:51:28+00:00",
        "versions": {"kto-recipes": "0.1.0", "scikit-learn": "1.9.1"},
        "inputs": [
            {"path": "datasets/chats/result.json", "sha256": "cd" * 32, "bytes": 701316},
            {"path": "some-owner/some-base-model", "sha256": "some-owner/some-base-model"},
        ],
        "read": 1207,
        "left_out": {"base_sample: empty": 17},
        "written": {"kto.train.jsonl": written, "sft.train.jsonl": unlabelled},
        "groups": {"train": 153, "eval": 34},
        "settings": {"split": {"seed": 0, "eval_fraction": 0.2}, "persona": "Nina"},
        **more,
    }


def build_run(folder: Path, prompts: int = 137) -> Path:
    """A whole run in `folder`/outputs and its dataset in `folder`/datasets."""
    run = folder / "outputs" / RUN
    for stage, state in states().items():
        write(run / stage / "trainer_state.json", state)
    (run / "sft.yaml").write_text(SFT_YAML)
    (run / "kto.yaml").write_text(KTO_YAML)
    write(run / "eval.json", evaluation())
    (run / "samples.jsonl").write_text("".join(json.dumps(sample(i)) + "\n" for i in range(prompts)))
    weights = {
        "n_desirable": 600,
        "n_undesirable": 590,
        "desirable": 1.0,
        "undesirable": 1.0,
        "ratio": 1.0169,
    }
    made = {"base_sample": 350, "template": 240}
    more = {"weights": weights, "distance": {"train": 597, "eval": None}, "strategies": {"train": made}}
    write(run / "data" / "manifest.json", manifest(**more))
    messages = {"read": 1785, "in_turns": 1681, "left_out": {"media_without_text": 33}}
    write(folder / "datasets" / "chats" / "manifest.json", manifest(messages=messages))
    return run


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def change(path: Path, **values: Any) -> None:
    write(path, json.loads(path.read_text()) | values)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return build_run(tmp_path).relative_to(tmp_path)


# --- reading the page ---------------------------------------------------------------------------------------


class Page(HTMLParser):
    """A page's visible text, its elements and its scripts, split as a browser would."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self._inside: str | None = None
        self._text: list[str] = []
        self.feed(text)
        self.text = " ".join(" ".join(self._text).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag if tag in self.raw else self._inside

    def handle_endtag(self, tag: str) -> None:
        self._inside = None if tag == self._inside else self._inside

    def handle_data(self, data: str) -> None:
        (self.raw[self._inside] if self._inside else self._text).append(data)

    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.elements if "id" in attributes]

    def plots(self) -> dict[str, dict[str, Any]]:
        return {plot["id"]: plot for plot in json.loads(self.raw["script"][0])}


def read_page(run: Path) -> Page:
    write_report(run)
    return Page((run / "report.html").read_text())


def row_of(page: str, label: str) -> list[str]:
    """The texts of a table row's cells, found by its heading."""
    found = re.search(rf'<tr><th scope="row">{re.escape(label)}.*?</tr>', page, re.DOTALL)
    assert found, f"no row {label!r}"
    cells = re.findall(r"<td.*?>(.*?)</td>", found[0], re.DOTALL)
    return [" ".join(re.sub("<.*?>", " ", cell).split()) for cell in cells]


# --- what the page shows ------------------------------------------------------------------------------------


def test_the_sections_stand_in_the_order_a_reader_asks(run: Path) -> None:
    page = read_page(run)
    assert [i for i in page.ids() if not i.startswith(("sft-", "kto-"))] == [
        "results", "curves", "conversations", "data", "recipes", "versions", "plots",
    ]  # fmt: skip


def test_the_first_line_says_model_method_data_and_evaluation(run: Path) -> None:
    expected = (
        "outputs/models/tiny-llama with LoRA: SFT, then KTO (β = 0.1) on the dataset chats. "
        "Evaluated on 137 held-out prompts, 2026-11-21."
    )
    assert expected in read_page(run).text


def test_numbers_are_those_of_eval_json_rounded_by_their_intervals(run: Path) -> None:
    write_report(run)
    page = (run / "report.html").read_text()
    assert row_of(page, "Reward, desirable") == [
        "−3.10 [−3.21, −2.99]", "reference", "0.43 [0.32, 0.54]", "0.43 [0.32, 0.54]", "137",
    ]  # fmt: skip
    assert row_of(page, "AUC")[2] == "0.876 [0.855, 0.897]"
    assert row_of(page, "Answer length") == [
        "11.4 [10.5, 12.3]", "11.4 [10.5, 12.3]", "11.4 [10.5, 12.3]", "−0.8 [−1.9, 0.3]", "137",
    ]  # fmt: skip
    assert row_of(page, "template") == [
        "−1.50 [−1.70, −1.30]",
        "2.25 [1.95, 2.55]",
        "0.988 [0.978, 0.998]",
        "54–137",
    ]


@pytest.mark.parametrize(
    ("value", "half", "shown"),
    [
        (-13.3127, 0.81, "−13.3 [−14.1, −12.5]"),
        (-0.1134, 0.0312, "−0.113 [−0.145, −0.082]"),
        (0.000049, 0.00002, "0.0000 [0.0000, 0.0001]"),
        (-0.00001, 0.5, "0.0 [−0.5, 0.5]"),
        (123456.78, 40, "123,457 [123,417, 123,497]"),
        (0.0, 0.0, "0 [0, 0]"),
        (2.5, 0.0, "2.50 [2.50, 2.50]"),
    ],
)
def test_a_number_is_rounded_by_the_width_of_its_interval(value: float, half: float, shown: str) -> None:
    cell = metrics.cell(estimate(value, half))
    assert f"{cell.value} {cell.interval}" == shown


def test_accuracy_has_no_difference_because_the_reference_is_on_neither_side_of_z0(run: Path) -> None:
    write_report(run)
    cells = row_of((run / "report.html").read_text(), "Accuracy at z0")
    assert cells[1:4] == ["reference", "0.791 [0.760, 0.822]", "–"]


def test_only_what_follows_from_the_reference_itself_is_called_reference(run: Path) -> None:
    write_report(run)
    page = (run / "report.html").read_text()
    labels = [metric.label for metric in metrics.METRICS]
    assert [label for label in labels if row_of(page, label)[1] == "reference"] == labels[:5]
    assert all(row_of(page, label)[0] != "reference" for label in labels)


def test_a_difference_is_bold_only_where_its_interval_excludes_zero(run: Path) -> None:
    write_report(run)
    rows = re.findall(r'<tr><th scope="row">.*?</tr>', (run / "report.html").read_text(), re.DOTALL)
    bold = {re.sub("<.*", "", row[20:], flags=re.DOTALL).strip() for row in rows if "excludes-zero" in row}
    assert "Style, greedy" in bold
    assert "Answer length" not in bold


def test_every_definition_of_eval_json_is_on_the_page(run: Path) -> None:
    text = read_page(run).text
    assert all(sentence in text for sentence in evaluation()["definitions"].values())


def test_a_metric_this_package_does_not_know_is_shown_under_its_own_name(run: Path) -> None:
    scores = evaluation()
    scores["models"]["kto"]["emoji_share"] = estimate(0.25, 0.04)
    write(run / "eval.json", scores)
    write_report(run)
    assert row_of((run / "report.html").read_text(), "emoji_share")[2] == "0.250 [0.210, 0.290]"


def test_the_curves_hold_the_logged_values_of_training_and_evaluation(run: Path) -> None:
    plots = read_page(run).plots()
    assert list(plots) == ["sft-loss", "kto-loss", "kto-rewards", "kto-margin", "kto-kl"]
    assert {(s["name"], s["split"]) for s in plots["kto-rewards"]["series"]} == {
        (name, split) for name in ("desirable", "undesirable") for split in ("train", "evaluation")
    }
    logged = [e for e in states()["kto"]["log_history"] if "eval_kl" in e]
    drawn = next(s for s in plots["kto-kl"]["series"] if s["split"] == "evaluation")
    assert drawn["x"] == [e["step"] for e in logged]
    assert drawn["y"] == pytest.approx([e["eval_kl"] for e in logged])


def test_a_long_curve_is_thinned_by_means_and_the_page_says_so(run: Path) -> None:
    history = [{"step": step, "loss": float(step % 2)} for step in range(1, 4001)]
    write(run / "sft" / "trainer_state.json", {"log_history": history})
    page = read_page(run)
    drawn = page.plots()["sft-loss"]["series"][0]
    assert drawn["x"] == list(range(4, 4001, 4))
    assert set(drawn["y"]) == {0.5}
    assert "Each point of loss, train, is the mean of 4 logged values." in page.text


def test_ten_conversations_are_spread_over_the_whole_file(run: Path) -> None:
    text = read_page(run).text
    assert [int(n) for n in re.findall(r"\bchat-(\d+)\b", text)] == [0, 15, 30, 45, 60, 76, 91, 106, 121, 136]
    assert "10 of 137 held-out prompts" in text
    assert "what Nina wrote, 136 Before SFT greedy empty answer sampled Dear Sir or Madam After SFT" in text
    assert "In the data no desirable answer Before SFT" in text
    assert "3 earlier messages" in text
    assert "sampled answer 136 second line 2 more samples another sample 136 a third After KTO" in text


def test_fewer_than_ten_conversations_are_shown_once_each(run: Path) -> None:
    (run / "samples.jsonl").write_text("".join(json.dumps(sample(i)) + "\n" for i in range(3)))
    assert re.findall(r"\bchat-(\d+)\b", read_page(run).text) == ["0", "1", "2"]


def test_the_manifests_are_readable_tables(run: Path) -> None:
    text = read_page(run).text
    for shown in (
        "Read 1,207 rows",
        "Left out 17 rows",
        "base sample: empty 17",
        "kto.train.jsonl 1,190 600 590 abababababab sft.train.jsonl 153 – – efefefefefef",
        "made 2026-11-21 18:51 UTC",
        "datasets/chats/result.json 701,316 cdcdcdcdcdcd",
        "some-owner/some-base-model – some-owner/some-base-model",
        "Suggested weights λ_D = 1, λ_U = 1",
        "two answers to one prompt, train 597",
        "two answers to one prompt, eval every prompt has one answer",
        "template, train 240",
        "media without text 33",
        "split.eval_fraction 0.2",
    ):
        assert shown in text


def test_the_recipes_stand_on_the_page_as_run(run: Path) -> None:
    write_report(run)
    shown = re.findall(r"<pre><code>(.*?)</code></pre>", (run / "report.html").read_text(), re.DOTALL)
    assert [html.unescape(text) for text in shown] == [SFT_YAML, KTO_YAML]


# --- what the page must not do ------------------------------------------------------------------------------


def test_chat_text_is_escaped_and_adds_no_element(run: Path) -> None:
    attacked = read_page(run)
    harmless = (run / "samples.jsonl").read_text().replace(json.dumps(ATTACK), '"harmless"')
    (run / "samples.jsonl").write_text(harmless)
    plain = read_page(run)
    assert ATTACK in attacked.text
    assert [tag for tag, _ in attacked.elements] == [tag for tag, _ in plain.elements]


def test_text_from_every_input_is_escaped(run: Path) -> None:
    bad = "<img src=x onerror=alert(1)>"
    scores = evaluation()
    scores["definitions"]["auc"] = bad
    scores["by_strategy"] = {bad: scores["by_strategy"]["template"]}
    scores["versions"][bad] = bad
    write(run / "eval.json", scores)
    change(run / "data" / "manifest.json", dataset="chats", left_out={bad: 1}, settings={bad: bad})
    (run / "kto.yaml").write_text(f"base_model: {bad}\n")
    (run / "samples.jsonl").write_text(json.dumps(sample(1) | {"id": bad}) + "\n")
    page = read_page(run)
    assert page.text.count(bad) >= 7
    assert not [tag for tag, _ in page.elements if tag == "img"]


def test_the_page_loads_nothing_and_forbids_the_browser_to(run: Path) -> None:
    page = read_page(run)
    links = [a["href"] for _, a in page.elements if "href" in a]
    assert links
    assert all(link and link.startswith("#") for link in links)
    assert not [tag for tag, a in page.elements if "src" in a or "srcset" in a or tag in ("link", "base", "iframe")]
    assert not re.search(r"url\(|@import", "".join(page.raw["style"]))
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy and policy.startswith("default-src 'none';")
    assert "http" not in policy


def test_the_page_is_smaller_than_three_megabytes(run: Path) -> None:
    history = [{"step": step, "loss": 1 / step, "kl": 1 / step} for step in range(1, 20001)]
    write(run / "kto" / "trainer_state.json", {"log_history": history})
    write_report(run)
    assert 1_000_000 < (run / "report.html").stat().st_size < 3_000_000


# --- what is missing is said --------------------------------------------------------------------------------

MISSING = {
    "eval.json": "eval.json is missing: this run was not evaluated.",
    "samples.jsonl": "samples.jsonl is missing or empty",
    "data/manifest.json": "data/manifest.json is missing.",
    "kto.yaml": "kto.yaml is missing.",
    "kto/trainer_state.json": "kto/trainer_state.json is missing, so there are no curves of this stage.",
    "../../datasets/chats/manifest.json": "datasets/chats/manifest.json is missing.",
}
SHOWN = {  # what stands on the page only because of that file
    "eval.json": "Answer length",
    "samples.jsonl": "what Nina wrote, 136",
    "data/manifest.json": "Suggested weights",
    "kto.yaml": "rl: kto",
    "kto/trainer_state.json": "Mean of λ − v",
    "../../datasets/chats/manifest.json": "Messages used in turns",
}


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_file_is_said_and_the_rest_is_shown(run: Path, name: str) -> None:
    whole = read_page(run)
    assert MISSING[name] not in whole.text
    (run / name).unlink()
    page = read_page(run)
    assert MISSING[name] in page.text
    assert [key for key, shown in SHOWN.items() if shown not in whole.text] == []
    assert [key for key, shown in SHOWN.items() if shown not in page.text] == [name]


def test_a_run_without_sft_says_so_and_compares_with_the_model_before(run: Path) -> None:
    (run / "sft.yaml").unlink()
    shutil.rmtree(run / "sft")
    scores = evaluation()
    del scores["models"]["sft"]
    scores["differences"] = {"kto-base": scores["differences"]["kto-sft"]}
    write(run / "eval.json", scores)
    page = read_page(run)
    assert "This run has no SFT stage." in page.text
    assert "KTO (β = 0.1) without SFT" in page.text
    assert "Metric before KTO after KTO KTO − before n" in page.text
    assert row_of((run / "report.html").read_text(), "Margin")[0] == "reference"
    assert "kto-loss" in page.plots()


def test_a_run_without_made_negatives_finds_its_dataset_by_the_recipe(run: Path) -> None:
    (run / "data" / "manifest.json").unlink()
    (run / "kto.yaml").write_text(KTO_YAML.replace("outputs/tiny-llama-lora--chats/data", "datasets/chats"))
    text = read_page(run).text
    assert "on the dataset chats." in text
    assert "Messages used in turns 1,681" in text


def test_losses_that_are_not_numbers_are_counted_and_leave_gaps(run: Path) -> None:
    state = states()["sft"]
    for entry in state["log_history"]:
        if entry["step"] in (12, 13) and "loss" in entry:
            entry["loss"] = math.nan if entry["step"] == 12 else math.inf
    write(run / "sft" / "trainer_state.json", state)
    page = read_page(run)
    assert "Not drawn: 2 of 60 values of loss, train, NaN or infinite, the first at step 12." in page.text
    drawn = page.plots()["sft-loss"]["series"][0]
    assert [x for x, y in zip(drawn["x"], drawn["y"], strict=True) if y is None] == [12, 13]


def test_a_plot_whose_values_are_all_nan_is_left_out_and_the_others_drawn(run: Path) -> None:
    state = states()["kto"]
    for entry in state["log_history"]:
        entry |= {key: math.nan for key in ("kl", "eval_kl") if key in entry}
    write(run / "kto" / "trainer_state.json", state)
    page = read_page(run)
    assert list(page.plots()) == ["sft-loss", "kto-loss", "kto-rewards", "kto-margin"]
    assert "Not drawn: 60 of 60 values of KL, train, NaN or infinite" in page.text


def test_a_stage_without_evaluations_says_so(run: Path) -> None:
    write(run / "sft" / "trainer_state.json", {"log_history": [{"step": 1, "loss": 2.0}]})
    assert "No evaluation values were logged." in read_page(run).text


def test_metrics_that_are_null_are_dashes(run: Path) -> None:
    scores = evaluation()
    scores["models"]["base"]["style_greedy"] = None
    scores["models"]["kto"]["style_greedy"] = estimate(math.nan, 0)
    del scores["differences"]["kto-sft"]["style_greedy"]
    scores |= {"style_classifier": None, "by_source": {}, "definitions": {}}
    write(run / "eval.json", scores)
    text = read_page(run).text
    assert row_of((run / "report.html").read_text(), "Style, greedy") == [
        "–",
        "0.790 [0.750, 0.830]",
        "–",
        "–",
        "137",
    ]
    assert "eval.json holds no numbers by source." in text
    assert "style classifier" not in text


# --- when it is written, and what a person is told ----------------------------------------------------------


def test_a_report_of_the_same_content_is_not_written_again(run: Path) -> None:
    assert write_report(run)
    for path in run.rglob("*"):
        os.utime(path, (2_000_000_000, 2_000_000_000))
    before = (run / "report.html").stat().st_ino
    assert not write_report(run)
    assert (run / "report.html").stat().st_ino == before


def test_a_current_report_counts_as_new_for_make(run: Path) -> None:
    write_report(run)
    os.utime(run / "report.html", (1, 1))
    assert not write_report(run)
    assert (run / "report.html").stat().st_mtime >= (run / "eval.json").stat().st_mtime


@pytest.mark.parametrize("name", [*MISSING, "sft.yaml", "sft/trainer_state.json"])
def test_any_input_with_other_content_makes_another_report(run: Path, name: str) -> None:
    write_report(run)
    before = (run / "report.html").read_bytes()
    (run / name).write_text((run / name).read_text() + "\n")
    assert write_report(run)
    assert (run / "report.html").read_bytes() != before


@pytest.mark.parametrize("name", ["page.py", "page.js", "style.css", "page.html.j2", "vendor/plotly-basic.min.js"])
def test_the_key_follows_the_sources_of_the_report(run: Path, tmp_path: Path, name: str) -> None:
    package = shutil.copytree(PACKAGE, tmp_path / "package")
    same = content_key(run, package)
    assert same == content_key(run)
    (package / name).write_text((package / name).read_text() + "\n")
    assert content_key(run, package) != same


def test_a_report_that_cannot_be_made_leaves_the_old_one(run: Path) -> None:
    write_report(run)
    before = (run / "report.html").read_bytes()
    (run / "samples.jsonl").write_text('{"id": 1}\n{"id"\n')
    with pytest.raises(UserError, match=r"samples\.jsonl:2: not valid JSON"):
        write_report(run)
    assert (run / "report.html").read_bytes() == before


def test_a_folder_that_is_no_run_is_refused_with_the_runs_there_are(run: Path) -> None:
    with pytest.raises(UserError, match=f"no such run; the runs here are: {RUN}"):
        write_report(run.parent / "typo")
    (run.parent / "empty").mkdir()
    with pytest.raises(UserError, match="nothing to report"):
        write_report(run.parent / "empty")


def command(*arguments: Any, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, SCRIPT, *map(str, arguments)]
    narrow = os.environ | {"COLUMNS": "80"}
    return subprocess.run(line, cwd=cwd, env=narrow, capture_output=True, text=True)


def test_the_command_writes_the_page_and_prints_the_table_and_the_path(run: Path, tmp_path: Path) -> None:
    done = command(run, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{run}/report.html"
    head = done.stdout.splitlines()[0]
    assert head.split() == ["before", "SFT", "after", "SFT", "after", "KTO", "KTO", "−", "SFT"]
    for shown in (
        "before SFT",
        "after SFT",
        "after KTO",
        "Margin",
        "reference",
        "0.876",
        "[0.855, 0.897]",
    ):
        assert shown in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert (run / "report.html").is_file()


def test_a_narrow_terminal_cuts_no_number_off(run: Path, tmp_path: Path) -> None:
    scores = evaluation()
    scores["models"]["sft"]["length"] = estimate(-123456.78, 0.2)
    write(run / "eval.json", scores)
    done = command(run, cwd=tmp_path)
    assert "…" not in done.stdout
    assert "[−123,456.98, −123,456.58]" in done.stdout


def test_show_prints_the_same_without_rendering_and_quiet_prints_nothing(run: Path, tmp_path: Path) -> None:
    assert command(run, "--show", cwd=tmp_path).returncode == 2
    assert not (run / "report.html").exists()
    assert command(run, "--quiet", cwd=tmp_path).stdout == ""
    assert command(run, "--show", cwd=tmp_path).stdout == command(run, cwd=tmp_path).stdout


def test_show_imports_nothing_that_takes_long(run: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from kto_recipes.report.console import print_results
print_results(Path({str(run)!r}))
print(sorted({{"jinja2", "numpy", "pydantic", "torch"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# --- in a browser -------------------------------------------------------------------------------------------


@pytest.mark.chromium
def test_a_browser_draws_every_plot(run: Path, tmp_path: Path, program: Callable[[str], str]) -> None:
    chromium = program("chromium")
    write_report(run)
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --virtual-time-budget=5000 --dump-dom"
    page = (run / "report.html").resolve().as_uri()
    dom = subprocess.run(
        [chromium, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", page],
        capture_output=True, text=True, check=True, timeout=120,
    ).stdout  # fmt: skip
    drawn = dict.fromkeys((plot.id for plot in curves.PLOTS), 0)
    for part in dom.split('<div class="plot js-plotly-plot" id="')[1:]:
        assert '<svg class="main-svg"' in part
        lines = r'<g class="trace scatter [^>]*>.*?<path class="js-line"[^>]* d="M'
        drawn[part.split('"', 1)[0]] = len(re.findall(lines, part))
    assert drawn == {"sft-loss": 2, "kto-loss": 2, "kto-rewards": 4, "kto-margin": 2, "kto-kl": 2}
